#include "sim/snapshot_isolation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace rutile::sim {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Fate = TransactionRecord::Fate;
using WriteKind = TransactionRecord::Write::Kind;
using Write = TransactionRecord::Write;

// A small history in which all is well: 10 writes a and b at 20, 30 overwrites a at 40, 25 reads
// between the two, and the client of 50 died after it had committed its primary key.
class SnapshotIsolationTest : public ::testing::Test {
 protected:
  SnapshotIsolationTest() {
    Commit(10, 20, {{"a", {.value = "1"}}, {"b", {.value = "1"}}});
    Commit(30, 40, {{"a", {.value = "2"}}});
    history_.push_back({.start = 25, .commit = 25, .fate = Fate::kCommitted});
    Of(25).reads = {{.key = "a", .seen = "1"}, {.key = "c", .seen = {}}};
    Of(25).scans = {{.from = "a", .to = "c", .seen = {{"a", "1"}, {"b", "1"}}}};
    Commit(50, 60, {{"b", {.value = "3"}}, {"c", {.value = "3"}}});
    Of(50).fate = Fate::kUnknown;
    Of(50).commit = 0;
    Key("c").versions.clear();
    Key("c").locked_by = 50;
    for (TransactionRecord& one : history_) {
      one.invoked = Seconds(static_cast<std::int64_t>(one.start));
      one.returned = Seconds(static_cast<std::int64_t>(std::max(one.start, one.commit)));
    }
  }

  void Commit(std::uint64_t start, std::uint64_t commit, std::map<std::string, Write> writes) {
    for (const auto& [key, write] : writes) {
      StoredTransactions::Version version{.commit = commit, .start = start};
      version.is_lock_only = write.kind == WriteKind::kLock;
      if (write.kind == WriteKind::kPut || write.kind == WriteKind::kInsert)
        version.value = write.value;
      Key(key).versions.push_back(version);
    }
    history_.push_back({.start = start,
                        .commit = commit,
                        .fate = Fate::kCommitted,
                        .writes = std::move(writes),
                        .invoked = Seconds(static_cast<std::int64_t>(start)),
                        .returned = Seconds(static_cast<std::int64_t>(commit))});
  }
  TransactionRecord& Of(std::uint64_t start) {
    for (TransactionRecord& one : history_) {
      if (one.start == start) return one;
    }
    ADD_FAILURE() << start;
    return history_.front();
  }
  StoredTransactions::Key& Key(const std::string& key) { return stored_.keys[key]; }
  std::vector<std::string> Find() const { return FindAnomalies(history_, stored_); }

  std::vector<TransactionRecord> history_;
  StoredTransactions stored_;
};

TEST_F(SnapshotIsolationTest, NothingIsWrongWithThis) { EXPECT_THAT(Find(), IsEmpty()); }

TEST_F(SnapshotIsolationTest, AReadOfAnotherStateIsFound) {
  Of(25).reads[0].seen = "2";
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("25 reads '2' under a instead of '1'")));
  Of(25).reads[0].seen = {};
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("25 reads nothing under a instead of '1'")));
}

TEST_F(SnapshotIsolationTest, AlsoOfAReaderThatFailed) {
  Of(25).fate = Fate::kFailed;
  Of(25).reads[1].seen = "3";
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("reads '3' under c instead of nothing")));
}

TEST_F(SnapshotIsolationTest, AScanThatMissesAKeyOrHasOneTooManyIsFound) {
  Of(25).scans[0].seen = {{"a", "1"}, {"aa", "1"}};
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("reads '1' under aa instead of nothing"),
                                  HasSubstr("reads nothing under b instead of '1'")));
}

TEST_F(SnapshotIsolationTest, WhoCommitsSecondMustFail) {
  Commit(35, 45, {{"a", {.kind = WriteKind::kLock}}});
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("overlap, are committed at 45 and 40, and write a")));
}

TEST_F(SnapshotIsolationTest, ACommitThatIsNotStoredIsFound) {
  Key("a").versions.pop_back();
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("key a has nothing of it")));
  // Its primary key cannot be locked still.
  Key("a").locked_by = 30;
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("key a has nothing of it")));
}

TEST_F(SnapshotIsolationTest, HalfATransactionIsFound) {
  Key("c").locked_by = 0;
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("50 (fate unknown), committed at 60: key c has "
                                            "nothing of it")));
  Key("c").locked_by = 50;
  Key("b").versions.pop_back();
  EXPECT_THAT(Find(), IsEmpty());  // As if it had died before.
  Key("c").versions.push_back({.commit = 60, .start = 50, .value = "3"});
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("key c has a version of 50 at 60, and no such")));
}

TEST_F(SnapshotIsolationTest, ACommitAtTwoTimestampsIsFound) {
  Key("b").versions[0].commit = 21;
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("committed at 20: key b has it at 21")));
}

TEST_F(SnapshotIsolationTest, AnotherValueThanWasWrittenIsFound) {
  Key("b").versions[0].value = "2";
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("key b has '2' of it")));
}

TEST_F(SnapshotIsolationTest, WhatFailedMustNotBeStored) {
  Of(50).fate = Fate::kFailed;
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("no such transaction is committed")));
}

TEST_F(SnapshotIsolationTest, AnInsertOverWhatExistsIsFound) {
  Of(30).writes["a"].kind = WriteKind::kInsert;
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("30 inserts a, which exists")));
}

TEST_F(SnapshotIsolationTest, WhatDoesNotExistIsNoReasonToFail) {
  history_.push_back({.start = 15, .fate = Fate::kFailed, .existing = "a"});
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("15 (failed) fails because a exists")));
  Of(15).start = 26;
  EXPECT_THAT(Find(), IsEmpty());
}

TEST_F(SnapshotIsolationTest, ATimestampThatIsUsedTwiceIsFound) {
  Of(25).start = 20;
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("timestamp 20 is used twice")));
}

TEST_F(SnapshotIsolationTest, AStartBelowACommitThatWasAnsweredIsFound) {
  Of(25).invoked = Seconds(60);
  Of(25).returned = Seconds(61);
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("25 begins after a commit at 40 was answered")));
}

TEST_F(SnapshotIsolationTest, WhoHasLockedAKeyFirstOverlapsFromThen) {
  Commit(11, 48, {{"a", {.value = "5"}}});
  EXPECT_THAT(Find(), Not(IsEmpty()));
  Of(11).locks = {{"a", {.seen = "2", .at = 45}}};
  EXPECT_THAT(Find(), IsEmpty());
  Of(11).locks["a"].at = 35;
  EXPECT_THAT(Find(), Contains(HasSubstr("overlap")));
  EXPECT_THAT(Find(), Contains(HasSubstr("11 locks '2' under a at 35 instead of '1'")));
}

TEST_F(SnapshotIsolationTest, WhatAFailedOneWasToldOfALockMayBeOverBefore) {
  Of(25).fate = Fate::kFailed;
  Of(25).locks = {{"a", {.seen = "1", .at = 45}}};
  EXPECT_THAT(Find(), IsEmpty());
  Of(25).locks["a"].seen = "3";
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("locks '3' under a at 45 instead of '2'")));
}

// So may be the reason why it failed.
TEST_F(SnapshotIsolationTest, WhatALockToldIsAReasonToFail) {
  Commit(51, 55, {{"a", {.kind = WriteKind::kDelete}}});
  history_.push_back({.start = 53,
                      .fate = Fate::kFailed,
                      .locks = {{"a", {.seen = "2", .at = 57}}},
                      .existing = "a"});
  EXPECT_THAT(Find(), IsEmpty());
  Of(53).locks["a"].seen.reset();
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("53 (failed) fails because a exists")));
}

// Whose stores chose the timestamp, and whose client died before it had committed the keys.
TEST_F(SnapshotIsolationTest, AnyKeyTellsOfACommitWithoutASecondPhase) {
  std::swap(Key("b").versions.back(), Key("c").versions.emplace_back());
  Key("b").versions.pop_back();
  Key("b").locked_by = 50;
  Key("c").locked_by = 0;
  EXPECT_THAT(Find(), Contains(HasSubstr("no such transaction is committed")));
  Of(50).is_early = true;
  EXPECT_THAT(Find(), IsEmpty());
  Key("b").locked_by = 0;
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("key b has nothing of it")));
}

TEST_F(SnapshotIsolationTest, ATimestampThatAStoreChoseMayBeAStartToo) {
  Commit(51, 55, {{"d", {.value = "4"}}});
  Commit(54, 55, {{"e", {.value = "4"}}});
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("55 is used twice")));
  Of(54).is_early = true;
  EXPECT_THAT(Find(), IsEmpty());
  Of(54).writes = {{"d", {.value = "4"}}};
  EXPECT_THAT(Find(), Contains(HasSubstr("both committed at 55 and write d")));
}

TEST_F(SnapshotIsolationTest, ACommitBelowOneThatWasAnsweredBeforeIsFound) {
  Commit(31, 35, {{"d", {.value = "4"}}});
  Of(31).committing = Seconds(34);
  EXPECT_THAT(Find(), IsEmpty());
  Of(31).committing = Seconds(41);
  EXPECT_THAT(Find(), ElementsAre(HasSubstr("31 begins after a commit at 40 was answered, and")));
}

}  // namespace
}  // namespace rutile::sim
