#include "wal/entry_block.h"

#include <algorithm>

#include "base/random.h"
#include "codec/integers.h"
#include "wal/format.h"
#include "wal/testing/rig.h"

namespace rutile::wal {
namespace {

using testing::Hex;
using testing::MakeEntry;

std::string Noise(std::size_t size) {
  SeededRandom random(7);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random.Below(256));
  return out;
}

std::string BlockOf(const Entries& entries, std::size_t compress_from) {
  std::string out;
  PutBlock(&out, RegionId(7), entries, 99, compress_from);
  return out;
}

std::optional<Entries> Decoded(const std::string& block, std::uint32_t skip, std::uint32_t count) {
  return DecodeBlock(Bytes(block), skip, Index(11 + skip), Term(4), count);
}

Entries Repetitive() {
  return {MakeEntry(11, 4, std::string(100, 'a')), MakeEntry(12, 4, ""),
          MakeEntry(13, 4, std::string(3000, 'b')), MakeEntry(14, 4, "the end")};
}

TEST(EntryBlock, RoundTripAndBinding) {
  const Entries entries = {MakeEntry(11, 4, "first"), MakeEntry(12, 4, ""),
                           MakeEntry(13, 4, std::string(300, 'x'))};
  std::string bytes = "before";
  const std::size_t size = PutBlock(&bytes, RegionId(7), entries, 99, 0);
  const std::string block = bytes.substr(6);
  EXPECT_EQ(block.size(), size);
  EXPECT_EQ(PlainBytes(block), size - 4);
  EXPECT_TRUE(VerifyBlock(block, RegionId(7), Index(11), 99));
  EXPECT_FALSE(VerifyBlock(block, RegionId(8), Index(11), 99));
  EXPECT_FALSE(VerifyBlock(block, RegionId(7), Index(12), 99));
  EXPECT_FALSE(VerifyBlock(block, RegionId(7), Index(11), 98));
  EXPECT_EQ(Decoded(block, 0, 3), entries);
  EXPECT_EQ(Decoded(block, 1, 1), Entries{entries[1]});
  EXPECT_FALSE(Decoded(block, 1, 3));
}

TEST(EntryBlock, CompressedRoundTripAndBinding) {
  const Entries entries = Repetitive();
  const std::string plain = BlockOf(entries, 0);
  const std::string block = BlockOf(entries, 1);
  EXPECT_LT(block.size(), plain.size() / 20);
  EXPECT_EQ(PlainBytes(block), plain.size() - 4);
  EXPECT_TRUE(VerifyBlock(block, RegionId(7), Index(11), 99));
  EXPECT_FALSE(VerifyBlock(block, RegionId(8), Index(11), 99));
  EXPECT_EQ(Decoded(block, 0, 4), entries);
  EXPECT_EQ(Decoded(block, 2, 1), Entries{entries[2]});
  EXPECT_FALSE(Decoded(block, 1, 4));
  // What stands before it in the same buffer stays.
  std::string bytes = "before";
  PutBlock(&bytes, RegionId(7), entries, 99, 1);
  EXPECT_EQ(bytes, "before" + block);
}

TEST(EntryBlock, StaysAsItIsWhereThatIsSmallOrSavesLittle) {
  const Entries noise = {MakeEntry(11, 4, Noise(5000))};
  EXPECT_EQ(BlockOf(noise, 1), BlockOf(noise, 0));
  // A saving of less than a sixteenth.
  const Entries nearly = {MakeEntry(11, 4, Noise(5000) + std::string(200, 'a'))};
  EXPECT_EQ(BlockOf(nearly, 1), BlockOf(nearly, 0));
  const Entries tiny = {MakeEntry(11, 4, "")};
  EXPECT_EQ(BlockOf(tiny, 1), BlockOf(tiny, 0));
  const std::size_t size = BlockOf(Repetitive(), 0).size() - 4;
  EXPECT_EQ(BlockOf(Repetitive(), size + 1), BlockOf(Repetitive(), 0));
  EXPECT_NE(BlockOf(Repetitive(), size), BlockOf(Repetitive(), 0));
}

TEST(EntryBlock, GoldenBlocks) {
  // Bytes that nodes in the field have on disk: a change here needs a new format version.
  std::string block;
  PutBlock(&block, RegionId(7), {MakeEntry(11, 4, "ab"), MakeEntry(12, 5, "")}, SignatureOf(1), 0);
  EXPECT_EQ(Hex(block),
            "99e85c20"
            "010261620000");
  // An entry of twenty times 'a', by hand: compressors may differ, what they mean may not.
  const std::string compressed(
      "\x00\x00\x00\x00"           // The checksum, which this does not look at.
      "\xff\x16"                   // Compressed, from 22 bytes.
      "\x3a\x01\x14\x61\x01\x00"   // Type, length and 'a'; the last byte 14 times more.
      "\x50\x61\x61\x61\x61\x61",  // Five times 'a'.
      18);
  EXPECT_EQ(Decoded(compressed, 0, 1), (Entries{MakeEntry(11, 4, std::string(20, 'a'))}));
  EXPECT_EQ(PlainBytes(compressed), 22u);
}

TEST(EntryBlock, EveryChangeOfACompressedBlockIsFound) {
  const std::string block = BlockOf(Repetitive(), 1);
  for (std::size_t bit = 0; bit < block.size() * 8; ++bit) {
    std::string bad = block;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_FALSE(VerifyBlock(bad, RegionId(7), Index(11), 99)) << bit;
    // Nobody decodes what does not verify; if somebody did, it would be no worse than a wrong text.
    const auto entries = Decoded(bad, 0, 4);
    ASSERT_TRUE(!entries || entries->size() == 4) << bit;
  }
  for (std::size_t size = 0; size < block.size(); ++size) {
    ASSERT_FALSE(Decoded(block.substr(0, size), 0, 4)) << size;
  }
}

TEST(EntryBlock, NothingIsAllocatedForASizeThatCanNotBe) {
  for (const std::uint64_t size : {std::uint64_t{3000}, std::uint64_t{1} << 30, UINT64_MAX}) {
    std::string block("\x00\x00\x00\x00\xff", 5);
    codec::PutVarint(&block, size);
    block += std::string("\x10\x61", 2);
    EXPECT_FALSE(PlainBytes(block)) << size;
    EXPECT_FALSE(Decoded(block, 0, 1)) << size;
  }
}

}  // namespace
}  // namespace rutile::wal
