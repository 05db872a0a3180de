// The tail alone, in the situations that other systems' tails did not survive.

#include "raft/log_tail.h"

#include <gtest/gtest.h>

namespace rutile::raft {
namespace {

LogId Id(std::uint64_t index, std::uint64_t term) { return {Term(term), Index(index)}; }

LogSlice Slice(LogId prev, std::vector<std::uint64_t> terms) {
  LogSlice slice{.prev = prev};
  for (std::uint64_t term : terms) {
    const LogId id{Term(term), slice.last().index.Next()};
    slice.entries.push_back({.id = id, .type = EntryType::kNormal, .payload = Bytes("payload")});
  }
  return slice;
}

// Terms of the entries 1, 2 ...; all on disk.
LogTail Durable(const std::vector<std::uint64_t>& terms) {
  LogTail tail{LogId{}};
  EXPECT_TRUE(tail.Append(Slice({}, terms)));
  tail.OnDurable(tail.TakeWrite(tail.last().term).mark);
  return tail;
}

// A flush that was under way when its entries were cut and replaced.
TEST(LogTail, MuseumA13FlushOfWhatWasTruncated) {
  LogTail tail = Durable({1});
  ASSERT_TRUE(tail.Append(Slice(Id(1, 1), {1})));
  const Mark flush = tail.TakeWrite(Term(1)).mark;
  ASSERT_TRUE(tail.Append(Slice(Id(1, 1), {2})));
  const LogTail::Write replacing = tail.TakeWrite(Term(2));
  EXPECT_TRUE(replacing.cut);
  EXPECT_FALSE(tail.OnDurable(flush));
  EXPECT_EQ(Index(1), tail.durable());
  EXPECT_FALSE(tail.IsCurrent(flush));
  EXPECT_TRUE(tail.OnDurable(replacing.mark));
  EXPECT_EQ(Index(2), tail.durable());
}

// 2@1, 2@2, 2@1 are three writes; the first one's acknowledgement says nothing about the third.
TEST(LogTail, MuseumK1SameIdAgainIsAnotherEntry) {
  LogTail tail = Durable({1});
  ASSERT_TRUE(tail.Append(Slice(Id(1, 1), {1})));
  const Mark first = tail.TakeWrite(Term(1)).mark;
  ASSERT_TRUE(tail.Append(Slice(Id(1, 1), {2})));
  const Mark second = tail.TakeWrite(Term(2)).mark;
  ASSERT_TRUE(tail.Append(Slice(Id(1, 1), {1})));
  const Mark third = tail.TakeWrite(Term(3)).mark;
  tail.CommitTo(Index(2));

  tail.OnDurable(first);
  EXPECT_EQ(Index(1), tail.durable());
  EXPECT_FALSE(tail.IsCurrent(first));
  EXPECT_EQ(Index(1), tail.HandOutLimit({.term = Term(3)}));
  EXPECT_EQ(Index(1), tail.HandOut({.term = Term(3), .max_bytes = SIZE_MAX}).last().index);
  EXPECT_GT(tail.Evict(0), 0u);
  EXPECT_EQ(Index(2), tail.first_resident()) << "what is not durable stays";
  tail.OnDurable(second);
  EXPECT_EQ(Index(1), tail.durable());
  tail.OnDurable(third);
  EXPECT_EQ(Index(2), tail.durable());
}

// A cut lowers what is durable at once, so that nothing which replaced it can be evicted, and terms
// never come from the disk.
TEST(LogTail, MuseumK2EvictionAfterACut) {
  LogTail tail = Durable(std::vector<std::uint64_t>(20, 1));
  tail.CommitTo(Index(14));
  tail.HandOut({.term = Term(1), .max_bytes = SIZE_MAX});
  ASSERT_TRUE(tail.Append(Slice(Id(14, 1), {2, 2, 2, 2})));
  EXPECT_EQ(Index(14), tail.durable());
  tail.Evict(0);
  EXPECT_EQ(Index(15), tail.first_resident());
  EXPECT_EQ(Term(2), tail.TermAt(Index(17)));
  EXPECT_EQ(std::nullopt, tail.TermAt(Index(19)));
  EXPECT_FALSE(tail.Contains(Id(17, 1)));
}

// Entries applied before this disk had them: the log starts anew behind them (rule 8).
TEST(LogTail, MuseumB1RestartWithAppliedBeyondTheLog) {
  LogTail::Recovered found{.committed = Index(3), .applied = Id(9, 2)};
  found.resident = Slice({}, {1, 1, 2, 2});
  LogTail tail = LogTail::Recover(std::move(found));
  EXPECT_EQ(Id(9, 2), tail.base());
  EXPECT_EQ(Id(9, 2), tail.last());
  EXPECT_EQ(Index(9), tail.committed());
  ASSERT_TRUE(tail.HasWrite());
  const LogTail::Write write = tail.TakeWrite(Term(2));
  EXPECT_TRUE(write.reset);
  EXPECT_EQ(Id(9, 2), write.slice.prev);
}

// The disk still has what a cut, not yet durable, had made room in: the applied entry stands where
// another one is, and what follows that one is not to be believed.
TEST(LogTail, RestartWithAnotherEntryWhereAppliedIs) {
  LogTail::Recovered found{.committed = Index(2), .applied = Id(3, 3)};
  found.resident = Slice({}, {1, 1, 1, 1, 1});
  LogTail tail = LogTail::Recover(std::move(found));
  EXPECT_EQ(Id(3, 3), tail.last());
  EXPECT_TRUE(tail.TakeWrite(Term(3)).reset);
}

TEST(LogTail, RestartKeepsWhatFollowsApplied) {
  LogTail::Recovered found{.runs = {{Index(1), Term(1)}, {Index(3), Term(2)}},
                           .committed = Index(4),
                           .applied = Id(3, 2)};
  found.resident = Slice(Id(2, 1), {2, 2, 2});
  LogTail tail = LogTail::Recover(std::move(found));
  EXPECT_EQ(Index(3), tail.applied());
  EXPECT_EQ(Index(4), tail.committed());
  EXPECT_EQ(Index(5), tail.durable());
  EXPECT_EQ(Term(1), tail.TermAt(Index(2)));
  EXPECT_EQ(Index(3), tail.first_resident());
  EXPECT_FALSE(tail.HasWrite());
}

TEST(LogTail, ConflictAtOrBelowCommittedChangesNothing) {
  LogTail tail = Durable({1, 1, 1});
  tail.CommitTo(Index(2));
  EXPECT_FALSE(tail.Append(Slice(Id(1, 1), {2, 2})));
  EXPECT_EQ(Id(3, 1), tail.last());
  EXPECT_EQ(Epoch(0), tail.epoch());
  EXPECT_TRUE(tail.Append(Slice(Id(2, 1), {2})));
}

// Duplicates, however late, cut nothing: only a conflict does (museum C1, C2).
TEST(LogTail, DuplicatesDoNotCut) {
  LogTail tail = Durable({1, 1, 1, 1});
  EXPECT_TRUE(tail.Append(Slice(Id(1, 1), {1})));
  EXPECT_EQ(Id(4, 1), tail.last());
  EXPECT_EQ(Index(4), tail.durable());
  EXPECT_FALSE(tail.HasWrite());
}

TEST(LogTail, LeaderHandsOutBeforeDurableOnlyItsOwnTerm) {
  LogTail tail = Durable({1});
  tail.AppendOwn(Term(1), EntryType::kNormal, Bytes("old"));
  tail.AppendOwn(Term(2), EntryType::kEmpty, Bytes());
  tail.CommitTo(Index(3));
  LogTail::HandOutRule rule{.is_leader = true, .term = Term(2), .max_bytes = SIZE_MAX};
  EXPECT_EQ(Index(1), tail.HandOutLimit(rule)) << "2@1 is of an older term";
  const LogTail::Write write = tail.TakeWrite(Term(2));
  tail.OnDurable(write.mark);
  tail.AppendOwn(Term(2), EntryType::kNormal, Bytes("own"));
  tail.CommitTo(Index(4));
  EXPECT_EQ(Index(4), tail.HandOutLimit(rule));
  rule.before_durable = false;
  EXPECT_EQ(Index(3), tail.HandOutLimit(rule));
  rule = {.is_leader = false, .term = Term(2)};
  EXPECT_EQ(Index(3), tail.HandOutLimit(rule));
}

// What was handed out before it was durable stays handed out when leadership is lost (museum B2).
TEST(LogTail, MuseumB2LimitFallsBelowWhatWasHandedOut) {
  LogTail tail = Durable({1});
  tail.AppendOwn(Term(1), EntryType::kNormal, Bytes("own"));
  tail.CommitTo(Index(2));
  const LogTail::HandOutRule leads{.is_leader = true, .term = Term(1), .max_bytes = SIZE_MAX};
  EXPECT_EQ(Index(2), tail.HandOut(leads).last().index);
  EXPECT_TRUE(tail.HandOut({.term = Term(2), .max_bytes = SIZE_MAX}).empty());
  tail.OnApplied(Index(2));
  EXPECT_EQ(Index(2), tail.applied());
  EXPECT_EQ(Index(1), tail.durable());
}

TEST(LogTail, FindAgreementSkipsTermsThatOnlyOneSideHas) {
  LogTail tail = Durable({1, 1, 1, 4, 4, 5, 5, 6});
  EXPECT_EQ(Id(3, 1), tail.FindAgreement(Id(8, 3)));
  EXPECT_EQ(Id(5, 4), tail.FindAgreement(Id(7, 4)));
  EXPECT_EQ(Id(4, 4), tail.FindAgreement(Id(4, 9)));
  EXPECT_EQ(Id(0, 0), tail.FindAgreement(Id(8, 0)));
}

}  // namespace
}  // namespace rutile::raft
