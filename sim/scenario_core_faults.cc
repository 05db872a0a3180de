// More verbs of `level: core`: what disks, state machines, power cuts and time do.

#include <utility>

#include "sim/scenario_core.h"

namespace rutile::sim {

// --- Disks and state machines.

void CoreLevel::AddDiskVerbs() {
  for (const bool pause : {true, false}) {
    AddVerb(pause ? "pause" : "resume", "writer(NODE) | apply(NODE) | reader(NODE) | sender(NODE)",
            pause ? "the node's log writer, apply worker, reader of its log on disk or sender of "
                    "snapshots does nothing by itself"
                  : "undoes pause",
            [this, pause](ScenarioWords& words) -> Result<ScenarioAction> {
              RUTILE_ASSIGN_OR_RETURN(const auto part, ReadPart(words));
              return ScenarioDo([=, this] {
                if (pause) {
                  paused_.insert(part);
                } else {
                  paused_.erase(part);
                }
              });
            });
  }
  AddVerb(
      "write", "NODE [N|all] [untold]",
      "the oldest writes in flight reach the disk; `untold`: the core is not told yet",
      [this](ScenarioWords& words) -> Result<ScenarioAction> {
        RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
        std::uint64_t count = 1;
        if (words.PeekIsNumber()) {
          RUTILE_ASSIGN_OR_RETURN(count, words.Number());
        }
        const bool all = words.Take("all");
        const bool tell = !words.Take("untold");
        return ScenarioDo([=, this] {
          const std::size_t there = cluster_->writes_in_flight(node);
          const std::size_t due = all ? there : count;
          if (there == 0 || due > there) {
            return Failure(NameOf(node) + " has " + std::to_string(there) + " writes in flight");
          }
          for (std::size_t i = 0; i < due; ++i) CompleteWrite(node, tell);
          return Status();
        });
      });
  AddVerb("acknowledge", "NODE [first|last|all]",
          "the core is told of writes that were done untold: the oldest, the newest or all",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            const Which which = ReadWhich(words, Which::kAll);
            return ScenarioDo([=, this] {
              auto& marks = cluster_->marks(node);
              if (marks.empty()) return Failure(NameOf(node) + " was told of all its writes");
              while (!marks.empty()) {
                const auto at = which == Which::kLast ? marks.end() - 1 : marks.begin();
                const raft::Mark mark = *at;
                marks.erase(at);
                cluster_->TellDurable(node, mark);
                Judge();
                if (which != Which::kAll) break;
              }
              return Status();
            });
          });
}

void CoreLevel::AddStateVerbs() {
  AddVerb("apply", "NODE [N]", "the state machine applies the next entries that it was given",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            std::uint64_t count = 1;
            if (words.PeekIsNumber()) {
              RUTILE_ASSIGN_OR_RETURN(count, words.Number());
            }
            return ScenarioDo([=, this] {
              for (std::uint64_t i = 0; i < count; ++i) {
                if (!cluster_->ApplyOne(node))
                  return Failure(NameOf(node) + " has nothing to apply");
                Judge();
              }
              return Status();
            });
          });
  AddVerb("fetch", "NODE [failing]", "the leader's oldest read of its log on disk is answered",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            const bool fail = words.Take("failing");
            return ScenarioDo([=, this] {
              if (!cluster_->AnswerColdRead(node, fail)) {
                return Failure(NameOf(node) + " reads nothing");
              }
              Judge();
              return Status();
            });
          });
}

void CoreLevel::AddLogVerbs() {
  AddVerb("evict", "NODE", "the node's memory is short: what may be dropped from it is",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(node));
              cluster_->Evict(node);
              Judge();
              return Status();
            });
          });
  AddVerb("gc", "NODE to INDEX",
          "flushes the state machine, then compacts the log as far as allowed",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_RETURN_IF_ERROR(words.Need("to"));
            RUTILE_ASSIGN_OR_RETURN(const std::uint64_t index, words.Number());
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(node));
              // The core itself says how far; then the disk follows.
              cluster_->FlushMachine(node);
              cluster_->raft(node).CompactTo(Index(index));
              cluster_->Compact(node, index);
              Judge();
              return Status();
            });
          });
  AddVerb("snapshot", "A->B", "A sends B a snapshot of what it has applied, asked or not",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const auto link, words.Link());
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(link.first));
              cluster_->OfferSnapshot(link.first, link.second, cluster_->machine(link.first));
              Judge();
              return Status();
            });
          });
  AddVerb("abandon", "NODE", "the oldest snapshot that the leader wanted to be sent is given up",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] {
              if (!cluster_->SendSnapshot(node, true)) {
                return Failure(NameOf(node) + " wants no snapshot to be sent");
              }
              Judge();
              return Status();
            });
          });
  AddVerb("flush", "NODE", "what the state machine holds survives a crash from now on",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] { cluster_->FlushMachine(node); });
          });
}

// --- Crashes.

void CoreLevel::AddCrashVerbs() {
  AddVerb(
      "crash", "NODE losing nothing|unsynced|log|engine [after N writes]",
      "the process dies. The log loses writes in flight (all but the oldest N), the state machine "
      "what was not flushed; unsynced: both",
      [this](ScenarioWords& words) -> Result<ScenarioAction> {
        RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
        RUTILE_RETURN_IF_ERROR(words.Need("losing"));
        const bool nothing = words.Take("nothing");
        const bool both = !nothing && words.Take("unsynced");
        const bool log = both || (!nothing && words.Take("log"));
        const bool engine = both || (!nothing && !log && words.Take("engine"));
        if (!nothing && !log && !engine) {
          return words.Expected("nothing, unsynced, log or engine");
        }
        std::uint64_t survive = 0;
        if (log && words.Take("after")) {
          RUTILE_ASSIGN_OR_RETURN(survive, words.Number());
          RUTILE_RETURN_IF_ERROR(words.Need("writes"));
        }
        return ScenarioDo([=, this] { return Crash(node, log, engine, survive); });
      });
  AddVerb("start", "NODE", "the process begins again on its disk",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] { return Start(node); });
          });
  AddVerb("forget", "NODE after INDEX",
          "the disk of a node that is down loses entries that it had promised to keep",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_RETURN_IF_ERROR(words.Need("after"));
            RUTILE_ASSIGN_OR_RETURN(const std::uint64_t last, words.Number());
            return ScenarioDo([=, this] {
              if (cluster_->alive(node)) return Failure(NameOf(node) + " is up");
              auto& log = cluster_->faulty_disk(node).log;
              log.erase(log.upper_bound(Index(last)), log.end());
              twin_->AfterLoss(node, Index(last));
              return Status();
            });
          });
}

// --- Time.

void CoreLevel::AddTimeVerbs() {
  AddVerb(
      "run", "[N ticks | until CONDITION]",
      "all moves that is not held, paused or cut off, until nothing does; with ticks (of 100 ms) "
      "time passes too; `until` takes as many as it needs, up to a limit",
      [this](ScenarioWords& words) -> Result<ScenarioAction> {
        if (words.done()) return ScenarioDo([this] { return Settle(); });
        if (words.Take("until")) {
          RUTILE_ASSIGN_OR_RETURN(ScenarioCondition condition, CompileAnyCondition(words));
          return ScenarioDo([this, condition = std::move(condition)] {
            const auto done = [&] { return condition().empty(); };
            RUTILE_RETURN_IF_ERROR(Settle(done));
            if (!done()) RUTILE_RETURN_IF_ERROR(Tick(kMaxTicks, done));
            return done() || !Violation().empty() ? Status() : Failure(condition());
          });
        }
        RUTILE_ASSIGN_OR_RETURN(const std::uint64_t ticks, words.Number());
        if (!words.Take("tick")) RUTILE_RETURN_IF_ERROR(words.Need("ticks"));
        if (ticks > 10'000) return words.Mismatch("at most 10000 ticks", std::to_string(ticks));
        return ScenarioDo([=, this] { return Tick(static_cast<int>(ticks)); });
      });
  AddVerb("tick", "NODE [N]",
          "time passes for one node: its messages are sent, and stay in the network",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            std::uint64_t count = 1;
            if (words.PeekIsNumber()) {
              RUTILE_ASSIGN_OR_RETURN(count, words.Number());
            }
            if (count > 10'000) return words.Mismatch("at most 10000 ticks", std::to_string(count));
            return ScenarioDo([=, this] { return TickOne(node, count); });
          });
  AddVerb("wait", "SPAN", "the clocks go on; nothing else happens",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const Duration span, words.Span());
            return ScenarioDo([=, this] { cluster_->Elapse(span); });
          });
}

}  // namespace rutile::sim
