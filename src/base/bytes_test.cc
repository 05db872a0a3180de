#include "base/bytes.h"

#include <gtest/gtest.h>

#include "base/log_slice.h"
#include "base/random.h"
#include "base/strong_id.h"

namespace rutile {
namespace {

TEST(Bytes, SliceSharesTheBuffer) {
  std::string text(100, 'a');
  const Bytes whole(text += "tail");
  const Bytes tail = whole.Slice(100, 4);
  EXPECT_EQ(tail.view(), "tail");
  EXPECT_EQ(tail.view().data(), whole.view().data() + 100);
}

TEST(Bytes, SliceOutlivesTheWhole) {
  Bytes tail;
  {
    std::string text(1000, 'x');
    const Bytes whole(text += "tail");
    tail = whole.Slice(1000, 4);
  }
  EXPECT_EQ(tail.view(), "tail");  // Under the address sanitizer: no use after free.
}

TEST(Bytes, ShortStringsDoNotMoveAway) {
  Bytes a(std::string("ab"));  // Lies inside a std::string, which copying would move.
  const Bytes b = a;
  a = Bytes();
  EXPECT_EQ(b.view(), "ab");
  EXPECT_TRUE(a.empty());
}

TEST(Bytes, EqualityIsOfContents) {
  EXPECT_EQ(Bytes::Copy("abc"), Bytes::Copy("abc"));
  EXPECT_NE(Bytes::Copy("abc"), Bytes::Copy("abd"));
  EXPECT_EQ(Bytes(), Bytes(std::string()));
}

Entry At(std::uint64_t term, std::uint64_t index) {
  return {.id = {.term = Term(term), .index = Index(index)}};
}

TEST(LogSlice, ConsecutiveIndexesAndGrowingTermsAreValid) {
  const LogSlice slice{.prev = {Term(1), Index(4)}, .entries = {At(1, 5), At(3, 6)}};
  EXPECT_TRUE(slice.Validate());
  EXPECT_EQ(slice.last(), (LogId{Term(3), Index(6)}));
}

TEST(LogSlice, GapsAndFallingTermsAreNot) {
  const LogId prev{Term(2), Index(4)};
  EXPECT_FALSE((LogSlice{.prev = prev, .entries = {At(2, 6)}}).Validate());
  EXPECT_FALSE((LogSlice{.prev = prev, .entries = {At(2, 4)}}).Validate());
  EXPECT_FALSE((LogSlice{.prev = prev, .entries = {At(1, 5)}}).Validate());
  EXPECT_FALSE((LogSlice{.prev = prev, .entries = {At(3, 5), At(2, 6)}}).Validate());
}

TEST(LogSlice, EmptyOneEndsAtItsPredecessor) {
  const LogSlice slice{.prev = {Term(2), Index(4)}};
  EXPECT_TRUE(slice.Validate());
  EXPECT_EQ(slice.last(), slice.prev);
}

TEST(LogId, OrderIsTermFirst) {
  EXPECT_LT((LogId{Term(1), Index(9)}), (LogId{Term(2), Index(1)}));
  EXPECT_LT((LogId{Term(2), Index(1)}), (LogId{Term(2), Index(2)}));
}

// The numbers are part of what a seed means: another generator would void every recorded seed.
TEST(SeededRandom, IsSplitMix64) {
  SeededRandom random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317u);
  EXPECT_EQ(random.Next(), 3203168211198807973u);
  EXPECT_EQ(random.Next(), 9817491932198370423u);
}

TEST(SeededRandom, BelowStaysBelow) {
  SeededRandom random(7);
  std::uint64_t seen = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t value = random.Below(10);
    ASSERT_LT(value, 10u);
    seen |= std::uint64_t{1} << value;
  }
  EXPECT_EQ(seen, 0x3FFu);
}

}  // namespace
}  // namespace rutile
