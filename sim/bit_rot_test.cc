#include "sim/bit_rot.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <string>

#include "env/sim/world.h"
#include "wal/format.h"

namespace rutile::sim {
namespace {

class BitRotTest : public ::testing::Test {
 protected:
  // A segment with empty batches, each of which says that all was synced before those of `synced`.
  void Write(const std::string& path, std::uint64_t segment,
             std::initializer_list<std::uint64_t> synced) {
    std::string image =
        wal::EncodeSegmentHeader({.segment = segment, .bytes = 3 * wal::kPageBytes});
    image.resize(wal::kFirstBatchOffset);
    std::uint64_t sequence = 0;
    for (const std::uint64_t batches : synced) {
      wal::BatchHeader header{.sequence = ++sequence};
      header.synced_to = wal::kFirstBatchOffset + batches * header.TotalBytes();
      image += wal::EncodeBatchHeader(header, wal::SignatureOf(segment), image.size());
      image.resize(wal::kFirstBatchOffset + sequence * header.TotalBytes());
    }
    Put(path, image);
  }
  void Put(const std::string& path, const std::string& contents) {
    ASSERT_TRUE(files_.Create(path).value()->WriteAt(0, contents).ok());
  }
  std::uint64_t BatchesThatMayRot(const std::string& path) {
    return (BytesThatMayRot(files_, path) - wal::kFirstBatchOffset) /
           wal::BatchHeader().TotalBytes();
  }

  World world_{1};
  SimFileSystem files_{world_};
};

TEST_F(BitRotTest, OfTheNewestSegmentOnlyWhatADurableBatchSaysIsDurable) {
  Write("1.log", 1, {});
  EXPECT_EQ(0u, BatchesThatMayRot("1.log"));
  Write("1.log", 1, {0, 1, 2, 3});
  // The fourth says that three were synced, and the third, which is one of them, that two were.
  EXPECT_EQ(2u, BatchesThatMayRot("1.log"));
  Write("1.log", 1, {0, 0, 0, 3});
  EXPECT_EQ(0u, BatchesThatMayRot("1.log")) << "a power cut may take the fourth back";
}

TEST_F(BitRotTest, OfEntriesOnlyWhereThereAreAny) {
  Write("1.log", 1, {0, 1, 2, 3});
  Put("other", "12345");
  EXPECT_FALSE(BitOfAnEntry(files_, 0));
  // A batch with eight bytes of payload at its end, and those that make it durable.
  std::string image = wal::EncodeSegmentHeader({.segment = 1, .bytes = 3 * wal::kPageBytes});
  image.resize(wal::kFirstBatchOffset);
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence) {
    wal::BatchHeader header{.payload_bytes = sequence == 1 ? 8u : 0u, .sequence = sequence};
    if (sequence > 1) header.synced_to = image.size();
    image += wal::EncodeBatchHeader(header, wal::SignatureOf(1), image.size());
    image.resize(image.size() + header.payload_bytes);
  }
  Put("1.log", image);
  for (std::uint64_t choice = 0; choice < 64; ++choice) {
    const auto bit = BitOfAnEntry(files_, choice);
    ASSERT_TRUE(bit);
    EXPECT_EQ(bit->path, "1.log");
    EXPECT_EQ(bit->bit, (wal::kFirstBatchOffset + wal::kBatchHeaderBytes) * 8 + choice);
  }
}

TEST_F(BitRotTest, AllOfSealedSegmentsAndOfOtherFiles) {
  Write("1.log", 1, {0, 0});
  Write("2.log", 2, {0, 0});
  EXPECT_EQ(files_.SizeOf("1.log"), BytesThatMayRot(files_, "1.log"));
  EXPECT_EQ(0u, BatchesThatMayRot("2.log"));
  Put("other", "12345");
  EXPECT_EQ(5u, BytesThatMayRot(files_, "other"));
}

}  // namespace
}  // namespace rutile::sim
