#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "raft/progress.h"
#include "raft/promises.h"
#include "raft/raft.h"
#include "raft/read_index.h"

namespace rutile::raft {

// What is behind Raft. Each public member of Raft has its like here: it takes the input in, and
// ends with Finish(), which turns what changed into Effects in the order of the design's third
// rule: by then the log is cut, appended to and committed, so it is written and handed out last.
//
// Handlers of messages are one file each: raft_<message>.cc.
class Raft::Core {
 public:
  Core(const Options& options, Start start, Random& random, Instant now);

  Effects Tick(Instant now);
  Effects Step(Instant now, Message message);
  std::pair<std::variant<Proposed, ProposeError>, Effects> Propose(Instant now,
                                                                   std::vector<Bytes> payloads);
  Effects ReadIndex(Instant now, ReadId id);
  std::optional<Instant> LeaseUntil() const;
  Effects Campaign(Instant now);
  Effects TransferLeadership(Instant now, PeerId to);
  Effects OnDurable(Instant now, const Mark& mark);
  Effects OnApplied(Instant now, Index index);
  Effects OnColdRead(Instant now, const ColdRead& read, LogSlice slice);
  Effects OnSnapshotSent(Instant now, PeerId to_peer, LogId id, bool sent);
  Effects OnUnreachable(Instant now, PeerId peer);
  void CompactTo(Index index);
  std::size_t Evict(std::size_t keep_bytes) { return tail_.Evict(keep_bytes); }

  PeerId id() const { return options_.id; }
  Term term() const { return hard_state_.term; }
  Role role() const { return role_; }
  PeerId leader() const { return leader_; }
  const HardState& hard_state() const { return hard_state_; }
  const LogTail& tail() const { return tail_; }
  const Configuration& configuration() const { return configurations_.back().second; }
  bool HasCommittedInTerm() const;
  bool poisoned() const { return !poisoned_.empty(); }
  std::vector<PeerStatus> Peers() const;
  Index LowestMatch() const;
  std::string DebugString() const;

 private:
  using Peer = std::pair<PeerId, Progress>;

  // --- Every call begins and ends with these (raft_core.cc).
  void Begin(Instant now);
  Effects Finish();
  void TakeWrite();
  // Decides when `message` leaves: now if what it promises is durable, else with a later OnDurable.
  void Settle(Message message, Index covers);
  void CheckInvariants() const;

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
  void HandleReadIndex(const Message& message);
  void HandleReadIndexReply(const Message& message);

  Message Make(MessageType type, PeerId to) const;
  // For messages that promise nothing.
  void Send(Message message) { out_.messages.push_back(std::move(message)); }
  // For all others. `covers` is the last entry that it acknowledges, zero for none.
  void Promise(Message message, Index covers);

  // --- Elections (raft_vote.cc).
  bool IsSoleVoter() const;
  bool RefusesVotes() const;
  void RecordVote(PeerId from, bool granted);
  void CountVotesNow();
  void TickFollower();

  // --- Leading (raft_replicate.cc, raft_heartbeat.cc).
  void TickLeader();
  void CheckQuorum();
  Progress* FindPeer(PeerId id);
  void SyncPeers();
  void BroadcastAppend();
  void SendAppends(PeerId to, Progress& peer);
  // One append from peer.next() on, empty if there is nothing more. False if none could be read.
  bool SendAppend(PeerId to, Progress& peer);
  void SendSlice(PeerId to, Progress& peer, LogSlice slice);
  void SendEmptyAppend(PeerId to, Progress& peer);
  // `to` has answered a round that the clock has sent since it was last asked, and not what it was
  // asked: whatever keeps it from getting on is tried again.
  void Nudge(PeerId to, Progress& peer);
  void WantSnapshot(PeerId to, Progress& peer);
  void MaybeCommit();
  Index AgreementWith(LogId hint) const;
  void BroadcastHeartbeat();
  Progress::Window window() const {
    return {options_.max_inflight_messages, options_.max_inflight_bytes};
  }

  // --- Reads (raft_read.cc) and transfer (raft_transfer.cc).
  bool LeaseIsValid() const;
  void AddRead(const ReadRounds::Read& read);
  void AnswerRead(const ReadRounds::Read& read, Index index);
  void ConfirmRounds();
  void StartWantedRound();
  void AbandonReads();
  void AbandonForwarded();
  void MaybeOrderTransfer();
  void TickTransfer();
  void EndTransfer();

  // --- Configurations (raft_core.cc). In force from append, reverted with a cut.
  void NoteConfigurations(const std::vector<Entry>& entries);
  void ConfigurationChanged();

  const Options options_;
  Random& random_;
  Instant now_;
  std::string poisoned_ = {};  // Why; empty while all is well.

  LogTail tail_;
  HardState hard_state_;
  HardState submitted_state_;     // What the newest write that carried one carried.
  WriteNumber state_write_ = {};  // The write that every promise of this term waits for.
  std::vector<std::pair<LogId, Configuration>> configurations_ = {};  // At base, then by entry.

  Role role_ = Role::kFollower;
  PeerId leader_ = {};
  int ticks_ = 0;    // Since the election timer was reset; on a leader since the last quorum check.
  int timeout_ = 0;  // Of the election timer, drawn anew at each reset.
  Instant refuse_votes_until_;

  // Candidates only.
  std::vector<std::pair<PeerId, bool>> votes_ = {};
  bool own_vote_pending_ = false;  // Not counted before it is durable.

  // Leaders only.
  std::vector<Peer> peers_ = {};  // All members but this one, by id.
  std::size_t uncommitted_bytes_ = 0;
  int heartbeat_ticks_ = 0;
  Round clock_round_ = {};  // The newest round that the clock, not a read, has sent.
  ReadRounds rounds_ = {};
  std::vector<ReadRounds::Read> early_reads_ = {};  // Until an entry of the term is committed.
  PeerId transferee_ = {};
  int transfer_ticks_ = 0;
  bool transfer_ordered_ = false;  // In this term: no lease any more, see raft_transfer.cc.

  // Followers only.
  ForwardedReads forwarded_;

  Promises promises_ = {};
  std::vector<std::pair<Message, Index>> fresh_ = {};  // Of this call, with what they cover.
  Effects out_ = {};                                   // Of this call.
};

}  // namespace rutile::raft
