// What stores write to disk and to each other: round trips, golden bytes, and every truncation.

#include "base/random.h"
#include "store/apply_queue.h"
#include "store/command.h"
#include "store/peer_message.h"
#include "store/raw_value.h"
#include "store/region.h"

namespace rutile::store {
namespace {

std::string Hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    char two[3];
    std::snprintf(two, sizeof(two), "%02x", static_cast<unsigned char>(c));
    out += two;
  }
  return out;
}

Region SomeRegion() {
  return {.id = RegionId(7),
          .start_key = "a",
          .end_key = std::string("b\0", 2),
          .epoch = {.conf_version = 3, .version = 300},
          .peers = {{PeerId(11), StoreId(1)}, {PeerId(12), StoreId(2), PeerRole::kLearner}}};
}

TEST(RegionCodec, RoundTripAndGoldenBytes) {
  const Region region = SomeRegion();
  const std::string bytes = EncodeRegion(region);
  EXPECT_EQ(Hex(bytes),
            "0107"
            "0161"
            "026200"
            "03ac02"
            "02"
            "0b0100"
            "0c0201");
  Result<Region> decoded = DecodeRegion(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded.value(), region);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeRegion(std::string_view(bytes).substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(DecodeRegion(bytes + "x").ok());
}

TEST(Region, BordersAndPeers) {
  const Region region = SomeRegion();
  EXPECT_FALSE(region.Contains(""));
  EXPECT_TRUE(region.Contains("a"));
  EXPECT_TRUE(region.Contains("b"));
  EXPECT_FALSE(region.Contains(std::string("b\0", 2)));
  EXPECT_EQ(region.PeerOn(StoreId(2))->id, PeerId(12));
  EXPECT_EQ(region.PeerOn(StoreId(9)), nullptr);
}

TEST(CommandCodec, RoundTripOfEveryKind) {
  Command command{.epoch = {1, 2}, .now_seconds = 1'700'000'000, .mutations = {}};
  using Kind = Mutation::Kind;
  using engine::Family;
  command.mutations.push_back({.kind = Kind::kPut, .key = "k", .value = "v"});
  command.mutations.push_back({.kind = Kind::kDelete, .family = Family::kLock, .key = "d"});
  command.mutations.push_back({.kind = Kind::kDeleteRange, .key = "a", .value = ""});
  command.mutations.push_back(
      {.kind = Kind::kCompareAndSwap, .key = "c", .value = "new", .expected = "old"});
  command.mutations.push_back({.kind = Kind::kCompareAndSwap, .key = "c", .swap_deletes = true});
  const std::string bytes = EncodeCommand(command);
  Result<Command> decoded = DecodeCommand(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(EncodeCommand(decoded.value()), bytes);
  ASSERT_EQ(decoded.value().mutations.size(), 5u);
  EXPECT_EQ(decoded.value().mutations[3].expected, "old");
  EXPECT_FALSE(decoded.value().mutations[4].expected);
  EXPECT_TRUE(decoded.value().mutations[4].swap_deletes);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeCommand(std::string_view(bytes).substr(0, n)).ok()) << n;
  }
}

TEST(RawValueCodec, WithAndWithoutExpiry) {
  EXPECT_EQ(Hex(EncodeRawValue("v", 0)), "7600");
  EXPECT_EQ(Hex(EncodeRawValue("v", 258)),
            "76"
            "0201000000000000"
            "01");
  EXPECT_EQ(DecodeRawValue(EncodeRawValue("", 0)).value().value, "");
  const std::string stored = EncodeRawValue("value", 1000);
  const RawValue raw = DecodeRawValue(stored).value();
  EXPECT_EQ(raw.value, "value");
  EXPECT_TRUE(raw.IsLive(999));
  EXPECT_FALSE(raw.IsLive(1000));
  EXPECT_FALSE(DecodeRawValue("").ok());
  EXPECT_FALSE(DecodeRawValue("\x01").ok());
  EXPECT_FALSE(DecodeRawValue("v\x02").ok());
}

TEST(AppliedCodec, RoundTrip) {
  const LogId id{Term(3), Index(1'000'000)};
  EXPECT_EQ(DecodeApplied(EncodeApplied(id)).value(), id);
  EXPECT_FALSE(DecodeApplied("").ok());
}

raft::Message RandomMessage(Random& random) {
  raft::Message m;
  m.type = static_cast<raft::MessageType>(1 + random.Below(12));
  m.from = PeerId(random.Below(5));
  m.to = PeerId(random.Below(500));
  m.term = Term(random.Next() >> random.Below(64));
  m.granted = random.OneIn(2);
  m.transfer = random.OneIn(2);
  m.rejected = random.OneIn(2);
  m.commit = Index(random.Below(1000));
  if (random.OneIn(3)) m.priority = static_cast<std::int32_t>(random.Next());
  if (random.OneIn(3)) m.applied = Index(random.Below(1000));
  if (random.OneIn(3)) m.room = random.Next() >> random.Below(64);
  m.quiet = random.OneIn(2);
  m.impaired = random.OneIn(2);
  m.round = raft::Round(random.Below(1000));
  if (random.OneIn(2)) m.last_log = {Term(random.Below(9)), Index(random.Below(99))};
  if (random.OneIn(2)) m.match = Index(random.Below(99));
  if (random.OneIn(2)) m.hint = {Term(random.Below(9)), Index(random.Below(99))};
  if (random.OneIn(2)) m.read = raft::ReadId(random.Next());
  if (random.OneIn(2)) m.read_index = Index(random.Below(99));
  if (random.OneIn(3)) {
    m.snapshot = raft::SnapshotMeta{.id = {Term(2), Index(7)},
                                    .configuration = {.voters = {PeerId(1), PeerId(2)},
                                                      .outgoing = {PeerId(1), PeerId(3)},
                                                      .learners = {PeerId(9)},
                                                      .learners_next = {PeerId(3)},
                                                      .auto_leave = random.OneIn(2)}};
  }
  if (random.OneIn(2)) {
    m.slice.prev = {Term(random.Below(3)), Index(random.Below(99))};
    LogId id = m.slice.prev;
    for (std::uint64_t n = random.Below(5); n > 0; --n) {
      id = {Term(id.term.value() + random.Below(2)), id.index.Next()};
      m.slice.entries.push_back(
          {id, static_cast<EntryType>(random.Below(3)), Bytes(std::string(random.Below(40), 'x'))});
    }
  }
  return m;
}

TEST(PeerMessageCodec, RandomRaftMessagesSurvive) {
  SeededRandom random(1);
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const raft::Message message = RandomMessage(random);
    const std::string bytes = Encode(RaftEnvelope{.region = RegionId(i), .message = message});
    Result<PeerMessage> decoded = DecodePeerMessage(bytes);
    ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
    const auto& envelope = std::get<RaftEnvelope>(decoded.value());
    EXPECT_EQ(envelope.region, RegionId(i));
    EXPECT_EQ(raft::ToString(envelope.message), raft::ToString(message));
    EXPECT_EQ(envelope.message.slice.entries, message.slice.entries);
    EXPECT_EQ(Encode(envelope), bytes);
    EXPECT_FALSE(DecodePeerMessage(bytes + "x").ok());
    EXPECT_FALSE(
        DecodePeerMessage(std::string_view(bytes).substr(0, random.Below(bytes.size()))).ok());
  }
}

TEST(PeerMessageCodec, NoiseIsRefusedOrHarmless) {
  SeededRandom random(2);
  const std::string good =
      Encode(RaftEnvelope{.region = RegionId(1), .message = RandomMessage(random)});
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = good;
    bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    Result<PeerMessage> decoded = DecodePeerMessage(bytes);
    if (!decoded.ok()) continue;
    if (const auto* envelope = std::get_if<RaftEnvelope>(&decoded.value())) {
      EXPECT_TRUE(envelope->message.slice.Validate());
    }
  }
}

TEST(PeerMessageCodec, SnapshotPartsAndDatagrams) {
  const SnapshotPart part{
      .region = RegionId(2),
      .from = PeerId(1),
      .to = PeerId(3),
      .transfer = 77,
      .number = 5,
      .acknowledged = 3,
      .last = true,
      .meta = {.id = {Term(4), Index(9)}, .configuration = {{PeerId(1)}, {}, {}}},
      .term = Term(6),
      .data = "records"};
  const Result<PeerMessage> decoded = DecodePeerMessage(Encode(part));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(Encode(std::get<SnapshotPart>(decoded.value())), Encode(part));
  const SnapshotPartReply reply{RegionId(2), PeerId(3), PeerId(1), 77, 6, true};
  EXPECT_EQ(Encode(std::get<SnapshotPartReply>(DecodePeerMessage(Encode(reply)).value())),
            Encode(reply));
  const Datagram datagram{.channel = 1, .payload = "report"};
  const Beat beat{.incarnation = 1ull << 60, .trouble = 2, .number = 300};
  EXPECT_EQ(std::get<Beat>(DecodePeerMessage(Encode(beat)).value()), beat);
  EXPECT_FALSE(DecodePeerMessage(Encode(beat) + "x").ok());
  EXPECT_EQ(std::get<Datagram>(DecodePeerMessage(Encode(datagram)).value()).payload, "report");
}

TEST(HardStateCodec, RoundTrip) {
  const raft::HardState state{Term(5), PeerId(2), Index(77)};
  EXPECT_EQ(DecodeHardState(EncodeHardState(state)).value(), state);
  EXPECT_FALSE(DecodeHardState("\x01").ok());
}

TEST(HardStateCodec, OfAnImpairedReplicaIsLonger) {
  raft::HardState state{Term(5), PeerId(2), Index(77)};
  EXPECT_EQ(Hex(EncodeHardState(state)), "05024d");
  state.impaired_until = LogId{Term(4), Index(80)};
  const std::string bytes = EncodeHardState(state);
  EXPECT_EQ(Hex(bytes), "05024d0450");
  EXPECT_EQ(DecodeHardState(bytes).value(), state);
  EXPECT_FALSE(DecodeHardState(bytes.substr(0, 4)).ok());
}

}  // namespace
}  // namespace rutile::store
