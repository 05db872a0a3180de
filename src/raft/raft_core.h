#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "raft/backlog.h"
#include "raft/observer.h"
#include "raft/progress.h"
#include "raft/promises.h"
#include "raft/raft.h"
#include "raft/read_index.h"

namespace rutile::raft {

// What is behind Raft. Each public member of Raft has its like here: it takes the input in, and
// ends with Finish() (see Run()), which turns what changed into Effects in the order of the
// design's third rule: by then the log is cut, appended to and committed, so it is written and
// handed out last.
//
// Handlers of messages are one file each: raft_<message>.cc.
class Raft::Core {
 public:
  Core(const Options& options, Start start, Random& random, Instant now);

  Effects Tick(Instant now);
  Effects Step(Instant now, Message&& message);
  ProposeResult Propose(Instant now, std::span<Bytes> payloads);
  std::pair<Result<Proposed>, Effects> ProposeChange(Instant now,
                                                     const ConfigurationChange& change);
  Effects ReadIndex(Instant now, ReadId id, Rare<std::string> context);
  std::optional<Instant> LeaseUntil() const;
  Effects Campaign(Instant now);
  Effects TransferLeadership(Instant now, PeerId to);
  Effects SetPriority(Instant now, std::int32_t priority);
  Effects SetLimits(Instant now, const Limits& limits);
  Limits limits() const;
  Effects OnDurable(Instant now, const Mark& mark);
  Effects OnApplied(Instant now, Index index);
  Effects OnColdRead(Instant now, const ColdRead& read, LogSlice slice);
  Effects OnSnapshotSent(Instant now, PeerId to_peer, LogId id, bool sent);
  Effects OnUnreachable(Instant now, PeerId peer);
  Effects OnPeerLiveness(Instant now, PeerId peer, bool live);
  bool is_quiet() const { return quiet_; }
  void CompactTo(Index index);
  std::size_t Evict(std::size_t keep_bytes);

  PeerId id() const { return options_.id; }
  Term term() const { return hard_state_.term; }
  Role role() const { return role_; }
  PeerId leader() const { return leader_; }
  const HardState& hard_state() const { return hard_state_; }
  const LogTail& tail() const { return tail_; }
  const Configuration& configuration() const { return configurations_.back().second; }
  const Configuration& ConfigurationAt(Index index) const;
  Index configuration_since() const { return configurations_.back().first.index; }
  Index catch_up_mark() const { return role_ == Role::kLeader ? catch_up_mark_ : Index(); }
  bool HasCommittedInTerm() const;
  bool poisoned() const { return poisoned_.has_value(); }
  std::vector<PeerStatus> Peers() const;
  Index LowestMatch() const;
  std::string DebugString() const;

 private:
  using Peer = std::pair<PeerId, Progress>;
  static constexpr std::int32_t kNobody = std::numeric_limits<std::int32_t>::min();
  // A message that promises something, and the last entry that it acknowledges.
  struct Fresh {
    Message message = {};
    Index covers = {};
  };

  // --- Every call is one of these: begins, does its work unless the core is poisoned, finishes.
  template <class Work>
  Effects Run(Instant now, const CoreInput& input, Work work) {
    Effects effects;
    Run(now, input, effects, std::move(work));
    return effects;
  }
  template <class Work>
  void Run(Instant now, const CoreInput& input, Effects& effects, Work work) {
    SmallVector<Fresh, 1> fresh;
    fresh_ = &fresh;
    Begin(now, input, effects);
    if (!poisoned()) {
      work();
      if (unsettled_ && role_ == Role::kLeader) SettleMembership();
      Finish();
    }
    out_ = nullptr;
    fresh_ = nullptr;
  }
  void Begin(Instant now, const CoreInput& input, Effects& effects);
  void Finish();
  void TakeWrite();
  // Decides when `message` leaves: now if what it promises is durable, else with a later OnDurable.
  void Settle(Message&& message, Index covers);
  void DropPromises();  // As their term ends; those of this call too.
  void CheckInvariants() const;
  CoreView View() const;  // These three are for who looks on.
  void Tell(CoreChange change) const {
    if (options_.observer != nullptr) options_.observer->OnChange(View(), change);
  }
  void TellProgress(PeerId peer, const Progress& progress) const;

  // --- Roles (raft_roles.cc). Role, term and leader change nowhere else.
  void BecomeFollower(Term term, PeerId leader);
  void BecomePreCandidate();
  void BecomeCandidate(bool transfer);
  void BecomeLeader();
  void LeaveLeadership();
  void ResetElectionTimer();
  // The current leader has spoken. False if this cannot be: two leaders in one term.
  bool HearLeader(PeerId from);
  void Poison(std::string why);

  // --- Messages.
  bool AdmitTerm(const Message& message);
  void AnswerStale(const Message& message);
  void Dispatch(Message& message);
  void HandlePreVote(const Message& message);
  void HandlePreVoteReply(const Message& message);
  void HandleVote(const Message& message);
  void HandleVoteReply(const Message& message);
  void HandleAppend(Message& message);
  void HandleAppendReply(const Message& message);
  void HandleHeartbeat(const Message& message);
  void HandleHeartbeatReply(const Message& message);
  void HandleSnapshot(const Message& message);
  void HandleTimeoutNow(const Message& message);
  void HandleReadIndex(Message& message);
  void HandleReadIndexReply(Message& message);

  Message Make(MessageType type, PeerId to) const;
  // For messages that promise nothing.
  void Send(Message&& message) { out_->messages.push_back(std::move(message)); }
  // The same, for the caller to fill in before anything else is sent.
  Message& Send(MessageType type, PeerId to);
  // For all others. `covers` is the last entry that it acknowledges, zero for none.
  void Promise(Message&& message, Index covers);

  // --- Elections (raft_vote.cc).
  bool IsSoleVoter() const;
  bool MayCampaign() const;
  bool RefusesVotes() const;
  void RecordVote(PeerId from, bool granted);
  void CountVotesNow();
  void TickFollower();

  // --- After the disk has lost something (raft_impaired.cc).
  bool IsImpaired() const { return hard_state_.impaired_until.has_value(); }
  void NoteMended();

  // --- Priorities (raft_priority.cc).
  bool MayDefer() const;
  int Deference() const;
  bool Outranks(const Message& candidate) const;
  void NotePriorities();
  void MaybeHandOver();

  // --- Witnesses (raft_witness.cc).
  // Whether a peer of this kind may have such entries; makes them what it keeps.
  bool TakeAsKept(LogSlice& slice) const;
  // The last entry that may be sent to `to`; sends to witnesses when theirs has moved.
  Index SendLimit(PeerId to) const;
  bool DecidesWithWitnesses() const;
  void NoteWhoHasData();
  void SendToWitnesses();
  // A voter with data, now and in the configuration to come.
  bool MayLead(PeerId peer) const;

  // --- Quiet groups (raft_quiet.cc).
  bool IsLive(PeerId peer) const;
  bool HasNothingToDo() const;
  void NoteIdleTick();
  bool ProposesQuiet() const;
  void OnQuietProposed(Round round);
  void OnQuietAnswer(const Message& message, Progress& peer);
  void MaybeGoQuiet();
  bool AgreesToQuiet(const Message& heartbeat);
  void WakeFor(const CoreInput& input);
  void WakeUp(bool leader_is_dead);

  // --- Limits and pressure (raft_limits.cc).
  std::size_t backlog_bytes() const { return writing_.bytes() + applying_.bytes(); }
  bool IsBusy() const;
  std::uint64_t Room() const;
  void NotePressure();
  void TellRoom();

  // --- Leading (raft_replicate.cc, raft_heartbeat.cc).
  void TickLeader();
  void CheckQuorum();
  Progress* FindPeer(PeerId id);
  // Why this peer takes no proposals now.
  std::optional<ProposeError> Obstacle() const;
  void BroadcastAppend();
  void SendAppends(PeerId to, Progress& peer);
  // One from peer.next() on, empty if there is nothing more. False if none could be read.
  bool SendAppend(PeerId to, Progress& peer);
  void SendSlice(PeerId to, Progress& peer, LogSlice&& slice);
  void SendEmptyAppend(PeerId to, Progress& peer);
  // `to` has answered a round that the clock has sent since it was last asked, and not what it was
  // asked: whatever keeps it from getting on is tried again.
  void Nudge(PeerId to, Progress& peer, bool impaired);
  void WantSnapshot(PeerId to, Progress& peer);
  void MaybeCommit();
  // Options::announce_commit: says so to whom it may help, and who can be sent to.
  void AnnounceCommit(PeerId to, Progress& peer);
  Index AgreementWith(LogId hint) const;
  void BroadcastHeartbeat(bool quiet = false);
  Progress::Window window() const {
    return {options_.max_inflight_messages, options_.max_inflight_bytes};
  }

  // --- Reads (raft_read.cc) and transfer (raft_transfer.cc).
  bool LeaseIsValid() const;
  void AddRead(ReadRounds::Read read);
  void AnswerRead(ReadRounds::Read read, Index index);
  void ConfirmRounds();
  void StartWantedRound();
  void AbandonReads();
  void AbandonForwarded();
  void BeginTransfer(PeerId to);
  // Whether it could lead soon after it is told to: it lacks, or has not applied, a few at most.
  static constexpr std::uint64_t kCloseEntries = 64;
  bool IsWarm(const Progress& peer) const;
  void MaybeOrderTransfer();
  void TickTransfer();
  void EndTransfer();

  // --- Configurations (raft_configure.cc). In force from append, reverted with a cut.
  Result<Configuration> Judge(const ConfigurationChange& change) const;
  // Last in a call: may commit.
  void AppendConfiguration(const Configuration& next, std::string_view context);
  // What a leader owes to the configuration by itself. Ends every call, while unsettled_.
  void SettleMembership();
  void Resign();
  void NoteConfigurations(const Entries& entries);
  void ConfigurationChanged();
  void SyncPeers();

  Options options_;  // Of what may change, the present value.
  Random& random_;
  Instant now_;
  Rare<std::string> poisoned_ = {};  // Why; empty while all is well.

  LogTail tail_;
  HardState hard_state_;
  HardState submitted_state_;     // What the newest write that carried one carried.
  WriteNumber state_write_ = {};  // The write that every promise of this term waits for.
  SmallVector<std::pair<LogId, Configuration>, 1> configurations_ = {};  // At base, then by entry.

  // Together, since each alone would take eight bytes of every core.
  Role role_ = Role::kFollower;
  bool quiet_ : 1 = false;             // The clock is stopped (raft_quiet.cc).
  bool own_vote_pending_ : 1 = false;  // A candidate's, which is not counted before it is durable.
  bool alone_ : 1 = false;      // No other voter with data answers a leader (raft_witness.cc).
  bool unsettled_ : 1 = false;  // The configuration calls for SettleMembership(), some time.
  bool transfer_ordered_ : 1 = false;  // In this term: no lease any more, see raft_transfer.cc.
  int ticks_ = 0;    // Since the election timer was reset; on a leader since the last quorum check.
  int timeout_ = 0;  // Of the election timer, drawn anew at each reset.
  int heartbeat_ticks_ = 0;           // A leader's, since the last round.
  int transfer_ticks_ = 0;            // Since transferee_ was set.
  int idle_ticks_ = 0;                // A leader's, with nothing to do.
  int leaderless_ticks_ = 0;          // Since the last word of a leader.
  int handover_ticks_ = 0;            // Since the last handover for priority.
  int handover_pause_ = 0;            // Until the next one, at least.
  std::int32_t preferred_ = kNobody;  // Of the voter that is to follow the leader.
  PeerId leader_ = {};
  Instant refuse_votes_until_;
  SmallVector<PeerId, 0> live_ = {};  // Whose nodes live, sorted.
  Round quiet_round_ = {};  // The newest that proposed to go quiet; zero since that is void.

  Backlog writing_ = {};   // Given to the log writer and not worked off (raft_limits.cc), by write.
  Backlog applying_ = {};  // Likewise to apply, by index.
  std::uint64_t told_room_ = kAnyRoom;  // The leader knows.

  SmallVector<std::pair<PeerId, bool>, 0> votes_ = {};  // Candidates only; the next, leaders.
  SmallVector<Peer, 0> peers_ = {};                     // All members but this one, by id.
  std::size_t uncommitted_bytes_ = 0;
  Index catch_up_mark_ = {};  // Was committed at the last check of the quorum, or at the election.
  Round clock_round_ = {};    // The newest round that the clock, not a read, has sent.
  ReadRounds rounds_ = {};
  SmallVector<ReadRounds::Read, 0> early_reads_ = {};  // Until an entry of the term is committed.
  PeerId transferee_ = {};

  ForwardedReads forwarded_;  // Followers only.
  Promises promises_ = {};
  SmallVector<Fresh, 1>* fresh_ = nullptr;  // Of this call, on its stack.
  Effects* out_ = nullptr;                  // Likewise.
};

}  // namespace rutile::raft
