#include "wal/format.h"

#include "codec/crc32c.h"
#include "codec/integers.h"
#include "wal/testing/rig.h"

namespace rutile::wal {
namespace {

using testing::Hex;

Item SampleItem() {
  return {.region = RegionId(7),
          .peer = PeerId(300),
          .term = Term(5),
          .epoch = 2,
          .cut = true,
          .compact = true,
          .base = {.term = Term(3), .index = Index(8)},
          .prev = {.term = Term(4), .index = Index(10)},
          .state = "vote",
          .runs = {{.term = Term(4), .count = 1}, {.term = Term(5), .count = 2}},
          .block_bytes = 20};
}

TEST(Format, SegmentHeaderRoundTrip) {
  const SegmentHeader header{
      .segment = 42, .bytes = 65536, .first_batch = 1000, .previous_end = 60000, .first_live = 40};
  const std::string bytes = EncodeSegmentHeader(header);
  EXPECT_EQ(bytes.size(), kPageBytes);
  EXPECT_EQ(DecodeSegmentHeader(bytes).value(), header);
}

TEST(Format, SegmentHeaderOfNewerVersionIsNotDamage) {
  // A newer version keeps magic and checksum where they are, so that an older build can say so.
  const std::string ours = EncodeSegmentHeader({.segment = 1, .bytes = 65536, .first_live = 1});
  std::string fields = ours.substr(16, 48);
  fields[0] = kFormatVersion + 1;
  std::string bytes = ours;
  bytes.replace(16, 48, fields);
  EXPECT_EQ(DecodeSegmentHeader(bytes).status().code(), Code::kCorruption);
  std::string crc;
  codec::PutFixed32(&crc, codec::Crc32c(fields));
  bytes.replace(12, 4, crc);
  const Status status = DecodeSegmentHeader(bytes).status();
  EXPECT_EQ(status.code(), Code::kFailedPrecondition);
  EXPECT_THAT(status.ToString(), ::testing::HasSubstr("format 3"));
}

TEST(Format, EveryFlippedBitOfASegmentHeaderIsFound) {
  const std::string good =
      EncodeSegmentHeader({.segment = 9, .bytes = 8192, .first_batch = 3, .first_live = 9});
  for (std::size_t bit = 0; bit < good.size() * 8; bit += testing::kStride) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_EQ(DecodeSegmentHeader(bad).status().code(), Code::kCorruption) << bit;
  }
}

TEST(Format, BatchHeaderRoundTripAndBinding) {
  const BatchHeader header{.items_bytes = 100,
                           .payload_bytes = 33,
                           .items_crc = 0xDEADBEEF,
                           .item_count = 2,
                           .sequence = 77,
                           .synced_to = 4096,
                           .first_live = 3};
  EXPECT_EQ(header.TotalBytes(), 184u);  // 48 + 133, up to a multiple of 8.
  const std::uint32_t signature = SignatureOf(5);
  const std::string bytes = EncodeBatchHeader(header, signature, 8192);
  BatchHeader decoded;
  EXPECT_EQ(DecodeBatchHeader(bytes, signature, 8192, &decoded), HeaderState::kValid);
  EXPECT_EQ(decoded, header);
  // At another place, it is somebody's misdirected write.
  EXPECT_EQ(DecodeBatchHeader(bytes, signature, 8200, &decoded), HeaderState::kDamaged);
  const std::string zeroes(kBatchHeaderBytes, '\0');
  EXPECT_EQ(DecodeBatchHeader(zeroes, signature, 8192, &decoded), HeaderState::kForeign);
}

TEST(Format, NoBatchOfAnotherLifeOfTheFileVerifies) {
  const BatchHeader header{.item_count = 1, .sequence = 9, .synced_to = 4096, .first_live = 1};
  BatchHeader decoded;
  for (std::uint64_t old = 1; old < 300; ++old) {
    const std::string bytes = EncodeBatchHeader(header, SignatureOf(old), 4096);
    for (std::uint64_t now = old + 1; now < 300; ++now) {
      ASSERT_NE(SignatureOf(old), SignatureOf(now));
      ASSERT_EQ(DecodeBatchHeader(bytes, SignatureOf(now), 4096, &decoded), HeaderState::kForeign);
    }
  }
}

TEST(Format, ItemsRoundTrip) {
  const Item plain = SampleItem();
  Item moved = SampleItem();
  moved.cut = false;
  moved.moved = true;
  moved.last = {.term = Term(9), .index = Index(99)};
  moved.state.reset();
  const Item clean{.region = RegionId(1), .peer = PeerId(2), .clean = true};
  std::string bytes;
  for (const Item& item : {plain, moved, clean}) PutItem(&bytes, item);
  const auto items = DecodeItems(bytes, 3);
  ASSERT_TRUE(items.has_value());
  EXPECT_EQ(items->at(0), plain);
  EXPECT_EQ(items->at(1), moved);
  EXPECT_EQ(items->at(2), clean);
  EXPECT_EQ(plain.EntryCount(), 3u);
  EXPECT_EQ(plain.LastEntry(), (LogId{.term = Term(5), .index = Index(13)}));
}

TEST(Format, NoItemIsLargerThanIsSaid) {
  const LogId most{.term = Term(UINT64_MAX), .index = Index(UINT64_MAX)};
  Item item{.region = RegionId(UINT64_MAX),
            .peer = PeerId(UINT64_MAX),
            .term = Term(UINT64_MAX),
            .epoch = UINT64_MAX,
            .moved = true,
            .base = most,
            .prev = most,
            .last = most,
            .state = std::string(300, 's'),
            .block_bytes = UINT32_MAX};
  for (int runs = 0; runs < 3; ++runs) {
    std::string bytes;
    PutItem(&bytes, item);
    EXPECT_LE(bytes.size(), MostItemBytes(item));
    EXPECT_GT(bytes.size() + 40, MostItemBytes(item));
    item.runs.push_back({.term = Term(UINT64_MAX), .count = UINT32_MAX});
  }
}

TEST(Format, ItemsCutShortOrWithMoreBehindAreRefused) {
  std::string bytes;
  PutItem(&bytes, SampleItem());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeItems(bytes.substr(0, size), 1)) << size;
  }
  EXPECT_FALSE(DecodeItems(bytes + "x", 1));
  EXPECT_FALSE(DecodeItems(bytes, 2));
  EXPECT_FALSE(DecodeItems(bytes, 0));
}

TEST(Format, GoldenBatch) {
  // Bytes that nodes in the field have on disk: a change here needs a new format version.
  std::string items;
  PutItem(&items, SampleItem());
  EXPECT_EQ(Hex(items),
            "07"
            "ac02"
            "3a"
            "05"
            "02"  // Region, peer, flags, mark.
            "0803"
            "0a04"        // Base and prev: index, term.
            "04766f7465"  // State.
            "02"
            "0401"
            "0502"
            "14");  // Runs and size of the block.
  const BatchHeader header{.items_bytes = 20,
                           .payload_bytes = 9,
                           .items_crc = 0x01020304,
                           .item_count = 1,
                           .sequence = 3,
                           .synced_to = 4096,
                           .first_live = 1};
  EXPECT_EQ(Hex(EncodeBatchHeader(header, SignatureOf(1), 4096)),
            "e56a191d"
            "d84bf20b"
            "14000000"
            "09000000"
            "04030201"
            "01000000"
            "0300000000000000"
            "0010000000000000"
            "0100000000000000");
  EXPECT_EQ(
      Hex(EncodeSegmentHeader(
              {.segment = 1, .bytes = 8192, .first_batch = 1, .previous_end = 0, .first_live = 1})
              .substr(0, 64)),
      "527574696c65574c"
      "00000000"
      "98c3cf3b"
      "02000000"
      "b7284e51"
      "0100000000000000"
      "0020000000000000"
      "0100000000000000"
      "0000000000000000"
      "0100000000000000");
}

TEST(Format, FileNames) {
  EXPECT_EQ(FileName(42, kLogSuffix), "000000000000002a.log");
  EXPECT_EQ(NumberIn("000000000000002a.log", kLogSuffix), 42u);
  EXPECT_FALSE(NumberIn("000000000000002a.spare", kLogSuffix));
  EXPECT_FALSE(NumberIn("000000000000002A.log", kLogSuffix));
  EXPECT_FALSE(NumberIn("2a.log", kLogSuffix));
}

}  // namespace
}  // namespace rutile::wal
