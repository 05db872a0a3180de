#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/random.h"
#include "base/rare.h"
#include "base/status.h"
#include "raft/conf_change.h"
#include "raft/log_tail.h"
#include "raft/types.h"

namespace rutile::raft {

enum class Role : std::uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view ToString(Role role);

class Observer;  // observer.h

struct Options {
  PeerId id = {};
  // A follower campaigns after election_ticks .. 1.5 * election_ticks without a leader.
  int election_ticks = 20;
  int heartbeat_ticks = 2;
  // For how long after the sending of a heartbeat round that a quorum answered a leader may read
  // without asking again. Must be below vote_refusal by more than clocks can drift in that time.
  Duration lease = Milliseconds(800);
  // For how long after the last word from a leader (and after a restart) votes are refused.
  Duration vote_refusal = Milliseconds(900);
  // Window of one follower: appends on their way, by count and by bytes.
  std::size_t max_inflight_messages = 256;
  std::size_t max_inflight_bytes = std::size_t{16} << 20;
  std::size_t max_append_bytes = std::size_t{1} << 20;    // Of one kAppend; at least one entry.
  std::size_t max_hand_out_bytes = std::size_t{4} << 20;  // Of one Effects::committed.
  // Proposals are refused while entries of this size in total are not committed.
  std::size_t max_uncommitted_bytes = std::size_t{64} << 20;
  // Entries of this size in total may be on their way to this peer's own disk and to apply. Beyond,
  // a leader refuses proposals, and a follower tells its leader to wait.
  std::size_t max_backlog_bytes = std::size_t{64} << 20;
  bool apply_before_durable = true;
  // Followers are told of a new commit index at once, by an append without entries if there is
  // nothing else to say; else the next append or heartbeat says so. One message to each of them for
  // each advance: for hosts whose followers shall be close behind.
  bool announce_commit = false;
  // This peer is a witness (Configuration::witnesses): it votes and acknowledges, and never leads.
  // Chosen when the peer is made, for life. What it is given to apply has entries without payload
  // (EntryType::kStripped), to be passed over; a snapshot for it is the place and the
  // configuration.
  bool witness = false;
  // A group with nothing to do stops its clock: no ticks, no messages. For hosts that watch which
  // nodes live, once for all groups, and tell with OnPeerLiveness().
  bool quiet = false;
  // Of the voters that are fit to lead, those of the highest priority do; see SetPriority().
  std::int32_t priority = 0;
  Observer* observer = nullptr;  // Looks on; outlives the core. For tests and simulations.
};

// The options that may change while all runs. Zeroes count as ones.
struct Limits {
  std::size_t max_inflight_messages = 0;
  std::size_t max_inflight_bytes = 0;
  std::size_t max_append_bytes = 0;
  std::size_t max_uncommitted_bytes = 0;
  std::size_t max_backlog_bytes = 0;

  friend bool operator==(const Limits&, const Limits&) = default;
};

// One write for the log writer. Writes must reach the disk in the order in which they were taken,
// and the completion of each comes back through OnDurable().
struct LogWrite {
  std::optional<HardState> hard_state = {};
  LogTail::Write log = {};
};

// The leader wants entries (prev, to] for `to_peer`, whose payload is no longer in memory.
struct ColdRead {
  PeerId to_peer = {};
  Term term = {};  // The leader's; answers from another term are void.
  LogId prev = {};
  Index to = {};
  std::size_t max_bytes = 0;
};

// `to_peer` needs what is compacted: the host shall send it a snapshot of at least `at_least`.
struct SnapshotWanted {
  PeerId to_peer = {};
  Index at_least = {};
  bool witness = false;  // `to_peer` keeps no data: the place and the configuration are all of it.
};

// The answer to ReadIndex(): the state machine that has applied `index` may answer. A zero index:
// leadership was lost or the leader is unknown; ask again. (Or this is a witness: ask others.)
struct ReadReady {
  ReadId id = {};
  Index index = {};
  Rare<std::string> context = {};
};

// All that one call asks its caller to do. Fields are independent: the caller may carry them out in
// any order and in parallel, because a message that depends on a write is not in here before that
// write was acknowledged.
//
// What a call without a batch of entries has to say has room in the value itself, so that making,
// moving and dropping it allocates nothing.
struct Effects {
  std::optional<LogWrite> write = {};
  Messages messages = {};
  LogSlice committed = {};  // For apply, in order; continues exactly where the last one ended.
  std::vector<ReadReady> reads = {};
  std::vector<ColdRead> cold_reads = {};
  std::vector<SnapshotWanted> snapshots = {};
  // The state machine must be replaced by the snapshot of this id before anything of `committed` is
  // applied. `write` carries the log's reset.
  Rare<SnapshotMeta> install = {};
  // Term, role, leader or configuration changed, or a transfer of leadership began or ended. Read
  // them from the core.
  bool state_changed = false;
  // The core found a broken invariant, named here. It no longer votes, acknowledges or proposes;
  // the replica must be rebuilt from its peers.
  std::string poisoned = {};

  bool empty() const;
};

// What stands in the way of a proposal.
enum class ProposeError : std::uint8_t {
  kNotLeader,
  kTransferring,  // Leadership is being handed over.
  kBusy,          // max_uncommitted_bytes or max_backlog_bytes is reached.
  kPoisoned,
};

// Where a batch of proposals stands in the log, if it stays there.
struct Proposed {
  LogId id = {};  // Of the first entry of the batch.
};

// How a proposal went, and what the host must do in either case.
struct ProposeResult {
  std::variant<Proposed, ProposeError> outcome = {};
  Effects effects;
};

// What a leader knows of one follower; for status pages and tests.
struct PeerStatus {
  PeerId id = {};
  Index match = {};
  Index next = {};
  std::string state = {};      // "probe", "replicate", "snapshot"
  bool active = false;         // Has answered since the leader last checked its quorum.
  bool lately_active = false;  // Since the check before that: never false for want of time.
  bool paused = false;         // Nothing more is sent before it answers.
  std::size_t inflight = 0;
  // As it told last; none until it did.
  std::int32_t priority = 0;
  Index applied = {};
  std::uint64_t room = kAnyRoom;  // Bytes of entries that it takes.
};

// One member of one Raft group: a state machine without I/O, threads or clocks.
//
// Every input is one change of state and returns one Effects. Given the same inputs and the same
// `random`, the same outputs, always. `now` is the monotonic time of this process and may not go
// back between calls. Not thread-safe: each instance belongs to one executor.
//
// Asynchronous by design: Effects::write may be in flight while further calls are made. Messages
// that promise something (votes, append replies, replies to heartbeats) are held inside until the
// writes they depend on are acknowledged, and dropped when what they promise is no longer current.
class Raft {
 public:
  // What a restart found. `tail` comes from LogTail::Recover. For a new group: HardState{} and a
  // tail that starts after the initial LogId, which all first members share.
  struct Start {
    HardState hard_state = {};
    LogTail tail{LogId{}};
    Configuration configuration = {};  // In force at tail.applied(); entries above correct it.
    bool fresh = false;                // First start: there was nobody to give a promise to.
  };

  // `random` outlives the core.
  Raft(const Options& options, Start start, Random& random, Instant now);
  ~Raft();
  Raft(const Raft&) = delete;
  Raft& operator=(const Raft&) = delete;

  // Advances logical time by one tick.
  Effects Tick(Instant now);
  // Takes in one message. Other recipients and malformed messages are ignored, stale terms are only
  // told so: a network may deliver anything, so nothing that a peer sends is an error here. Whoever
  // sends entries or asks for a vote need not be a member of the configuration known here, which
  // may be older than the sender's (Raft 4.1).
  Effects Step(Instant now, Message&& message);
  Effects Step(Instant now, const Message& message) { return Step(now, Message(message)); }
  // Appends `payloads` as one batch of normal entries, and takes the bytes from there. On failure
  // nothing has changed, there neither, and Effects is empty.
  ProposeResult Propose(Instant now, std::span<Bytes> payloads);
  ProposeResult Propose(Instant now, std::vector<Bytes>&& payloads) {
    return Propose(now, std::span<Bytes>(payloads));
  }
  // Appends a change of configuration, which is in force at once. Refused, with nothing changed and
  // empty Effects, and worth another try: with kUnavailable when this peer does not lead, hands
  // leadership over, has no committed entry of its term, or has the last change (or the automatic
  // leave that follows it) not behind it, applied; with kResourceExhausted where Propose() would
  // say kBusy. Not worth one: with kFailedPrecondition, as conf_change.h says.
  //
  // Whoever is added must not be somebody who was a member before: a peer that comes back has
  // forgotten its votes, and takes an id of its own. A leader that is no voter any more steps down
  // when that is committed; a removed peer is not told, and its host must find out.
  std::pair<Result<Proposed>, Effects> ProposeChange(Instant now,
                                                     const ConfigurationChange& change);
  // Asks at which index a linearizable read may be served. On a follower the question goes to the
  // leader. Answered once in a later (or this) Effects::reads, unless the core is destroyed. For
  // `context` see Message::context.
  Effects ReadIndex(Instant now, ReadId id, Rare<std::string> context = {});
  // Whether a read at `now` needs no round: leader, an entry of its term is committed, lease runs.
  // LeaseUntil() is the first instant at which it does not. Valid until the next Effects with
  // state_changed: a transfer of leadership ends the lease while the role still lasts.
  std::optional<Instant> LeaseUntil() const;
  // Campaigns at once: without pre-vote, and without regard to a lease that may still count on this
  // peer's refusal to vote. For tests, and for the only voter of a group.
  Effects Campaign(Instant now);
  // Hands leadership to `to`, which must be a voter and stay one: waits until it has all of the log
  // on disk and has applied nearly all that is committed, then tells it to campaign. Given up after
  // an election timeout. The lease ends before the order is sent.
  Effects TransferLeadership(Instant now, PeerId to);

  // How much this peer is wanted as a leader, next to others. A preference and never a condition: a
  // voter lets another of higher priority go first, for three election timeouts without a leader at
  // the most; a leader hands over to a voter of higher priority that has kept up.
  Effects SetPriority(Instant now, std::int32_t priority);

  // In force at once. What is on its way, not committed, or not worked off beyond a smaller limit
  // stays, and no more comes before it is within it.
  Effects SetLimits(Instant now, const Limits& limits);

  // --- Completions. Each may come late, repeated or after it has become void.

  Effects OnDurable(Instant now, const Mark& mark);
  Effects OnApplied(Instant now, Index index);
  // `slice` empty: the read failed; the follower is probed again later.
  Effects OnColdRead(Instant now, const ColdRead& read, LogSlice slice);
  // The host has sent `to_peer` a snapshot of `id`, or has given up (`sent` false).
  Effects OnSnapshotSent(Instant now, PeerId to_peer, LogId id, bool sent);
  // The connection to a peer is down: optimistic replication to it stops until it answers.
  Effects OnUnreachable(Instant now, PeerId peer);

  // Whether the node of `peer` lives, as far as the host can tell; it does not before the host has
  // said so. A process that was started again, and one in which a replica has stopped to act, is to
  // be told as one that died and lives. Only for Options::quiet: nothing that a group decides rests
  // on it, but a quiet follower campaigns only when its leader's node is dead.
  Effects OnPeerLiveness(Instant now, PeerId peer, bool live);

  // Lets go of the log up to `index`, clamped to what is applied and durable. Payloads beyond
  // `keep_bytes` are evicted. Neither has effects.
  void CompactTo(Index index);
  std::size_t Evict(std::size_t keep_bytes);

  // --- Reading.

  PeerId id() const;
  Term term() const;
  Role role() const;
  bool is_leader() const { return role() == Role::kLeader; }
  PeerId leader() const;  // Zero: unknown.
  const HardState& hard_state() const;
  Limits limits() const;
  const LogTail& tail() const;
  const Configuration& configuration() const;  // In force: the newest in the log.
  // The one in force at `index`, which must not be below tail().base(): what a snapshot is of.
  const Configuration& ConfigurationAt(Index index) const;
  // The entry that brought configuration(); not above tail().base() for those from before the log.
  Index configuration_since() const;
  // What was committed an election timeout ago at most: who has that keeps up. Leader only, else 0.
  Index catch_up_mark() const;
  // Whether an entry of the leader's own term is committed (Raft 6.4: reads may be served).
  bool HasCommittedInTerm() const;
  bool poisoned() const;
  // Needs no ticks: they change nothing until a call of another kind has made this false.
  bool is_quiet() const;
  std::vector<PeerStatus> Peers() const;  // Empty unless leader.
  // Lowest match of all members, last index when alone: all have it. Leader only, else zero.
  Index LowestMatch() const;
  std::string DebugString() const;

 private:
  class Core;  // raft_core.h
  std::unique_ptr<Core> core_;
};

}  // namespace rutile::raft
