#include "placement/placement.h"

#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "codec/integers.h"
#include "store/peer_message.h"

namespace rutile::placement {
namespace {

constexpr std::uint8_t kReportFormat = 1;

}  // namespace

Placement::Placement(Options options, store::Store& store, const StateMachine& machine,
                     const Clock& clock, Executor& executor)
    : options_(std::move(options)),
      store_(store),
      machine_(machine),
      clock_(clock),
      executor_(executor) {}

void Placement::Start(const std::vector<store::Region>& regions) {
  {
    MutexLock lock(mutex_);
    for (const store::Region& region : regions) {
      if (region.id >= store::kFirstUserRegion) {
        routes_.Report({.region = region, .leader = {}, .term = {}});
      }
    }
  }
  executor_.Post([this] { Report(); });
}

// --- Leadership.

std::optional<Member> Placement::Leader() const {
  const std::optional<store::GateState> gate = store_.Gate(store::kPlacementRegion);
  if (!gate || gate->leader == PeerId()) return std::nullopt;
  const store::Peer* peer = gate->region->FindPeer(gate->leader);
  if (peer == nullptr) return std::nullopt;
  for (const Member& member : options_.members) {
    if (member.store == peer->store) return member;
  }
  return std::nullopt;
}

bool Placement::IsLeader() const {
  const std::optional<store::GateState> gate = store_.Gate(store::kPlacementRegion);
  return gate && gate->is_leader;
}

Status Placement::NotLeader() const {
  const std::optional<Member> leader = Leader();
  if (!leader) {
    return Status(Code::kUnavailable, "not leader of placement; there is none at the moment");
  }
  if (leader->store == self()) {
    return Status(Code::kUnavailable, "not leader of placement yet: just elected; try again");
  }
  return Status(Code::kUnavailable, "not leader of placement; the leader is " + leader->name +
                                        " at " + leader->address);
}

// --- Timestamps.

void Placement::GetTimestamps(std::uint32_t count, TimestampDone done) {
  if (count == 0 || count > Timestamp::kMaxLogical) {
    return done(Status(Code::kInvalidArgument,
                       "a request for " + std::to_string(count) + " timestamps; 1 to " +
                           std::to_string(Timestamp::kMaxLogical) + " can be had at once"));
  }
  const std::optional<store::GateState> gate = store_.Gate(store::kPlacementRegion);
  if (!gate || !gate->is_leader) return done(NotLeader());
  // A lease is published only once the state machine has all that earlier leaders replicated, the
  // highest bound included.
  const bool lease = gate->lease_until && clock_.Now() < *gate->lease_until &&
                     !RUTILE_BUGGIFY("buggify placement: a timestamp without the lease");
  if (lease) {
    return Grant(gate->term, gate->lease_until, count, std::move(done));
  }
  // Without one, a round that begins now does: while nobody else led at its beginning, nobody can
  // have had a higher timestamp before this call.
  store_.CatchUp(store::kPlacementRegion, [this, count, term = gate->term, done = std::move(done)](
                                              std::optional<store::RegionError> error) mutable {
    if (error) return done(Failure(*error));
    const std::optional<store::GateState> now = store_.Gate(store::kPlacementRegion);
    const bool leads = now && now->is_leader && now->term == term;
    RUTILE_SOMETIMES(!leads, "placement: leadership is lost while it is confirmed");
    if (!leads) return done(NotLeader());
    Grant(term, std::nullopt, count, std::move(done));
  });
}

void Placement::Grant(Term term, std::optional<Instant> lease_until, std::uint32_t count,
                      TimestampDone done) {
  std::optional<Timestamp> granted;
  std::optional<std::uint64_t> bound;
  bool over = false;  // Led again since, in a later term.
  {
    MutexLock lock(mutex_);
    over = oracle_.term() > term;
    if (oracle_.term() < term) oracle_.Begin(term, machine_.View()->timestamp_bound_ms);
    const std::uint64_t wall_ms = clock_.WallMillis();
    if (!over) bound = oracle_.BoundWanted(wall_ms);
    granted = oracle_.Grant(term, count, wall_ms);
    if (!granted && !over) waiting_.push_back({count, std::move(done)});
  }
  RUTILE_SOMETIMES(!granted && !over, "placement: a timestamp waits for the bound to be raised");
  RUTILE_SOMETIMES(over, "placement: leads again before it grants for an earlier term");
  if (bound) RaiseBound(term, *bound);
  if (!granted && !over) return;  // And `done` waits with the others.
  // The lease held when the timestamp was taken if it still holds now.
  // NOLINTBEGIN(bugprone-use-after-move): moved only where this has returned.
  if (over) return done(NotLeader());
  const bool late = lease_until && clock_.Now() >= *lease_until;
  RUTILE_SOMETIMES(late, "placement: the lease ends while a timestamp is taken");
  if (late) return done(NotLeader());
  done(*granted);
  // NOLINTEND(bugprone-use-after-move)
}

void Placement::RaiseBound(Term term, std::uint64_t bound_ms) {
  store_.WritePayload({.region = store::kPlacementRegion, .term = term},
                      EncodeCommand(RaiseTimestampBound{bound_ms}),
                      [this, term, bound_ms](const store::WriteOutcome& outcome) {
                        OnBoundRaised(term, bound_ms,
                                      std::holds_alternative<store::CommandResult>(outcome));
                      });
}

void Placement::OnBoundRaised(Term term, std::uint64_t bound_ms, bool ok) {
  RUTILE_SOMETIMES(!ok, "placement: a bound cannot be raised");
  std::deque<Waiting> waiting;
  {
    MutexLock lock(mutex_);
    ok ? oracle_.OnBound(term, bound_ms) : oracle_.OnBoundFailed(term);
    waiting.swap(waiting_);
  }
  for (Waiting& request : waiting) {
    if (ok) {
      GetTimestamps(request.count, std::move(request.done));
    } else {
      request.done(NotLeader());
    }
  }
}

// --- Commands.

void Placement::Execute(const Command& command, CommandDone done) {
  store_.WritePayload({.region = store::kPlacementRegion}, EncodeCommand(command),
                      [this, done = std::move(done)](store::WriteOutcome outcome) mutable {
                        if (auto* result = std::get_if<store::CommandResult>(&outcome)) {
                          return done(std::move(result->payload));
                        }
                        done(Failure(std::get<store::RegionError>(outcome)));
                      });
}

void Placement::CurrentView(ViewDone done) {
  store_.CatchUp(store::kPlacementRegion,
                 [this, done = std::move(done)](std::optional<store::RegionError> error) mutable {
                   if (error) return done(Failure(*error));
                   done(machine_.View());
                 });
}

Status Placement::Failure(const store::RegionError& error) const {
  if (std::holds_alternative<store::NotLeader>(error)) return NotLeader();
  return Status(Code::kUnavailable, "placement: " + ToString(error));
}

// --- Routes and stores.

std::optional<Route> Placement::FindRoute(std::string_view key) const {
  MutexLock lock(mutex_);
  return routes_.Find(key);
}

std::optional<Route> Placement::FindRouteBefore(std::string_view key) const {
  MutexLock lock(mutex_);
  return routes_.FindBefore(key);
}

std::optional<Route> Placement::FindRoute(RegionId region) const {
  MutexLock lock(mutex_);
  return routes_.Find(region);
}

std::vector<Route> Placement::ScanRoutes(std::string_view start, std::string_view end,
                                         std::size_t limit) const {
  MutexLock lock(mutex_);
  return routes_.Scan(start, end, limit);
}

std::vector<StoreStatus> Placement::Stores() const {
  std::map<StoreId, StoreStatus> stores;
  // Members are known before they have registered.
  for (const Member& member : options_.members) {
    stores[member.store].info = {.id = member.store,
                                 .name = member.name,
                                 .address = member.address,
                                 .version = options_.self.version};
  }
  const std::shared_ptr<const State> state = machine_.View();
  for (const auto& [id, info] : state->stores) stores[id].info = info;
  const Instant now = clock_.Now();
  MutexLock lock(mutex_);
  std::vector<StoreStatus> all;
  for (auto& [id, status] : stores) {
    if (const auto heard = heard_.find(id); heard != heard_.end()) {
      status.silent_for = now - heard->second;
    }
    all.push_back(std::move(status));
  }
  return all;
}

void Placement::ReportSoon() {
  {
    MutexLock lock(mutex_);
    if (report_scheduled_) return;
    report_scheduled_ = true;
  }
  executor_.Post([this] {
    {
      MutexLock lock(mutex_);
      report_scheduled_ = false;
    }
    const std::string payload = BuildReport();
    TakeReport(payload);
    for (const Member& member : options_.members) {
      if (member.store == self()) continue;
      store_.SendDatagram(member.store, {.channel = kReportChannel, .payload = payload});
    }
  });
}

void Placement::Report() {
  executor_.PostAfter(options_.report_every, [this] { Report(); });
  ReportSoon();
}

std::string Placement::BuildReport() const {
  std::string out;
  codec::PutFixed8(&out, kReportFormat);
  codec::PutVarint(&out, options_.self.id.value());
  codec::PutBytes(&out, options_.self.name);
  codec::PutBytes(&out, options_.self.address);
  codec::PutBytes(&out, options_.self.version);
  for (const store::GateState& gate : store_.Gates()) {
    if (!gate.is_leader || gate.region->id < store::kFirstUserRegion) continue;
    codec::PutBytes(&out, store::EncodeRegion(*gate.region));
    codec::PutVarint(&out, gate.self.value());
    codec::PutVarint(&out, gate.term.value());
  }
  return out;
}

void Placement::OnReport(std::string_view payload) {
  executor_.Post([this, owned = std::string(payload)] { TakeReport(owned); });
}

void Placement::TakeReport(std::string_view payload) {
  codec::Reader reader(payload);
  if (reader.Fixed8() != kReportFormat) return;  // From a version of another time.
  StoreInfo info;
  info.id = StoreId(reader.Varint());
  info.name = reader.Bytes();
  info.address = reader.Bytes();
  info.version = reader.Bytes();
  if (!reader.ok()) return;
  {
    MutexLock lock(mutex_);
    heard_[info.id] = clock_.Now();
    while (!reader.rest().empty()) {
      Result<store::Region> region = store::DecodeRegion(reader.Bytes());
      const PeerId leader(reader.Varint());
      const Term term(reader.Varint());
      if (!reader.ok() || !region.ok()) return;
      Route route{.region = std::move(region).value(), .leader = {}, .term = term};
      if (const store::Peer* peer = route.region.FindPeer(leader)) route.leader = *peer;
      routes_.Report(std::move(route));
    }
  }
  RegisterStore(info);
}

void Placement::RegisterStore(const StoreInfo& info) {
  if (!IsLeader()) return;
  const std::shared_ptr<const State> state = machine_.View();
  const auto known = state->stores.find(info.id);
  if (known != state->stores.end() && known->second == info) return;
  {
    MutexLock lock(mutex_);
    if (!registering_.insert(info.id).second) return;
  }
  Execute(PutStore{info}, [this, id = info.id](const Result<std::string>&) {
    // If it failed, the next report tries again.
    MutexLock lock(mutex_);
    registering_.erase(id);
  });
}

}  // namespace rutile::placement
