#include "store/peer_message.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "codec/integers.h"

namespace rutile::store {
namespace {

enum class Kind : std::uint8_t {
  kRaft = 1,
  kSnapshotPart = 2,
  kSnapshotPartReply = 3,
  kDatagram = 4,
  kBeat = 5,
  kMembershipQuery = 6,
  kMembershipNews = 7,
};

// Which optional parts of a raft message follow. A message without them is a handful of bytes.
enum Field : std::uint8_t {
  kLastLog = 1 << 0,
  kSlice = 1 << 1,
  kMatchHint = 1 << 2,
  kSnapshot = 1 << 3,
  kRead = 1 << 4,
  kPriority = 1 << 5,
  kStanding = 1 << 6,
  kContext = 1 << 7,
};
enum Flag : std::uint8_t { kGranted = 1, kTransfer = 2, kRejected = 4, kQuiet = 8, kImpaired = 16 };

void PutLogId(std::string* out, const LogId& id) {
  codec::PutVarint(out, id.term.value());
  codec::PutVarint(out, id.index.value());
}

LogId GetLogId(codec::Reader& reader) {
  const Term term(reader.Varint());
  return LogId{term, Index(reader.Varint())};
}

// Small numbers of either sign are short: 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
void PutSigned(std::string* out, std::int32_t value) {
  const auto bits = static_cast<std::uint32_t>(value);
  codec::PutVarint(out, (bits << 1) ^ (value < 0 ? ~std::uint32_t{0} : 0));
}

std::int32_t GetSigned(codec::Reader& reader) {
  const auto bits = static_cast<std::uint32_t>(reader.Varint());
  return static_cast<std::int32_t>((bits >> 1) ^ ((bits & 1) != 0 ? ~std::uint32_t{0} : 0));
}

void PutPeers(std::string* out, const raft::PeerIds& peers) {
  codec::PutVarint(out, peers.size());
  for (const PeerId peer : peers) codec::PutVarint(out, peer.value());
}

raft::PeerIds GetPeers(codec::Reader& reader) {
  raft::PeerIds peers;
  const std::uint64_t count = reader.Varint();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) peers.emplace_back(reader.Varint());
  return peers;
}

raft::Configuration GetConfiguration(codec::Reader& reader) {
  raft::Configuration configuration;
  configuration.voters = GetPeers(reader);
  configuration.outgoing = GetPeers(reader);
  configuration.learners = GetPeers(reader);
  configuration.learners_next = GetPeers(reader);
  configuration.auto_leave = reader.Fixed8() != 0;
  return configuration;
}

void PutSlice(std::string* out, const LogSlice& slice) {
  PutLogId(out, slice.prev);
  codec::PutVarint(out, slice.entries.size());
  for (const Entry& entry : slice.entries) {
    // Indexes follow from slice.prev.
    codec::PutVarint(out, entry.id.term.value());
    codec::PutFixed8(out, static_cast<std::uint8_t>(entry.type));
    codec::PutBytes(out, entry.payload.view());
  }
}

// Entries share one copy of the message's bytes: one allocation for the whole slice.
LogSlice GetSlice(codec::Reader& reader, LogMemory* memory) {
  LogSlice slice;
  slice.prev = GetLogId(reader);
  const std::uint64_t count = reader.Varint();
  if (count == 0) return slice;
  const std::string_view rest = reader.rest();
  // No entry takes less than three bytes, whatever the message says of how many there are.
  const Bytes copy = memory == nullptr
                         ? Bytes::Copy(rest)
                         : memory->Copy(rest, std::min<std::size_t>(count, rest.size() / 3));
  codec::Reader shared(copy.view());
  Index index = slice.prev.index;
  for (std::uint64_t i = 0; i < count && shared.ok(); ++i) {
    index = index.Next();
    const Term term(shared.Varint());
    const std::uint8_t type = shared.Fixed8();
    const std::string_view payload = shared.Bytes();
    if (!shared.ok() || type > static_cast<std::uint8_t>(EntryType::kConfig)) break;
    Entry& entry = slice.entries.emplace_back();
    entry.id = {.term = term, .index = index};
    entry.type = static_cast<EntryType>(type);
    if (payload.empty()) continue;
    entry.payload =
        copy.Slice(static_cast<std::size_t>(payload.data() - copy.view().data()), payload.size());
  }
  const bool whole = slice.entries.size() == count;
  // Asking for more than there is makes the outer reader refuse the message.
  static_cast<void>(reader.Raw(whole ? rest.size() - shared.rest().size() : rest.size() + 1));
  return slice;
}

void PutRaftMessage(std::string* out, const raft::Message& m) {
  std::uint8_t fields = 0;
  if (m.last_log != LogId{}) fields |= kLastLog;
  if (m.slice.prev != LogId{} || !m.slice.empty()) fields |= kSlice;
  if (m.match != Index() || m.hint != LogId{}) fields |= kMatchHint;
  if (m.snapshot) fields |= kSnapshot;
  if (m.read != raft::ReadId() || m.read_index != Index()) fields |= kRead;
  if (m.context) fields |= kContext;
  if (m.priority != 0) fields |= kPriority;
  if (m.applied != Index() || m.room != raft::kAnyRoom) fields |= kStanding;
  codec::PutFixed8(out, static_cast<std::uint8_t>(m.type));
  codec::PutFixed8(out, fields);
  codec::PutFixed8(
      out, static_cast<std::uint8_t>((m.granted ? kGranted : 0) | (m.transfer ? kTransfer : 0) |
                                     (m.rejected ? kRejected : 0) | (m.quiet ? kQuiet : 0) |
                                     (m.impaired ? kImpaired : 0)));
  codec::PutVarint(out, m.from.value());
  codec::PutVarint(out, m.to.value());
  codec::PutVarint(out, m.term.value());
  codec::PutVarint(out, m.commit.value());
  codec::PutVarint(out, m.round.value());
  if ((fields & kLastLog) != 0) PutLogId(out, m.last_log);
  if ((fields & kMatchHint) != 0) {
    codec::PutVarint(out, m.match.value());
    PutLogId(out, m.hint);
  }
  if ((fields & kSnapshot) != 0) {
    PutLogId(out, m.snapshot->id);
    AppendConfiguration(out, m.snapshot->configuration);
  }
  if ((fields & kRead) != 0) {
    codec::PutVarint(out, m.read.value());
    codec::PutVarint(out, m.read_index.value());
  }
  if ((fields & kContext) != 0) codec::PutBytes(out, *m.context);
  if ((fields & kPriority) != 0) PutSigned(out, m.priority);
  if ((fields & kStanding) != 0) {
    codec::PutVarint(out, m.applied.value());
    codec::PutVarint(out, m.room + 1);  // Any room: zero.
  }
  if ((fields & kSlice) != 0) PutSlice(out, m.slice);  // Last: see GetSlice.
}

raft::Message GetRaftMessage(codec::Reader& reader, LogMemory* memory) {
  raft::Message m;
  m.type = static_cast<raft::MessageType>(reader.Fixed8());
  const std::uint8_t fields = reader.Fixed8();
  const std::uint8_t flags = reader.Fixed8();
  m.granted = (flags & kGranted) != 0;
  m.transfer = (flags & kTransfer) != 0;
  m.rejected = (flags & kRejected) != 0;
  m.quiet = (flags & kQuiet) != 0;
  m.impaired = (flags & kImpaired) != 0;
  m.from = PeerId(reader.Varint());
  m.to = PeerId(reader.Varint());
  m.term = Term(reader.Varint());
  m.commit = Index(reader.Varint());
  m.round = raft::Round(reader.Varint());
  if ((fields & kLastLog) != 0) m.last_log = GetLogId(reader);
  if ((fields & kMatchHint) != 0) {
    m.match = Index(reader.Varint());
    m.hint = GetLogId(reader);
  }
  if ((fields & kSnapshot) != 0) {
    m.snapshot = raft::SnapshotMeta();
    m.snapshot->id = GetLogId(reader);
    m.snapshot->configuration = GetConfiguration(reader);
  }
  if ((fields & kRead) != 0) {
    m.read = raft::ReadId(reader.Varint());
    m.read_index = Index(reader.Varint());
  }
  if ((fields & kContext) != 0) m.context = std::string(reader.Bytes());
  if ((fields & kPriority) != 0) m.priority = GetSigned(reader);
  if ((fields & kStanding) != 0) {
    m.applied = Index(reader.Varint());
    m.room = reader.Varint() - 1;
  }
  if ((fields & kSlice) != 0) m.slice = GetSlice(reader, memory);
  return m;
}

std::string Begin(Kind kind) {
  std::string out;
  codec::PutFixed8(&out, static_cast<std::uint8_t>(kind));
  return out;
}

SnapshotPart GetSnapshotPart(codec::Reader& reader) {
  SnapshotPart part;
  part.region = RegionId(reader.Varint());
  part.from = PeerId(reader.Varint());
  part.to = PeerId(reader.Varint());
  part.transfer = reader.Varint();
  part.number = reader.Varint();
  part.acknowledged = reader.Varint();
  part.last = reader.Fixed8() != 0;
  part.meta.id = GetLogId(reader);
  part.meta.configuration = GetConfiguration(reader);
  part.term = Term(reader.Varint());
  part.data = reader.Bytes();
  return part;
}

SnapshotPartReply GetSnapshotPartReply(codec::Reader& reader) {
  SnapshotPartReply reply;
  reply.region = RegionId(reader.Varint());
  reply.from = PeerId(reader.Varint());
  reply.to = PeerId(reader.Varint());
  reply.transfer = reader.Varint();
  reply.next = reader.Varint();
  reply.refused = reader.Fixed8() != 0;
  return reply;
}

bool IsKnown(raft::MessageType type) {
  return type >= raft::MessageType::kPreVote && type <= raft::MessageType::kReadIndexReply;
}

}  // namespace

void AppendConfiguration(std::string* out, const raft::Configuration& configuration) {
  PutPeers(out, configuration.voters);
  PutPeers(out, configuration.outgoing);
  PutPeers(out, configuration.learners);
  PutPeers(out, configuration.learners_next);
  codec::PutFixed8(out, configuration.auto_leave ? 1 : 0);
}

std::string Encode(const RaftEnvelope& envelope) {
  std::string out = Begin(Kind::kRaft);
  std::size_t bytes = 64;
  for (const Entry& entry : envelope.message.slice.entries) bytes += entry.size_bytes();
  out.reserve(bytes);
  codec::PutVarint(&out, envelope.region.value());
  PutRaftMessage(&out, envelope.message);
  return out;
}

std::string Encode(const SnapshotPart& part) {
  std::string out = Begin(Kind::kSnapshotPart);
  out.reserve(part.data.size() + 128);
  codec::PutVarint(&out, part.region.value());
  codec::PutVarint(&out, part.from.value());
  codec::PutVarint(&out, part.to.value());
  codec::PutVarint(&out, part.transfer);
  codec::PutVarint(&out, part.number);
  codec::PutVarint(&out, part.acknowledged);
  codec::PutFixed8(&out, part.last ? 1 : 0);
  PutLogId(&out, part.meta.id);
  AppendConfiguration(&out, part.meta.configuration);
  codec::PutVarint(&out, part.term.value());
  codec::PutBytes(&out, part.data);
  return out;
}

std::string Encode(const SnapshotPartReply& reply) {
  std::string out = Begin(Kind::kSnapshotPartReply);
  codec::PutVarint(&out, reply.region.value());
  codec::PutVarint(&out, reply.from.value());
  codec::PutVarint(&out, reply.to.value());
  codec::PutVarint(&out, reply.transfer);
  codec::PutVarint(&out, reply.next);
  codec::PutFixed8(&out, reply.refused ? 1 : 0);
  return out;
}

std::string Encode(const MembershipQuery& query) {
  std::string out = Begin(Kind::kMembershipQuery);
  codec::PutVarint(&out, query.region.value());
  codec::PutVarint(&out, query.peer.value());
  return out;
}

std::string Encode(const MembershipNews& news) {
  std::string out = Begin(Kind::kMembershipNews);
  codec::PutVarint(&out, news.to.value());
  codec::PutBytes(&out, EncodeRegion(news.region));
  return out;
}

std::string Encode(const Datagram& datagram) {
  std::string out = Begin(Kind::kDatagram);
  codec::PutFixed8(&out, datagram.channel);
  codec::PutBytes(&out, datagram.payload);
  return out;
}

std::string Encode(const Beat& beat) {
  std::string out = Begin(Kind::kBeat);
  codec::PutVarint(&out, beat.incarnation);
  codec::PutVarint(&out, beat.trouble);
  codec::PutVarint(&out, beat.number);
  return out;
}

Result<PeerMessage> DecodePeerMessage(std::string_view bytes, LogMemory* memory) {
  codec::Reader reader(bytes);
  const std::uint8_t kind = reader.Fixed8();
  PeerMessage message;
  switch (static_cast<Kind>(kind)) {
    case Kind::kRaft: {
      RaftEnvelope envelope;
      envelope.region = RegionId(reader.Varint());
      envelope.message = GetRaftMessage(reader, memory);
      if (!IsKnown(envelope.message.type) || !envelope.message.slice.Validate()) {
        return Status(Code::kCorruption, "peer message: broken raft message");
      }
      message = std::move(envelope);
      break;
    }
    case Kind::kSnapshotPart: message = GetSnapshotPart(reader); break;
    case Kind::kSnapshotPartReply: message = GetSnapshotPartReply(reader); break;
    case Kind::kMembershipQuery: {
      MembershipQuery query;
      query.region = RegionId(reader.Varint());
      query.peer = PeerId(reader.Varint());
      message = query;
      break;
    }
    case Kind::kMembershipNews: {
      MembershipNews news;
      news.to = PeerId(reader.Varint());
      const std::string_view region = reader.Bytes();
      if (!reader.ok()) break;
      RUTILE_ASSIGN_OR_RETURN(news.region, DecodeRegion(region));
      message = std::move(news);
      break;
    }
    case Kind::kDatagram: {
      Datagram datagram;
      datagram.channel = reader.Fixed8();
      datagram.payload = reader.Bytes();
      message = std::move(datagram);
      break;
    }
    case Kind::kBeat: {
      Beat beat;
      beat.incarnation = reader.Varint();
      beat.trouble = reader.Varint();
      beat.number = reader.Varint();
      message = beat;
      break;
    }
    default: return Status(Code::kCorruption, "peer message: unknown kind " + std::to_string(kind));
  }
  if (!reader.Done()) return Status(Code::kCorruption, "peer message: wrong length");
  return message;
}

std::string EncodeHardState(const raft::HardState& state) {
  std::string out;
  codec::PutVarint(&out, state.term.value());
  codec::PutVarint(&out, state.vote.value());
  codec::PutVarint(&out, state.commit.value());
  if (state.impaired_until) PutLogId(&out, *state.impaired_until);
  return out;
}

Result<raft::HardState> DecodeHardState(std::string_view bytes) {
  codec::Reader reader(bytes);
  raft::HardState state;
  state.term = Term(reader.Varint());
  state.vote = PeerId(reader.Varint());
  state.commit = Index(reader.Varint());
  if (reader.ok() && !reader.rest().empty()) state.impaired_until = GetLogId(reader);
  if (!reader.Done()) return Status(Code::kCorruption, "hard state: wrong length");
  return state;
}

}  // namespace rutile::store
