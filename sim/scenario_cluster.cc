#include "sim/scenario_cluster.h"

#include <algorithm>

#include "store/raw_kv.h"

namespace rutile::sim {
namespace {

constexpr Duration kPatience = Seconds(20);  // Of a statement that waits for something.
constexpr Duration kGlance = Milliseconds(5);

}  // namespace

ClusterLevel::ClusterLevel() {
  options_.wal.segment_bytes = 1 << 16;
  options_.log_level = LogLevel::kInfo;
  options_.log = [this](const std::string& line) { story_ += line + "\n"; };
  AddClusterVerbs();
  AddClientVerbs();
  AddNetworkVerbs();
  AddDiskVerbs();
  AddSpaceVerbs();
  AddPartVerbs();
  AddTimeVerbs();
}

ClusterLevel::~ClusterLevel() = default;

std::vector<std::size_t> ClusterLevel::AllNodes() const {
  std::vector<std::size_t> all;
  for (std::size_t id = 1; id <= nodes().size(); ++id) all.push_back(id);
  return all;
}

Status ClusterLevel::Open() {
  if (cluster_ != nullptr) return {};
  options_.machines.resize(nodes().size());
  for (Machine::Options& machine : options_.machines) {
    machine.disk.sync = {Microseconds(300), Milliseconds(2)};
  }
  world_ = std::make_unique<World>(seed_);
  cluster_ = std::make_unique<Cluster>(*world_, options_);
  monitor_ = std::make_unique<Monitor>(*world_, *cluster_, Milliseconds(20));
  if (recorder_ != nullptr) BeginRecording();
  for (std::size_t i = 0; i < nodes().size(); ++i) cluster_->Start(i);
  monitor_->Start();
  const auto begun = [this] {
    const auto all = AllNodes();
    return std::all_of(all.begin(), all.end(), [this](auto id) { return cluster_->is_up(id - 1); });
  };
  if (!world_->RunUntil(begun, kPatience)) return Failure("the nodes do not start");
  const auto led = [this] {
    const auto all = AllNodes();
    return std::any_of(all.begin(), all.end(), [this](auto id) { return Leads(id); });
  };
  if (!world_->RunUntil(led, kPatience)) return Failure("nobody is elected");
  story_.clear();  // As it always goes.
  if (recorder_ != nullptr) recorder_->Clear();
  return {};
}

void ClusterLevel::BeginRecording() {
  cluster_->SetCoreObserver([this](std::size_t node, RegionId group, PeerId peer) {
    return recorder_->Watch(group, peer, node);
  });
  is_up_.resize(nodes().size());
  world_->SetObserver([this] {
    for (std::size_t i = 0; i < is_up_.size(); ++i) {
      const bool is_up = cluster_->is_up(i);
      if (is_up_[i] == is_up) continue;
      is_up_[i] = is_up;
      is_up ? recorder_->OnUp(i) : recorder_->OnDown(i);
    }
  });
}

std::string ClusterLevel::TakeStory() { return std::exchange(story_, {}); }

std::string ClusterLevel::Violation() {
  if (cluster_ == nullptr) return {};
  if (!cluster_->violations().empty()) return cluster_->violations().front();
  if (!monitor_->problems().empty()) return monitor_->problems().front();
  return {};
}

bool ClusterLevel::Leads(std::size_t node) {
  if (!cluster_->is_up(node - 1)) return false;
  const auto gate = cluster_->node(node - 1)->store().Gate(kRegion);
  return gate && gate->is_leader;
}

Status ClusterLevel::NeedUp(std::size_t node) {
  return cluster_->is_up(node - 1) ? Status() : Failure(NameOf(node) + " is down");
}

std::optional<store::ReplicaStatus> ClusterLevel::StatusOf(std::size_t node) {
  if (!cluster_->is_up(node - 1)) return std::nullopt;
  // Shared: the answer of a node that is stuck may come when nobody waits any more.
  const auto answer = std::make_shared<std::optional<store::ReplicaStatus>>();
  cluster_->node(node - 1)->store().CollectStatus(
      [answer](const std::vector<store::ReplicaStatus>& replicas) {
        for (const store::ReplicaStatus& status : replicas) {
          if (status.region.id == kRegion) *answer = status;
        }
      });
  world_->RunUntil([&] { return answer->has_value(); }, Seconds(1));
  return *answer;
}

Status ClusterLevel::Elect(std::size_t node) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  const Duration limit = world_->Now() + kPatience;
  while (!Leads(node)) {
    if (world_->Now() > limit) return Failure(NameOf(node) + " is not elected");
    for (std::size_t other : AllNodes()) {
      if (!Leads(other) || other == node) continue;
      const auto self = cluster_->node(node - 1)->store().Gate(kRegion)->self;
      cluster_->node(other - 1)->store().TransferLeadership(kRegion, self);
    }
    world_->RunUntil([&] { return Leads(node) || !cluster_->is_up(node - 1); }, Milliseconds(500));
    RUTILE_RETURN_IF_ERROR(NeedUp(node));
  }
  return {};
}

// --- Clients.

Result<std::size_t> ClusterLevel::Begin(std::size_t node, std::string key, RegisterCall call,
                                        bool follower) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  call.store = cluster_->store(node - 1).value();
  call.invoked = world_->Now();
  calls_.push_back(std::make_unique<Call>(Call{.key = std::move(key), .call = std::move(call)}));
  const std::size_t index = calls_.size() - 1;
  cluster_->requests(node - 1).Post([this, index, node, follower] { Send(index, node, follower); });
  return index;
}

void ClusterLevel::Send(std::size_t index, std::size_t node, bool follower) {
  const Call& call = *calls_[index];
  store::RequestHeader header{.region = kRegion};
  const auto done = [this, index](auto reply) {
    if (const auto* error = std::get_if<store::RegionError>(&reply)) {
      const bool unknown = std::holds_alternative<store::Undetermined>(*error);
      return Answer(index, (unknown ? "unknown: " : "refused: ") + ToString(*error), std::nullopt);
    }
    if (const auto* status = std::get_if<Status>(&reply)) {
      return Answer(index, "refused: " + status->ToString(), std::nullopt);
    }
    if constexpr (std::is_same_v<decltype(reply), store::RawReply<std::optional<std::string>>>) {
      return Answer(index, "ok", std::get<0>(reply));
    } else {
      Answer(index, "ok", std::nullopt);
    }
  };
  store::RawKv& raw = cluster_->node(node - 1)->raw();
  if (call.call.kind == RegisterCall::Kind::kGet) {
    header.from_follower = follower;
    raw.Get(header, call.key, done);
  } else {
    raw.Put(header, {{.key = call.key, .value = *call.call.value}}, done);
  }
}

void ClusterLevel::Answer(std::size_t index, const std::string& outcome,
                          std::optional<std::string> seen) {
  Call& call = *calls_[index];
  call.outcome = outcome;
  call.call.seen = std::move(seen);
  if (outcome == "ok") call.call.returned = world_->Now();
  story_ += ToString(call.call) + " " + call.key + ": " + outcome + "\n";
}

Status ClusterLevel::Await(std::size_t index) {
  const Call& call = *calls_[index];
  world_->RunUntil([&] { return call.outcome != "waits"; }, kPatience);
  if (call.outcome == "ok") return {};
  return Failure(ToString(call.call) + " of " + call.key + " " + call.outcome);
}

Status ClusterLevel::Put(std::size_t node, const std::string& key, const std::string& value) {
  RUTILE_ASSIGN_OR_RETURN(
      const std::size_t call,
      Begin(node, key, {.kind = RegisterCall::Kind::kPut, .value = value}, false));
  return Await(call);
}

// --- Crashes and disks.

Status ClusterLevel::Crash(std::size_t node, Loss loss, bool process_only) {
  if (!cluster_->machine(node - 1).is_running()) return Failure(NameOf(node) + " is down");
  if (process_only) {
    cluster_->Kill(node - 1);
  } else {
    cluster_->CutPower(node - 1, loss);
  }
  return {};
}

Status ClusterLevel::Start(std::size_t node, bool refused) {
  if (cluster_->machine(node - 1).is_running()) return Failure(NameOf(node) + " is up");
  cluster_->Start(node - 1);
  if (refused) cluster_->ExpectFailure(node - 1);
  const bool up = world_->RunUntil([&] { return cluster_->is_up(node - 1); }, Seconds(2));
  if (up == !refused) return {};
  return Failure(NameOf(node) + (up ? " starts, expected a refusal" : " does not start"));
}

// Flips a bit in the last place where the node's log holds this text.
Status ClusterLevel::Damage(std::size_t node, const std::string& text) {
  if (cluster_->machine(node - 1).is_running()) return Failure(NameOf(node) + " is up");
  SimFileSystem& disk = cluster_->machine(node - 1).disk();
  const std::string directory = options_.wal.directory;
  RUTILE_ASSIGN_OR_RETURN(const std::vector<std::string> files, disk.List(directory));
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    const std::string path = directory + "/" + *file;
    RUTILE_ASSIGN_OR_RETURN(const std::string content, disk.ReadAll(path));
    const std::size_t at = content.rfind(text);
    if (at == std::string::npos) continue;
    disk.FlipBit(path, at * 8);
    story_ += "a bit flips in " + path + " at byte " + std::to_string(at) + "\n";
    return {};
  }
  return Failure("the log of " + NameOf(node) + " does not hold \"" + text + "\"");
}

std::uint64_t ClusterLevel::SegmentsOf(std::size_t node) {
  const auto files = cluster_->machine(node - 1).disk().List(options_.wal.directory);
  if (!files.ok()) return 0;
  return static_cast<std::uint64_t>(
      std::count_if(files.value().begin(), files.value().end(),
                    [](const std::string& file) { return file.ends_with(".log"); }));
}

void ClusterLevel::SetPaused(const Part& part, bool paused) {
  static const std::map<std::string, std::string> kExecutors = {
      {"writer", "log"}, {"apply", "apply"}, {"reader", "background"}, {"process", ""}};
  for (const auto& executor : cluster_->machine(part.second - 1).executors()) {
    const std::string& name = kExecutors.at(part.first);
    if (!name.empty() && executor->name() != name) continue;
    if (paused) {
      executor->Pause();
    } else {
      executor->Resume();
    }
  }
}

Status ClusterLevel::RunUntil(const ScenarioCondition& condition) {
  const Duration limit = world_->Now() + kPatience;
  for (std::string why = condition(); !why.empty(); why = condition()) {
    if (!Violation().empty()) return {};
    if (world_->Now() > limit) return Failure(why);
    world_->RunFor(kGlance);
  }
  return {};
}

Status ClusterLevel::Converge() {
  cluster_->network().HealAll();
  for (std::size_t node : AllNodes()) {
    Machine& machine = cluster_->machine(node - 1);
    machine.disk().SetCapacity(std::uint64_t{1} << 40);
    if (machine.is_running()) {
      machine.Resume();
    } else {
      RUTILE_RETURN_IF_ERROR(Start(node, false));
    }
  }
  const Duration limit = world_->Now() + Seconds(60);
  while (!monitor_->HasConverged() && Violation().empty()) {
    if (world_->Now() > limit) {
      return Failure("T1: all faults are over, and replicas differ: " + monitor_->Describe());
    }
    world_->RunFor(Milliseconds(50));
  }
  std::map<std::string, std::vector<RegisterCall>> history;
  for (const auto& call : calls_) {
    const bool unknown = call->outcome.starts_with("unknown") || call->outcome == "waits";
    const bool reads = call->call.kind == RegisterCall::Kind::kGet;
    // What was refused had no effect; a read without an answer had none either.
    if (call->outcome == "ok" || (unknown && !reads)) history[call->key].push_back(call->call);
  }
  for (const auto& [key, calls] : history) {
    if (auto found = FindNonLinearizable(calls)) return Failure("Q1: " + key + ": " + *found);
  }
  return {};
}

}  // namespace rutile::sim
