#include "store/marks_cache.h"

#include <gtest/gtest.h>

#include "store/safe_point.h"
#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;

TEST(MarksCache, WhatIsRememberedIsOfItsVersion) {
  MarksCache cache;
  const std::uint64_t first = cache.version();
  EXPECT_FALSE(cache.Find(first));
  cache.Remember(first, {.safe_point = Timestamp(7)});
  EXPECT_EQ(Timestamp(7), cache.Find(first)->safe_point);
  cache.BeginChange();
  cache.EndChange();
  EXPECT_FALSE(cache.Find(cache.version()));
  // Who has a snapshot of it goes on with it.
  EXPECT_EQ(Timestamp(7), cache.Find(first)->safe_point);
}

TEST(MarksCache, ASnapshotThatAChangeOverlapsIsOfNoVersion) {
  MarksCache cache;
  const std::uint64_t before = cache.version();
  EXPECT_TRUE(MarksCache::IsStable(before, cache.version()));
  cache.BeginChange();
  const std::uint64_t during = cache.version();
  EXPECT_FALSE(MarksCache::IsStable(before, during));
  EXPECT_FALSE(MarksCache::IsStable(during, cache.version()));
  cache.EndChange();
  EXPECT_FALSE(MarksCache::IsStable(before, cache.version()));
  EXPECT_FALSE(MarksCache::IsStable(during, cache.version()));
  EXPECT_TRUE(MarksCache::IsStable(cache.version(), cache.version()));
}

class MarksOfTest : public testing::TxnStores {
 protected:
  // The safe point as a reader is shown it, and as his snapshot has it.
  std::pair<Timestamp, Timestamp> Look() {
    std::optional<std::pair<Timestamp, Timestamp>> found;
    store(leader_).Read(Header(), [&](const ReadView* view, const RegionError*) {
      ReadView alone = *view;
      alone.marks = nullptr;
      found.emplace(MarksOf(*view).value().safe_point, MarksOf(alone).value().safe_point);
    });
    EXPECT_TRUE(world_.RunUntil([&] { return found.has_value(); }, Seconds(5)));
    return *found;
  }
  void Raise(Timestamp to) {
    Command command;
    command.mutations.push_back({.kind = Mutation::Kind::kRaiseSafePoint,
                                 .family = engine::Family::kMeta,
                                 .key = BorderOf(0),
                                 .value = EncodeMark(to)});
    store(leader_).Write(Header(), std::move(command), [](const WriteOutcome&) {});
  }
};

// Wherever the look comes, also while the change is written.
TEST_F(MarksOfTest, AReaderIsShownThoseOfHisSnapshot) {
  Timestamp seen;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    Raise(Timestamp(i));
    for (int step = 0; step < 40; ++step) {
      const auto [shown, stored] = Look();
      ASSERT_EQ(stored, shown);
      seen = shown;
      world_.RunFor(Microseconds(50));
    }
    world_.RunFor(Milliseconds(20));
  }
  EXPECT_GE(seen, Timestamp(19));
}

TEST_F(MarksOfTest, TheyAreLookedUpOnce) {
  Raise(Timestamp(5));
  world_.RunFor(Seconds(1));
  EXPECT_EQ(Timestamp(5), Look().first);
  bool known = false;
  store(leader_).Read(Header(), [&](const ReadView* view, const RegionError*) {
    known = view->marks != nullptr && view->marks->Find(view->marks_version).has_value();
  });
  EXPECT_TRUE(known);
}

}  // namespace
}  // namespace rutile::store
