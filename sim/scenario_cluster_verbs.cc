// The verbs and conditions of `level: cluster`. docs/scenarios.md has them all.

#include <array>
#include <utility>

#include "sim/scenario_cluster.h"

namespace rutile::sim {
namespace {

constexpr std::uint64_t kLargest = 1'000'000'000;

StoreId StoreOf(std::size_t node) { return StoreId(node); }

}  // namespace

template <class T>
Status ClusterLevel::ReadNumber(ScenarioWords& words, std::uint64_t least, T* number) {
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t read, words.Number());
  if (read < least || read > kLargest) {
    return ScenarioWords::Mismatch(
        "a number from " + std::to_string(least) + " to " + std::to_string(kLargest),
        std::to_string(read));
  }
  *number = static_cast<T>(read);
  return {};
}

Status ClusterLevel::ReadOption(ScenarioWords& words) {
  store::ReplicaOptions& replica = options_.replica;
  if (words.Take("seed")) return ReadNumber(words, 0, &seed_);
  if (words.Take("window")) return ReadNumber(words, 1, &replica.max_inflight_messages);
  if (words.Take("max-segments")) return ReadNumber(words, 2, &options_.wal.max_segments);
  if (words.Take("segment-bytes")) {
    RUTILE_RETURN_IF_ERROR(ReadNumber(words, 8192, &options_.wal.segment_bytes));
    if (options_.wal.segment_bytes % 4096 == 0) return {};
    return ScenarioWords::Mismatch("a multiple of 4096",
                                   std::to_string(options_.wal.segment_bytes));
  }
  if (words.Take("keep-entries")) {
    replica.log_collect_every = Milliseconds(100);
    replica.cached_log_bytes = 1024;
    return ReadNumber(words, 0, &replica.kept_log_entries);
  }
  if (words.Take("snapshot-part-bytes")) return ReadNumber(words, 1, &replica.snapshot_part_bytes);
  if (words.Take("no-lease")) {
    replica.lease_reads = false;
  } else if (words.Take("apply-when-durable")) {
    replica.apply_before_durable = false;
  } else if (words.Take("one-entry-messages")) {
    replica.max_append_bytes = 1;
  } else {
    return words.Expected(
        "seed N, no-lease, apply-when-durable, one-entry-messages, window N, segment-bytes N, "
        "max-segments N, keep-entries N or snapshot-part-bytes N");
  }
  return {};
}

void ClusterLevel::AddClusterVerbs() {
  AddVerb("cluster", "NODES [OPTION...]",
          "names the nodes (capital letters) and starts them. Options: seed N, no-lease, "
          "apply-when-durable, one-entry-messages, window N, segment-bytes N, max-segments N, "
          "keep-entries N, snapshot-part-bytes N",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_RETURN_IF_ERROR(NameNodes(words));
            while (!words.done()) RUTILE_RETURN_IF_ERROR(ReadOption(words));
            return ScenarioDo([] {});
          });
  AddVerb("elect", "NODE", "leadership is handed to the node, by whoever has it",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] { return Elect(node); });
          });
}

void ClusterLevel::AddClientVerbs() {
  AddVerb("put", "NODE \"KEY\" \"VALUE\" [as NAME]",
          "a client writes and waits for the answer, which must be good; with a name it does not "
          "wait",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_ASSIGN_OR_RETURN(const std::string key, words.Text());
            RUTILE_ASSIGN_OR_RETURN(const std::string value, words.Text());
            if (!words.Take("as")) return ScenarioDo([=, this] { return Put(node, key, value); });
            RUTILE_ASSIGN_OR_RETURN(const std::string name, words.Word("a name"));
            return ScenarioDo([=, this]() -> Status {
              RUTILE_ASSIGN_OR_RETURN(
                  named_[name],
                  Begin(node, key, {.kind = RegisterCall::Kind::kPut, .value = value}, false));
              return {};
            });
          });
  AddVerb("propose", "NODE N entries", "a client writes N values, one after another",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_ASSIGN_OR_RETURN(const std::uint64_t count, words.Number());
            RUTILE_RETURN_IF_ERROR(words.Need("entries"));
            return ScenarioDo([=, this]() -> Status {
              for (std::uint64_t i = 0; i < count; ++i) {
                const std::string number = std::to_string(calls_.size());
                RUTILE_RETURN_IF_ERROR(Put(node, "key-" + number, "value-" + number));
              }
              return {};
            });
          });
  AddVerb("read", "NODE \"KEY\" [follower] expects \"VALUE\"|nothing | ... as NAME",
          "a client reads; `follower`: the node may answer although it does not lead",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_ASSIGN_OR_RETURN(const std::string key, words.Text());
            const bool follower = words.Take("follower");
            const RegisterCall call{.kind = RegisterCall::Kind::kGet};
            if (words.Take("as")) {
              RUTILE_ASSIGN_OR_RETURN(const std::string name, words.Word("a name"));
              return ScenarioDo([=, this]() -> Status {
                RUTILE_ASSIGN_OR_RETURN(named_[name], Begin(node, key, call, follower));
                return {};
              });
            }
            RUTILE_RETURN_IF_ERROR(words.Need("expects"));
            std::optional<std::string> due;
            if (!words.Take("nothing")) {
              RUTILE_ASSIGN_OR_RETURN(due, words.Text());
            }
            return ScenarioDo([=, this]() -> Status {
              RUTILE_ASSIGN_OR_RETURN(const std::size_t index, Begin(node, key, call, follower));
              RUTILE_RETURN_IF_ERROR(Await(index));
              const auto& seen = calls_[index]->call.seen;
              if (seen == due) return {};
              return Failure(key + " is " + (seen ? "\"" + *seen + "\"" : "absent") +
                             ", expected " + (due ? "\"" + *due + "\"" : "nothing"));
            });
          });
}

void ClusterLevel::AddNetworkVerbs() {
  AddVerb("isolate", "NODE", "no message reaches or leaves the node from now on",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] {
              for (std::size_t other : AllNodes()) {
                if (other == node) continue;
                cluster_->network().Cut(StoreOf(node), StoreOf(other));
                cluster_->network().Cut(StoreOf(other), StoreOf(node));
              }
            });
          });
  const auto on_links = [this](const ScenarioLinks& links, bool cut) {
    for (std::size_t from : AllNodes()) {
      for (std::size_t to : AllNodes()) {
        if (from == to || !links.Match(from, to)) continue;
        if (cut) {
          cluster_->network().Cut(StoreOf(from), StoreOf(to));
        } else {
          cluster_->network().Heal(StoreOf(from), StoreOf(to));
        }
      }
    }
  };
  AddVerb("cut", "A-B | A->B", "loses what is sent from now on, both ways or one way",
          [=](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const ScenarioLinks links, words.Links());
            return ScenarioDo([=] { on_links(links, true); });
          });
  AddVerb("heal", "[A-B | A->B]", "undoes cuts, all or of one link",
          [=, this](ScenarioWords& words) -> Result<ScenarioAction> {
            if (words.done()) return ScenarioDo([this] { cluster_->network().HealAll(); });
            RUTILE_ASSIGN_OR_RETURN(const ScenarioLinks links, words.Links());
            return ScenarioDo([=] { on_links(links, false); });
          });
}

void ClusterLevel::AddDiskVerbs() {
  AddVerb("crash", "NODE losing nothing|unsynced|some",
          "nothing: the process is killed. Else the power fails: what was not synced is lost, or "
          "some of it",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_RETURN_IF_ERROR(words.Need("losing"));
            const bool nothing = words.Take("nothing");
            const bool all = !nothing && words.Take("unsynced");
            if (!nothing && !all && !words.Take("some")) {
              return words.Expected("nothing, unsynced or some");
            }
            const Loss loss = all ? Loss::kAll : Loss::kAny;
            return ScenarioDo([=, this] { return Crash(node, loss, nothing); });
          });
  AddVerb("power-fails", "NODE during change N",
          "the power fails in the middle of the N-th change of the disk from now",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_RETURN_IF_ERROR(words.Need("during"));
            RUTILE_RETURN_IF_ERROR(words.Need("change"));
            std::uint64_t changes = 0;
            RUTILE_RETURN_IF_ERROR(ReadNumber(words, 1, &changes));
            return ScenarioDo([=, this] { cluster_->CutPowerAfter(node - 1, changes); });
          });
  AddVerb("start", "NODE [refused]", "the process begins again on its disk; or must refuse to",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            const bool refused = words.Take("refused");
            return ScenarioDo([=, this] { return Start(node, refused); });
          });
  AddVerb("damage", "NODE where \"TEXT\"",
          "a bit flips on the disk of a node that is down, where its log last holds the text",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_RETURN_IF_ERROR(words.Need("where"));
            RUTILE_ASSIGN_OR_RETURN(const std::string text, words.Text());
            return ScenarioDo([=, this] { return Damage(node, text); });
          });
  for (const auto& [name, operation] : {std::pair("write", SimFileSystem::Operation::kWrite),
                                        std::pair("sync", SimFileSystem::Operation::kSync)}) {
    AddVerb(std::string("fail-") + name, "NODE",
            std::string("the next ") + name + " on the node's disk fails, and the node must stop",
            [this, op = operation](ScenarioWords& words) -> Result<ScenarioAction> {
              RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
              return ScenarioDo([=, this] {
                cluster_->ExpectFailure(node - 1);
                cluster_->machine(node - 1).disk().FailNext(op);
              });
            });
  }
}

void ClusterLevel::AddSpaceVerbs() {
  for (const bool fill : {true, false}) {
    AddVerb(fill ? "fill" : "empty", "NODE",
            fill ? "nothing more fits on the node's disk" : "there is room on it again",
            [this, fill](ScenarioWords& words) -> Result<ScenarioAction> {
              RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
              return ScenarioDo([=, this] {
                SimFileSystem& disk = cluster_->machine(node - 1).disk();
                disk.SetCapacity(fill ? disk.used_bytes() : std::uint64_t{1} << 40);
              });
            });
  }
  AddVerb("stall", "NODE SPAN", "every operation on the node's disk returns only after that time",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_ASSIGN_OR_RETURN(const Duration span, words.Span());
            return ScenarioDo([=, this] { cluster_->machine(node - 1).disk().StallFor(span); });
          });
}

Result<ClusterLevel::Part> ClusterLevel::ReadPart(ScenarioWords& words) const {
  for (const char* name : {"writer", "apply", "reader", "process"}) {
    if (!words.Peek().starts_with(std::string(name) + "(")) continue;
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.NodeIn(name));
    return Part(name, node);
  }
  return words.Expected("writer(NODE), apply(NODE), reader(NODE) or process(NODE)");
}

void ClusterLevel::AddPartVerbs() {
  for (const bool pause : {true, false}) {
    AddVerb(pause ? "pause" : "resume", "writer(NODE) | apply(NODE) | reader(NODE) | process(NODE)",
            pause ? "one thread of the node, or all of them, stand still" : "undoes pause",
            [this, pause](ScenarioWords& words) -> Result<ScenarioAction> {
              RUTILE_ASSIGN_OR_RETURN(const Part part, ReadPart(words));
              return ScenarioDo([=, this]() -> Status {
                RUTILE_RETURN_IF_ERROR(NeedUp(part.second));
                SetPaused(part, pause);
                return {};
              });
            });
  }
  AddVerb("flush", "NODE", "what the state machine holds survives a power cut from now on",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this]() -> Status {
              RUTILE_RETURN_IF_ERROR(NeedUp(node));
              return cluster_->node(node - 1)->Flush();
            });
          });
  AddVerb("clock", "NODE ahead|back SPAN", "somebody sets the node's wall clock",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            const bool ahead = words.Take("ahead");
            if (!ahead) RUTILE_RETURN_IF_ERROR(words.Need("back"));
            RUTILE_ASSIGN_OR_RETURN(const Duration span, words.Span());
            return ScenarioDo([=, this] {
              const std::int64_t ms = ToMilliseconds(span);
              cluster_->machine(node - 1).clock().JumpWall(ahead ? ms : -ms);
            });
          });
}

void ClusterLevel::AddTimeVerbs() {
  AddVerb("run", "for SPAN | until CONDITION", "time passes",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            if (words.Take("for")) {
              RUTILE_ASSIGN_OR_RETURN(const Duration span, words.Span());
              return ScenarioDo([=, this] { world_->RunFor(span); });
            }
            RUTILE_RETURN_IF_ERROR(words.Need("until"));
            RUTILE_ASSIGN_OR_RETURN(const ScenarioCondition condition, CompileAnyCondition(words));
            return ScenarioDo([=, this] { return RunUntil(condition); });
          });
}

// --- What can be asked.

std::vector<std::string> ClusterLevel::conditions() const {
  return {
      "NODE.term|committed|applied|durable|last|base|match(NODE) OP VALUE   (of the users' region)",
      "NODE.segments OP VALUE   (files that the node's log is in)",
      "NODE.role OP \"TEXT\"",
      "leader NODE | no leader | leader but NODE | up NODE | down NODE",
      "lease NODE | no lease NODE",
      "call NAME ok|waits|refused|unknown",
      "same states",
  };
}

Result<ScenarioField> ClusterLevel::CompileField(std::size_t node, const std::string& field,
                                                 const std::string& argument,
                                                 const ScenarioWords& words) {
  using Get = std::function<ScenarioValue(const store::ReplicaStatus&)>;
  using Replica = store::ReplicaStatus;
  static const std::map<std::string, Get> kFields = {
      {"term", [](const Replica& s) { return s.term.value(); }},
      {"committed", [](const Replica& s) { return s.committed.value(); }},
      {"applied", [](const Replica& s) { return s.applied.value(); }},
      {"durable", [](const Replica& s) { return s.durable.value(); }},
      {"last", [](const Replica& s) { return s.last.value(); }},
      {"base", [](const Replica& s) { return s.base.value(); }},
      {"role", [](const Replica& s) { return std::string(ToString(s.role)); }},
  };
  if (field == "segments") {
    return ScenarioField([this, node]() -> ScenarioValue { return SegmentsOf(node); });
  }
  Get get;
  if (const auto it = kFields.find(field); it != kFields.end()) {
    get = it->second;
  } else if (field == "match") {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t peer, words.NodeNamed(argument));
    get = [peer](const Replica& s) -> ScenarioValue {
      for (const store::Peer& member : s.region.peers) {
        if (member.store != StoreOf(peer)) continue;
        for (const raft::PeerStatus& status : s.peers) {
          if (status.id == member.id) return status.match.value();
        }
      }
      return "unknown: it does not lead";
    };
  } else {
    return ScenarioWords::Mismatch(
        "a field (term, committed, applied, durable, last, base, segments, role or match(NODE))",
        field);
  }
  return ScenarioField([this, node, get]() -> ScenarioValue {
    const std::optional<Replica> status = StatusOf(node);
    return status ? get(*status) : ScenarioValue("unknown: it is down or stuck");
  });
}

Result<ScenarioCondition> ClusterLevel::CompileCondition(ScenarioWords& words) {
  const auto on_node = [&words](auto why) -> Result<ScenarioCondition> {
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
    return ScenarioCondition([node, why]() -> std::string { return why(node); });
  };
  if (words.Take("leader")) {
    if (words.Take("but")) {
      return on_node([this](std::size_t node) -> std::string {
        for (std::size_t other : AllNodes()) {
          if (other != node && Leads(other)) return "";
        }
        return "nobody but " + NameOf(node) + " leads";
      });
    }
    return on_node([this](std::size_t node) {
      return Leads(node) ? std::string() : NameOf(node) + " does not lead";
    });
  }
  for (const bool up : {true, false}) {
    if (!words.Take(up ? "up" : "down")) continue;
    return on_node([this, up](std::size_t node) {
      const bool is = cluster_->is_up(node - 1);
      return is == up ? std::string() : NameOf(node) + (is ? " is up" : " is down");
    });
  }
  const bool negated = words.Take("no");
  if (words.Take("lease")) {
    return on_node([this, negated](std::size_t node) -> std::string {
      if (!cluster_->is_up(node - 1)) return NameOf(node) + " is down";
      const auto until = cluster_->node(node - 1)->store().Gate(kRegion)->lease_until;
      const bool is = until && cluster_->machine(node - 1).clock().Now() < *until;
      return is == !negated ? "" : NameOf(node) + (is ? " has a lease" : " has no lease");
    });
  }
  if (negated && words.Take("leader")) {
    return ScenarioCondition([this]() -> std::string {
      for (std::size_t node : AllNodes()) {
        if (Leads(node)) return NameOf(node) + " leads";
      }
      return "";
    });
  }
  if (negated) return words.Expected("lease or leader");
  if (words.Take("call")) {
    RUTILE_ASSIGN_OR_RETURN(const std::string name, words.Word("the name of a call"));
    RUTILE_ASSIGN_OR_RETURN(const std::string due, words.Word("ok, waits, refused or unknown"));
    return ScenarioCondition([=, this]() -> std::string {
      const auto it = named_.find(name);
      if (it == named_.end()) return "there is no call named " + name;
      const std::string& is = calls_[it->second]->outcome;
      return is.substr(0, is.find(':')) == due ? "" : "call " + name + " " + is;
    });
  }
  if (words.Take("same")) {
    RUTILE_RETURN_IF_ERROR(words.Need("states"));
    return ScenarioCondition([this]() -> std::string {
      return monitor_->HasConverged() ? "" : "replicas differ: " + monitor_->Describe();
    });
  }
  return words.Expected(
      "a condition (NODE.FIELD, leader, no leader, up, down, lease, no lease, call or same "
      "states)");
}

}  // namespace rutile::sim
