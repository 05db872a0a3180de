#include "sim/scenario_core.h"

#include <algorithm>

#include "base/check.h"

namespace rutile::sim {

using raft::Message;
using raft::MessageType;
using raft::testing::TestCluster;

namespace {

constexpr std::uint64_t kMaxMoves = 100'000;  // Beyond this something talks to itself for ever.

}  // namespace

CoreLevel::CoreLevel() {
  AddClusterVerbs();
  AddGroupVerbs();
  AddLeaderVerbs();
  AddMemberVerbs();
  AddOperatorVerbs();
  AddNetworkVerbs();
  AddMessageVerbs();
  AddDiskVerbs();
  AddStateVerbs();
  AddLogVerbs();
  AddCrashVerbs();
  AddTimeVerbs();
}

Status CoreLevel::Open() {
  if (cluster_ != nullptr) return {};
  setup_.logs.resize(nodes().size());
  cluster_ = std::make_unique<TestCluster>(setup_);
  twin_ = std::make_unique<ScenarioTwin>(*cluster_);
  Judge();
  for (std::size_t node : AllNodes()) Notice(node, true);
  return {};
}

void CoreLevel::Notice(std::size_t node, bool alive) {
  if (!setup_.options.quiet) return;
  for (std::size_t other : AllNodes()) {
    if (other == node || !cluster_->alive(other)) continue;
    cluster_->SetLive(other, node, alive);
    Judge();
  }
}

std::string CoreLevel::Violation() {
  if (cluster_ == nullptr) return {};
  if (!cluster_->violation().empty()) return cluster_->violation();
  return twin_->violation();
}

std::vector<std::size_t> CoreLevel::AllNodes() const {
  std::vector<std::size_t> all;
  for (std::size_t id = 1; id <= nodes().size(); ++id) all.push_back(id);
  return all;
}

std::vector<std::size_t> CoreLevel::Group() {
  const std::size_t leader = cluster_->Leader();
  std::vector<std::size_t> group;
  if (leader == 0) {
    for (std::size_t id = 1; id <= setup_.voters + setup_.learners; ++id) group.push_back(id);
    return group;
  }
  for (PeerId id : cluster_->raft(leader).configuration().Members()) group.push_back(id.value());
  return group;
}

Status CoreLevel::NeedUp(std::size_t node) const {
  if (cluster_->alive(node)) return {};
  return Failure(NameOf(node) + " is down");
}

bool CoreLevel::Filter::Match(const Message& message) const {
  return links.Match(message.from.value(), message.to.value()) &&
         (kinds.empty() || kinds.contains(message.type));
}

bool CoreLevel::IsHeld(const Message& message) const {
  return std::any_of(held_.begin(), held_.end(),
                     [&](const Filter& filter) { return filter.Match(message); });
}

void CoreLevel::Judge() {
  auto& network = cluster_->network();
  for (std::size_t i = known_messages_; i < network.size();) {
    twin_->OnSent(network[i]);
    if (cut_.contains({network[i].from.value(), network[i].to.value()})) {
      network.erase(network.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  known_messages_ = network.size();
  twin_->Compare();
  CollectStory();
  LookWhoIsAMember();
  LookWhoIsUp();
}

void CoreLevel::LookWhoIsUp() {
  if (recorder_ == nullptr) return;
  is_up_.resize(nodes().size(), true);
  for (std::size_t i = 0; i < is_up_.size(); ++i) {
    const bool is_up = cluster_->alive(i + 1);
    if (is_up_[i] == is_up) continue;
    is_up_[i] = is_up;
    is_up ? recorder_->OnUp(i) : recorder_->OnDown(i);
  }
}

void CoreLevel::LookWhoIsAMember() {
  for (std::size_t id : AllNodes()) {
    if (!cluster_->alive(id)) continue;
    const raft::Configuration& now = cluster_->raft(id).configuration();
    const auto [known, first] = members_.try_emplace(id, now);
    if (known->second == now) continue;
    known->second = now;
    const std::string line = NameOf(id) + " goes by " + Describe(now) + "\n";
    story_ += line;
    told_ += line;
  }
}

void CoreLevel::Watch(TimelineRecorder& recorder) {
  recorder_ = &recorder;
  for (std::size_t id : AllNodes()) {
    setup_.options.observer = recorder.Watch(RegionId(1), PeerId(id), id - 1);
  }
}

Duration CoreLevel::Now() {
  return cluster_ == nullptr ? Duration() : cluster_->now().time_since_epoch();
}

std::vector<std::pair<std::size_t, std::string>> CoreLevel::Conditions() {
  const auto is_alone = [this](std::size_t id) {
    const auto all = AllNodes();
    return std::all_of(all.begin(), all.end(), [&](std::size_t other) {
      return other == id || (cut_.contains({id, other}) && cut_.contains({other, id}));
    });
  };
  std::vector<std::pair<std::size_t, std::string>> found;
  for (std::size_t id : AllNodes()) {
    if (is_alone(id)) found.emplace_back(id - 1, "cut off");
  }
  for (const auto& [from, to] : cut_) {
    if (from == to || is_alone(from) || is_alone(to)) continue;
    found.emplace_back(from - 1, "cannot reach " + NameOf(to));
  }
  const std::map<Part, std::string> names = {{Part::kWriter, "writer stands still"},
                                             {Part::kApply, "apply stands still"},
                                             {Part::kReader, "reader stands still"},
                                             {Part::kSender, "sender stands still"}};
  for (const auto& [part, node] : paused_) found.emplace_back(node - 1, names.at(part));
  return found;
}

void CoreLevel::Inject(Message message) {
  if (!cluster_->alive(message.to.value())) return;
  twin_->BeforeMessage(message);
  cluster_->Inject(std::move(message));
  Judge();
}

void CoreLevel::CompleteWrite(std::size_t node, bool tell) {
  cluster_->CompleteWrite(node, tell);
  twin_->AfterDiskWrite(node);
  Judge();
}

Status CoreLevel::Elect(std::size_t node, std::optional<std::uint64_t> term) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  // Its term may lag behind those who are to vote: a refusal tells it.
  for (int attempt = 0; attempt < 4; ++attempt) {
    if (cluster_->raft(node).is_leader()) break;
    cluster_->Elapse(setup_.options.vote_refusal);
    cluster_->Campaign(node);
    Judge();
    RUTILE_RETURN_IF_ERROR(Settle());
  }
  if (!cluster_->raft(node).is_leader()) return Failure(NameOf(node) + " is not elected");
  const std::uint64_t won = cluster_->raft(node).term().value();
  if (term && won != *term) {
    return Failure(NameOf(node) + " leads term " + std::to_string(won) + ", expected " +
                   std::to_string(*term));
  }
  return {};
}

Status CoreLevel::Begin(std::size_t node, std::uint64_t entries) {
  RUTILE_RETURN_IF_ERROR(Elect(node, std::nullopt));
  while (cluster_->raft(node).tail().last().index < Index(entries)) {
    RUTILE_RETURN_IF_ERROR(Propose(node, {"x"}));
    RUTILE_RETURN_IF_ERROR(Settle());
  }
  RUTILE_RETURN_IF_ERROR(Tick(4));
  for (std::size_t id : Group()) {
    cluster_->FlushMachine(id);
    if (cluster_->machine(id).applied.index != Index(entries)) {
      return Failure(NameOf(id) + " has not applied " + std::to_string(entries) + " entries");
    }
  }
  story_ = told_ = {};  // As it always goes.
  if (recorder_ != nullptr) recorder_->Clear();
  return {};
}

Status CoreLevel::Propose(std::size_t node, const std::vector<std::string>& payloads) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  std::vector<Bytes> batch;
  batch.reserve(payloads.size());
  for (const std::string& payload : payloads) batch.emplace_back(payload);
  const auto result = cluster_->ProposeBatch(node, batch);
  const bool accepted = std::holds_alternative<raft::Proposed>(result);
  if (accepted) twin_->AfterPropose(node, batch);
  Judge();
  return accepted ? Status() : Failure(NameOf(node) + " refuses the proposal");
}

const std::map<std::string, raft::ProposeError>& CoreLevel::RefusalNames() {
  static const std::map<std::string, raft::ProposeError> kNames = {
      {"not-leader", raft::ProposeError::kNotLeader},
      {"transferring", raft::ProposeError::kTransferring},
      {"busy", raft::ProposeError::kBusy},
      {"poisoned", raft::ProposeError::kPoisoned}};
  return kNames;
}

Status CoreLevel::Refuse(std::size_t node, const std::string& why) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  const auto result = cluster_->ProposeBatch(node, {Bytes("refused")});
  const auto* error = std::get_if<raft::ProposeError>(&result);
  if (error == nullptr) {
    return Failure(NameOf(node) + " accepts the proposal, expected a refusal");
  }
  if (RefusalNames().at(why) == *error) return {};
  const auto is = std::find_if(RefusalNames().begin(), RefusalNames().end(),
                               [&](const auto& known) { return known.second == *error; });
  RUTILE_CHECK(is != RefusalNames().end());
  return Failure(NameOf(node) + " refuses as " + is->first + ", expected " + why);
}

Status CoreLevel::Change(std::size_t node, const raft::ConfigurationChange& change) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  const Result<raft::Proposed> made = cluster_->ProposeChange(node, change);
  if (made.ok()) twin_->AfterChange(node, change);
  Judge();
  return made.ok() ? Status()
                   : Failure(NameOf(node) + " refuses: " + std::string(made.status().message()));
}

Status CoreLevel::RefuseChange(std::size_t node, const raft::ConfigurationChange& change,
                               const std::string& why) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  const Result<raft::Proposed> made = cluster_->ProposeChange(node, change);
  if (made.ok()) return Failure(NameOf(node) + " accepts the change, expected a refusal");
  Judge();
  const std::string is(made.status().message());
  if (is.find(why) != std::string::npos) return {};
  return Failure(NameOf(node) + " refuses because \"" + is + "\", expected \"" + why + "\"");
}

Status CoreLevel::Wipe(std::size_t node) {
  cluster_->Wipe(node);
  twin_->AfterWipe(node);
  Judge();
  return {};
}

Status CoreLevel::Crash(std::size_t node, bool lose_log, bool lose_engine,
                        std::size_t surviving_writes) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  const std::size_t survive = lose_log ? surviving_writes : cluster_->writes_in_flight(node);
  cluster_->Crash(node, survive, !lose_engine);
  twin_->AfterCrash(node, survive);
  Judge();
  return {};
}

Status CoreLevel::Start(std::size_t node) {
  if (cluster_->alive(node)) return Failure(NameOf(node) + " is up");
  cluster_->Restart(node);
  twin_->AfterStart(node);
  Judge();
  Notice(node, false);  // It is another process.
  for (std::size_t other : AllNodes()) Notice(other, cluster_->alive(other));
  return {};
}

Status CoreLevel::Resend(std::size_t from, std::size_t to, std::uint64_t after,
                         std::optional<std::uint64_t> until, std::optional<std::uint64_t> commit) {
  RUTILE_RETURN_IF_ERROR(NeedUp(from));
  const raft::Raft& leader = cluster_->raft(from);
  if (!leader.is_leader()) return Failure(NameOf(from) + " does not lead");
  const Index last = leader.tail().last().index;
  std::optional<LogSlice> slice =
      leader.tail().Read(Index(after), until ? std::min(Index(*until), last) : last, SIZE_MAX);
  if (!slice) return Failure(NameOf(from) + " cannot read what follows " + std::to_string(after));
  Message message{
      .type = MessageType::kAppend, .from = PeerId(from), .to = PeerId(to), .term = leader.term()};
  message.slice = *std::move(slice);
  message.commit = commit ? Index(*commit) : leader.tail().committed();
  cluster_->network().push_back(std::move(message));
  Judge();
  return {};
}

Status CoreLevel::Handle(const Filter& filter, const std::string& text, Which which, Fate fate) {
  auto& network = cluster_->network();
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < network.size(); ++i) {
    const bool says = NamesInsteadOfNumbers(ToString(network[i])).find(text) != std::string::npos;
    if (filter.Match(network[i]) && says) found.push_back(i);
  }
  if (found.empty()) return Failure("there is no such message");
  if (which == Which::kFirst) found.resize(1);
  if (which == Which::kLast) found.erase(found.begin(), found.end() - 1);
  std::vector<Message> taken;
  taken.reserve(found.size());
  for (std::size_t i : found) taken.push_back(network[i]);
  if (fate != Fate::kCopy) {
    for (auto i = found.rbegin(); i != found.rend(); ++i) {
      network.erase(network.begin() + static_cast<std::ptrdiff_t>(*i));
    }
    known_messages_ = network.size();
  }
  if (fate == Fate::kDrop) return {};
  for (Message& message : taken) Inject(std::move(message));
  return {};
}

bool CoreLevel::MoveNetwork() {
  auto& network = cluster_->network();
  for (std::size_t i = 0; i < network.size(); ++i) {
    if (IsHeld(network[i])) continue;
    Message message = std::move(network[i]);
    network.erase(network.begin() + static_cast<std::ptrdiff_t>(i));
    known_messages_ = network.size();
    if (!cut_.contains({message.from.value(), message.to.value()})) Inject(std::move(message));
    return true;
  }
  return false;
}

bool CoreLevel::MoveNode(std::size_t node) {
  if (!cluster_->alive(node)) return false;
  bool moved = false;
  if (!IsPaused(Part::kWriter, node) && cluster_->writes_in_flight(node) > 0) {
    CompleteWrite(node, true);
    moved = true;
  }
  if (!IsPaused(Part::kApply, node)) moved |= cluster_->ApplyOne(node);
  Judge();
  if (!IsPaused(Part::kReader, node)) moved |= cluster_->AnswerColdRead(node);
  Judge();
  if (!IsPaused(Part::kSender, node)) moved |= cluster_->SendSnapshot(node);
  Judge();
  return moved;
}

Status CoreLevel::Settle(const std::function<bool()>& done) {
  bool moved = true;
  for (std::uint64_t moves = 0; moved; ++moves) {
    if (done && done()) return {};
    if (moves > kMaxMoves) return Failure("T1: the cluster never comes to rest");
    moved = MoveNetwork();
    for (std::size_t node : AllNodes()) {
      if (done && done()) return {};
      moved |= MoveNode(node);
    }
    if (!Violation().empty()) return {};
  }
  return {};
}

Status CoreLevel::Tick(int times, const std::function<bool()>& done) {
  for (int i = 0; i < times; ++i) {
    if (done && done()) return {};
    cluster_->Elapse(raft::testing::kTick);
    for (std::size_t node : AllNodes()) {
      cluster_->Tick(node);
      if (cluster_->alive(node)) Judge();
    }
    RUTILE_RETURN_IF_ERROR(Settle(done));
    if (!Violation().empty()) return {};
  }
  return {};
}

Status CoreLevel::TickOne(std::size_t node, std::uint64_t times) {
  RUTILE_RETURN_IF_ERROR(NeedUp(node));
  for (std::uint64_t i = 0; i < times; ++i) {
    cluster_->Elapse(raft::testing::kTick);
    cluster_->Tick(node);
    Judge();
  }
  return {};
}

std::string CoreLevel::DescribeDifference(const std::vector<std::size_t>& nodes, bool states) {
  for (std::size_t id : nodes) {
    if (!cluster_->alive(id)) return NameOf(id) + " is down";
    const std::size_t first = nodes.front();
    const std::string mine = DescribeScenarioLog(LogOf(id));
    const raft::LogTail& tail = cluster_->raft(id).tail();
    const raft::LogTail& other = cluster_->raft(first).tail();
    const Index last = std::max(tail.last().index, other.last().index);
    for (Index i = std::max(tail.first(), other.first()); i <= last; i = i.Next()) {
      if (tail.TermAt(i) != other.TermAt(i)) {
        return NameOf(id) + " has \"" + mine + "\", " + NameOf(first) + " has \"" +
               DescribeScenarioLog(LogOf(first)) + "\"";
      }
    }
    const raft::testing::MachineState& is = cluster_->machine(id);
    const raft::testing::MachineState& due = cluster_->machine(first);
    if (states && (is.applied != due.applied || is.hash != due.hash)) {
      return NameOf(id) + " has applied " + ToString(is.applied) + ", " + NameOf(first) + " " +
             ToString(due.applied) + (is.applied == due.applied ? ", with other content" : "");
    }
  }
  return {};
}

Status CoreLevel::Converge() {
  cut_.clear();
  held_.clear();
  paused_.clear();
  for (std::size_t node : AllNodes()) {
    if (!cluster_->alive(node)) RUTILE_RETURN_IF_ERROR(Start(node));
    while (!cluster_->marks(node).empty()) {
      cluster_->TellDurable(node, cluster_->marks(node).front());
      cluster_->marks(node).erase(cluster_->marks(node).begin());
      Judge();
    }
  }
  const auto done = [this] {
    const std::size_t leader = cluster_->Leader();
    return leader != 0 && cluster_->raft(leader).HasCommittedInTerm() &&
           !cluster_->raft(leader).configuration().auto_leave &&
           DescribeDifference(Group(), true).empty();
  };
  RUTILE_RETURN_IF_ERROR(Tick(kMaxTicks, done));
  if (done() || !Violation().empty()) return {};
  std::string difference = DescribeDifference(Group(), true);
  if (difference.empty()) {
    difference = cluster_->Leader() == 0 ? "nobody leads" : "the leader has not done its duty";
  }
  return Failure("T1: all faults are over, and " + difference);
}

}  // namespace rutile::sim
