#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/observer.h"
#include "sim/oracle_log.h"

namespace rutile::sim {

// Judges one Raft group at every step of every replica, from outside and all-knowing.
//
// It keeps a naive twin of each replica (its log in memory and on disk as plain lists, made only
// from what the core asks its host to do and from the completions it is told) and remembers what
// was ever elected, voted, written and committed. What a core says or does is compared with that;
// the core is never asked what is right. Work is in proportion to what a step has changed.
//
// The codes that begin each problem:
//   ES  at most one leader a term
//   LM  the same (index, term) is the same entry after the same entry, wherever it is
//   LC  what is committed is in the log of every later leader
//   SM  all apply the same, each entry once in a process, in order
//   CD  what is committed is durable on a quorum
//   L1  what is read of a log is what was put there          L2  nothing committed is cut
//   L3  the cursors are in order, and do not go back         L4  no promise before the disk
//   L5  apply gets what was committed; only a leader hands out its own term's before its disk has
//   it L6  the stored commit index does not go back, and what it covers is stored with it L7  the
//   term of an index is right or unknown             L8  late completions change nothing L9  the
//   log's start is dropped only if the state machine keeps it through a restart L10 what is not
//   durable or not handed out stays in memory; the account of memory is right P1  a leader's match
//   is on that follower's disk          P2  next is beyond match R1  a restart finds what was
//   durable                     S1  a snapshot replaces what it must M1  the configuration in force
//   is the log's newest       V1  one vote a term, durable first       V2  no vote of who has lost
//   entries, before it has them back
class GroupOracle final : public raft::Observer {
 public:
  using Report = std::function<void(const std::string& problem)>;
  // `name` begins each problem.
  GroupOracle(std::string name, Report report);

  // Of all replicas of the group: `view.id` says of which.
  void OnStart(const raft::CoreView& view, const raft::HardState& hard_state) override;
  void OnInput(const raft::CoreView& view, const raft::CoreInput& input) override;
  void OnChange(const raft::CoreView& view, raft::CoreChange change) override;
  void OnProgress(const raft::CoreView& view, PeerId peer, Index match, Index next) override;
  void OnFinish(const raft::CoreView& view, const raft::Effects& effects) override;
  void OnLetGo(const raft::CoreView& view) override;

  Index highest_commit() const { return committed_end_; }
  // How many single facts were compared.
  std::uint64_t compared() const { return compared_; }

 private:
  // One write on its way to the disk.
  struct Flight {
    raft::WriteNumber write = {};
    bool reset = false;
    LogId after = {};
    std::vector<TwinItem> items = {};
    std::optional<raft::HardState> state = {};
  };
  struct Replica {
    bool known = false;
    TwinLog memory = {};
    TwinLog disk = {};
    // Was on the disk, which has lost it since: others may count on it.
    std::set<LogId> lost = {};
    raft::HardState disk_state = {};
    raft::HardState submitted_state = {};
    std::deque<Flight> flights = {};
    std::vector<std::pair<LogId, raft::Configuration>> configurations = {};
    // As last seen.
    Term term = {};
    PeerId vote = {};
    raft::Role role = raft::Role::kFollower;
    Index committed = {};
    Index counted = {};  // As a leader, in this call: it may step down in the same.
    Index applying = {};
    Index applied = {};
    Index durable = {};
    Index compacted = {};  // The highest base, of all processes.
    std::uint64_t probe = 0;
  };
  struct Known {
    LogId before = {};
    std::uint64_t hash = 0;
  };
  struct Committed {
    Term term = {};
    std::uint64_t hash = 0;
  };

  // --- oracle_start.cc
  bool MayBeginAnew(const Replica& replica, const raft::CoreView& view,
                    const raft::HardState& hard_state) const;
  void Adopt(Replica& replica, const raft::CoreView& view);
  bool Recovers(const Replica& replica, const raft::CoreView& view,
                const raft::HardState& hard_state) const;
  bool RecoversInPart(Replica& replica, const raft::CoreView& view,
                      const raft::HardState& hard_state) const;
  void CheckRestart(Replica& replica, const raft::CoreView& view,
                    const raft::HardState& hard_state);

  // --- oracle_log.cc
  void Land(Replica& replica, const Flight& flight);
  void TakeInstall(Replica& replica, const raft::CoreView& view, const raft::SnapshotMeta& meta);
  void TakeWrite(Replica& replica, const raft::CoreView& view, const raft::LogWrite& write);
  void TakeState(Replica& replica, const raft::CoreView& view, const raft::HardState& state);
  void CheckCut(const Replica& replica, const raft::CoreView& view, Index last_kept);
  void NoteConfiguration(Replica& replica, const Entry& entry);
  void NoteVoters(const raft::Configuration& configuration);
  void CompareLog(Replica& replica, const raft::CoreView& view);
  void CompareTerm(const Replica& replica, const raft::CoreView& view, Index index);
  void CompareSlice(const Replica& replica, PeerId who, const LogSlice& slice, const char* what);
  Index TwinDurable(const Replica& replica) const;

  // --- oracle_group.cc
  void CheckSent(const Replica& replica, const raft::CoreView& view, const raft::Message& message);
  void CheckVoteSent(const Replica& replica, const raft::Message& message);
  void CheckAckSent(const Replica& replica, const raft::Message& message);
  void CheckHandOut(Replica& replica, const raft::CoreView& view, const LogSlice& slice);
  void CheckCursors(Replica& replica, const raft::CoreView& view);
  void CheckCommit(Replica& replica, const raft::CoreView& view);
  void CommitOne(const Replica& replica, const raft::CoreView& view, Index index);
  void CheckQuorum(const raft::CoreView& view, LogId id);
  void CheckNewLeader(const Replica& replica, const raft::CoreView& view);
  void CheckMembership(const Replica& replica, const raft::CoreView& view);

  // The entry is known, and the same everywhere.
  void Register(PeerId who, LogId before, const TwinItem& item);
  const Committed* FindCommitted(Index index) const;
  bool IsCommitted(LogId id) const;
  // `id` is unknown below where the group's history began, and then taken to be right.
  bool MayBeCommitted(LogId id) const;
  void Problem(const char* code, PeerId who, const std::string& what);
  Replica& At(PeerId id) { return replicas_[id]; }

  const std::string name_;
  const Report report_;
  std::map<PeerId, Replica> replicas_;
  std::set<PeerId> voters_;  // Of all configurations that there ever were.
  std::map<Term, PeerId> leaders_;
  std::map<std::pair<PeerId, Term>, PeerId> votes_;
  std::map<LogId, Known> entries_;
  // Of (history_begin_, committed_end_].
  std::deque<Committed> committed_;
  Index history_begin_ = {};
  Index committed_end_ = {};
  // The newest entry that leaders of each term have committed.
  std::map<Term, LogId> committed_by_;
  std::uint64_t next_number_ = 1;
  std::uint64_t compared_ = 0;
};

// Of what makes two entries the same besides their id.
std::uint64_t HashOf(const Entry& entry);
// With memory of its own: a store counts what is kept alive of its entries, and must not count what
// looks on.
Entry CopyOf(const Entry& entry);

}  // namespace rutile::sim
