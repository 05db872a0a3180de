// Reads of transactions that followers serve: what the leader must know of them, and they of it.

#include "store/read_admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ReadAdmission, FormsOfQuestionsAndAnswers) {
  const ReadQuestion question{.at = Timestamp(7), .lower = "a", .upper = std::string("b\0", 2)};
  const std::string bytes = Encode(question);
  const Result<ReadQuestion> decoded = DecodeReadQuestion(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(question.at, decoded.value().at);
  EXPECT_EQ(question.lower, decoded.value().lower);
  EXPECT_EQ(question.upper, decoded.value().upper);

  const txn::ConcurrencyManager::Locks locks = {
      {"k", {.primary = "p", .start = Timestamp(3), .ttl_ms = 5, .min_commit = Timestamp(4)}}};
  const std::string answer = EncodeLocks(locks);
  EXPECT_EQ(locks, DecodeLocks(answer).value());
  EXPECT_FALSE(EncodeLocks({}).empty()) << "it says that there is none";

  for (std::size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_FALSE(DecodeReadQuestion(bytes.substr(0, n)).ok()) << n;
  }
  for (std::size_t n = 0; n < answer.size(); ++n) {
    EXPECT_FALSE(DecodeLocks(answer.substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(DecodeReadQuestion(bytes + "x").ok());
  EXPECT_FALSE(DecodeLocks(answer + "x").ok());
}

TEST(ReadAdmission, Lists) {
  for (const std::vector<std::string>& items :
       {std::vector<std::string>{}, {""}, {"a", "", "bc"}, {std::string(300, 'x')}}) {
    EXPECT_EQ(items, ReadList(WriteList(items)));
  }
  const std::string two = WriteList({"a", "bcd"});
  EXPECT_THAT(ReadList(two.substr(0, two.size() - 1)), IsEmpty());
}

TEST(ReadAdmission, WhatIsNoQuestionIsNotAnswered) {
  txn::ConcurrencyManager concurrency;
  TxnReadAdmission admission(concurrency);
  EXPECT_EQ("", admission.Admit(RegionId(2), "nonsense"));
  EXPECT_TRUE(concurrency.max_ts().IsZero());
}

class FollowerReads : public testing::TxnStores {
 protected:
  static RequestHeader FromFollower() {
    RequestHeader header = Header();
    header.from_follower = true;
    return header;
  }
  TxnKv& follower() { return *kv_[(leader_ + 1) % kStores]; }
  // As whoever asks the follower.
  std::string ReadThere(const std::string& key, Timestamp at,
                        const RequestHeader& header = FromFollower()) {
    const std::size_t leader = std::exchange(leader_, (leader_ + 1) % kStores);
    std::string read = Read(key, at, header);
    leader_ = leader;
    return read;
  }
};

TEST_F(FollowerReads, SeeWhatIsCommittedAndOnlyWhereTheyAreAskedFor) {
  Write({Key("a")}, "1");
  const Timestamp between = Now();
  Write({Key("a")}, "2");
  EXPECT_EQ("1", ReadThere(Key("a"), between));
  EXPECT_EQ("2", ReadThere(Key("a"), Now()));
  EXPECT_EQ("2", ReadThere(Key("a"), mvcc::kMaxTimestamp));
  EXPECT_EQ("absent", ReadThere(Key("b"), Now()));
  EXPECT_THAT(ReadThere(Key("a"), Now(), Header()), HasSubstr("not the leader"));
}

TEST_F(FollowerReads, ALeaderCommitsAboveWhatAFollowerHasRead) {
  const txn::PrewriteRequest request = OnePhase({Key("a")}, "1");
  const Timestamp read = Now();
  EXPECT_EQ("absent", ReadThere(Key("a"), read));
  EXPECT_EQ(read.Next(), Must(Await(&TxnKv::Prewrite, request)).one_phase_commit);
  // Likewise for what reads many keys.
  const txn::PrewriteRequest second = OnePhase({Key("b")}, "1");
  const txn::PrewriteRequest third = OnePhase({Key("c")}, "1");
  std::size_t answers = 0;
  const auto count = [&](const TxnReply<TxnKv::Items>& reply) {
    ASSERT_TRUE(std::holds_alternative<TxnKv::Items>(reply));
    ++answers;
  };
  const Timestamp got = Now();
  follower().BatchGet(FromFollower(), {Key("b"), Key("a")}, {.at = got}, count);
  ASSERT_TRUE(world_.RunUntil([&] { return answers == 1; }, Seconds(10)));
  EXPECT_EQ(got.Next(), Must(Await(&TxnKv::Prewrite, second)).one_phase_commit);
  const Timestamp scanned = Now();
  follower().Scan(FromFollower(), {.start = Key(""), .limit = 10}, {.at = scanned}, count);
  ASSERT_TRUE(world_.RunUntil([&] { return answers == 2; }, Seconds(10)));
  EXPECT_EQ(scanned.Next(), Must(Await(&TxnKv::Prewrite, third)).one_phase_commit);
}

// The leader's apply stands still: what it commits is known to followers, and locked in its memory.
TEST_F(FollowerReads, MeetWhatIsLockedInTheLeadersMemory) {
  Write({Key("a"), Key("b")}, "0");
  const Timestamp before = Now();
  EXPECT_EQ("0", ReadThere(Key("b"), before));
  const txn::PrewriteRequest request = OnePhase({Key("b"), Key("c")}, "1");
  processes_[leader_].apply->Pause();
  bool done = false;
  kv().Prewrite(Header(), request, [&](const auto&) { done = true; });
  world_.RunFor(Milliseconds(200));
  ASSERT_FALSE(done);
  const Timestamp now = Now();
  EXPECT_EQ("0", ReadThere(Key("b"), before));
  EXPECT_EQ("0", ReadThere(Key("a"), now));
  EXPECT_EQ("locked: " + Key("b"), ReadThere(Key("b"), now));
  EXPECT_EQ("locked: " + Key("c"), ReadThere(Key("c"), now));

  std::vector<std::string> seen;
  const auto note = [&](const TxnReply<TxnKv::Items>& reply) { seen = Show(reply); };
  const auto await = [&] {
    EXPECT_TRUE(world_.RunUntil([&] { return !seen.empty(); }, Seconds(10)));
    return std::exchange(seen, {});
  };
  follower().Scan(FromFollower(), {.start = Key(""), .limit = 9}, {.at = now}, note);
  EXPECT_THAT(await(), ElementsAre("a=0", "b locked", "c locked"));
  follower().Scan(FromFollower(), {.start = Key("c"), .limit = 1, .reverse = true}, {.at = now},
                  note);
  EXPECT_THAT(await(), ElementsAre("b locked"));
  follower().BatchGet(FromFollower(), {Key("c"), Key("a")}, {.at = now}, note);
  EXPECT_THAT(await(), ElementsAre("c locked", "a=0"));
  follower().BatchGet(FromFollower(), {Key("b"), Key("a")},
                      {.at = now, .bypassed = {request.start}}, note);
  EXPECT_THAT(await(), ElementsAre("b=1", "a=0")) << "who knows better passes it";

  processes_[leader_].apply->Resume();
  world_.RunFor(Seconds(1));
  EXPECT_TRUE(done);
  EXPECT_EQ("1", ReadThere(Key("b"), now));
}

// Whoever was asked as a follower may lead by the time at which it takes the question up.
TEST_F(FollowerReads, GoOnThroughChangesOfLeaders) {
  Write({Key("a")}, "1");
  for (int i = 0; i < 12; ++i) {
    const std::size_t next = (leader_ + 1) % kStores;
    store(leader_).TransferLeadership(kRegion, PeerOf(0, next));
    world_.RunFor(Milliseconds(i));
    const std::string read = ReadThere(Key("a"), Now());
    EXPECT_TRUE(read == "1" || read.find("not the leader") != std::string::npos) << read;
    ASSERT_TRUE(world_.RunUntil([&] { return LeaderOf(0) == next; }, Seconds(10)));
    leader_ = next;
    EXPECT_EQ("1", ReadThere(Key("a"), Now()));
  }
}

}  // namespace
}  // namespace rutile::store
