#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/log_slice.h"
#include "base/rare.h"
#include "base/small_vector.h"
#include "base/time.h"

namespace rutile::raft {

// Counts the cuts of one replica's log tail in one process lifetime.
using Epoch = StrongId<struct EpochTag>;
// Counts the writes that one replica has issued to its log in one process lifetime, from 1.
using WriteNumber = StrongId<struct WriteNumberTag>;
// Counts the heartbeat rounds of one leader.
using Round = StrongId<struct RoundTag>;
// Chosen by the caller of ReadIndex(); handed back with the answer.
using ReadId = StrongId<struct ReadIdTag>;

using rutile::Entry;
using rutile::EntryType;
using rutile::LogSlice;

// What one write made durable, or one promise depends on. Every write carries the mark of the tail
// at the moment it was issued, and its acknowledgement brings the mark back.
//
// Writes of one replica become durable in the order of their numbers, so an acknowledgement of
// `write` acknowledges all before it. `epoch` tells which cuts the write knew of: what was cut
// since is not durable by it, even if an entry with the same (index, term) stands there again.
struct Mark {
  Term term = {};    // The replica's term when the write was issued.
  Epoch epoch = {};  // The tail's, likewise.
  Index index = {};  // Last index of the tail, likewise.
  WriteNumber write = {};

  friend bool operator==(const Mark&, const Mark&) = default;
};

// What must be durable before any message that depends on it leaves. `commit` is a lower bound for
// restart, never a cut point.
struct HardState {
  Term term = {};
  PeerId vote = {};  // Zero: not voted in this term.
  Index commit = {};
  // The log was on disk up to here, and the disk has lost some of it: until it is there again, or a
  // newer one, this peer is impaired. It does not vote, and brings nobody else's votes together.
  Rare<LogId> impaired_until = {};

  friend bool operator==(const HardState&, const HardState&) = default;
};

// Few of them; of the lists that a configuration has, most are empty nearly always.
using PeerIds = SmallVector<PeerId, 0>;

// Who votes. While `outgoing` is not empty the group is in joint consensus (Raft 4.3): decisions
// need a majority of both sets. Ids are sorted and unique; a peer is a voter or a learner, not
// both.
struct Configuration {
  PeerIds voters = {};
  PeerIds outgoing = {};
  PeerIds learners = {};
  // Voters of `outgoing` only, who become learners when the joint configuration is left.
  PeerIds learners_next = {};
  // Voters, of either set, that keep what entries there are and not what they say. They are fewer
  // than a majority of each set, so every quorum has somebody who has the data.
  PeerIds witnesses = {};
  // Joint only: whoever leads leaves it by itself, as soon as it is committed and applied.
  bool auto_leave = false;

  bool IsVoter(PeerId id) const;
  bool IsMember(PeerId id) const;
  bool IsWitness(PeerId id) const;
  // All voters and learners, sorted, each once.
  PeerIds Members() const;
  bool IsJoint() const { return !outgoing.empty(); }
  // Whether the laws above hold. Without any member it is valid: a peer that waits to be told.
  bool IsValid() const;

  friend bool operator==(const Configuration&, const Configuration&) = default;
};

// The payload of a kConfig entry: the same bytes for the same configuration and context, always.
// The entry says what is in force from it on, not what changes: a reader needs no other entry, and
// a log that is cut needs no undoing. `context` is the host's (what its state machine must know
// beyond ids).
Bytes EncodeConfiguration(const Configuration& configuration, std::string_view context = {});
// Nothing when the bytes are not the encoding of a valid configuration. `context`, if asked for,
// becomes a part of `in`.
std::optional<Configuration> DecodeConfiguration(std::string_view in,
                                                 std::string_view* context = nullptr);

// The place in the log that a snapshot stands for. Its data is the host's business.
struct SnapshotMeta {
  LogId id = {};
  Configuration configuration = {};

  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

enum class MessageType : std::uint8_t {
  kPreVote = 1,
  kPreVoteReply = 2,
  kVote = 3,
  kVoteReply = 4,
  kAppend = 5,
  kAppendReply = 6,
  kHeartbeat = 7,
  kHeartbeatReply = 8,
  kSnapshot =
      9,  // Never built by the core: the host steps it when the data has arrived and is safe.
  kTimeoutNow = 10,
  kReadIndex = 11,
  kReadIndexReply = 12,
};

// Nothing stands in the way of more entries.
inline constexpr std::uint64_t kAnyRoom = std::numeric_limits<std::uint64_t>::max();

// One message between two peers of a group. Fields not named for a type are at their defaults.
struct Message {
  MessageType type = MessageType::kAppend;
  bool granted = false;   // kPreVoteReply, kVoteReply.
  bool transfer = false;  // kVote: by the leader's wish; leader stickiness does not refuse it.
  // kAppendReply. kPreVoteReply: the sender's priority is higher, and it campaigns itself.
  bool rejected = false;
  // kAppendReply, kHeartbeatReply: the sender has lost some of what it has acknowledged. When
  // rejected too, it has nothing of the receiver's log beyond `hint`.
  bool impaired = false;
  // kHeartbeat: nothing is left to do, and the receiver may stop its clock; see Options::quiet.
  // kHeartbeatReply: it has.
  bool quiet = false;
  // kPreVote, kHeartbeatReply: the sender's. kHeartbeat: the highest of the voters that the sender
  // would be followed by.
  std::int32_t priority = 0;

  PeerId from = {};
  PeerId to = {};
  // Of the sender. kPreVote, and its reply when granted: the term the candidate would campaign in.
  Term term = {};

  LogId last_log = {};  // kPreVote, kVote: the candidate's last entry.

  LogSlice slice = {};  // kAppend: what follows slice.prev; may be empty (a probe).
  Index commit = {};    // kAppend, kHeartbeat: the sender's commit index, capped for the receiver.

  // kAppendReply, kHeartbeatReply: how far the sender has applied, and how many bytes of entries
  // more it takes.
  Index applied = {};
  std::uint64_t room = kAnyRoom;
  Index match = {};  // kAppendReply: accepted up to here (durable); on reject, slice.prev's index.
  LogId hint = {};   // kAppendReply, rejected: the last id the receiver may share (see Raft 5.3).

  Round round = {};  // kHeartbeat, kHeartbeatReply.

  Rare<SnapshotMeta> snapshot = {};  // kSnapshot.

  // kReadIndex: what the asker's host wants to know of the leader's, besides the index. Opaque to
  // the core. Who steps the message may put an answer in its place just before, and then led, in no
  // earlier term than the index is of, when it did. kReadIndexReply: it goes back.
  Rare<std::string> context = {};

  ReadId read = {};       // kReadIndex, kReadIndexReply.
  Index read_index = {};  // kReadIndexReply; zero: the leader could not confirm, ask again.
};

// To both followers of a group of three without memory of its own.
using Messages = SmallVector<Message, 2>;

// "1->2 Append term 3 prev 4@2 +2 commit 4". For traces, scripts and failed checks.
std::string ToString(const Message& message);
std::string ToString(const HardState& state);
std::string ToString(const Configuration& configuration);
std::string ToString(const Mark& mark);
std::string_view ToString(MessageType type);

}  // namespace rutile::raft
