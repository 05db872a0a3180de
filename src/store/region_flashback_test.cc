// Regions that are brought back to what they were, over stores of a simulated world.

#include "store/region_flashback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/memcomparable.h"
#include "store/testing/lock_clients.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(RegionMarks, ComeBackAndDamageIsNotTaken) {
  const RegionMarks plain{.safe_point = Timestamp(7)};
  EXPECT_EQ(EncodeMarks(plain), std::string("\0\0\0\0\0\0\0\x07", 8));
  EXPECT_EQ(DecodeMarks(EncodeMarks(plain)).value().safe_point, Timestamp(7));
  EXPECT_EQ(DecodeMarks(EncodeMarks(plain)).value().flashback, FlashbackState());
  const RegionMarks full{
      .safe_point = Timestamp(7),
      .flashback = {
          .start = Timestamp(9), .stage = FlashbackState::Stage::kFinished, .request = 258}};
  const std::string bytes = EncodeMarks(full);
  EXPECT_EQ(bytes, std::string("\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\x03\0\0\0\0\0\0\x01\x02", 25));
  EXPECT_EQ(DecodeMarks(bytes).value().flashback, full.flashback);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(DecodeMarks(bytes.substr(0, size)).ok(), size == 8) << size;
  }
  std::string stage = bytes;
  stage[16] = 4;
  EXPECT_FALSE(DecodeMarks(stage).ok());
}

class RegionFlashbackTest : public testing::LockClients {
 protected:
  using Call = void (TxnKv::*)(const RequestHeader&, RegionFlashback::Request,
                               TxnDone<FlashbackDone>);

  std::string Ask(Call call, const RegionFlashback::Request& request) {
    std::optional<TxnReply<FlashbackDone>> answer;
    (kv().*call)(Header(), request,
                 [&](TxnReply<FlashbackDone> reply) { answer = std::move(reply); });
    EXPECT_TRUE(world_.RunUntil([&] { return answer.has_value(); }, Seconds(30)));
    if (!answer) return "no answer";
    if (const auto* status = std::get_if<Status>(&*answer)) return status->ToString();
    if (const auto* error = std::get_if<RegionError>(&*answer)) return ToString(*error);
    return "ok";
  }
  using LockClients::Ask;
  std::string Prepare(const RegionFlashback::Request& request) {
    return Ask(&TxnKv::PrepareFlashback, request);
  }
  std::string Run(const RegionFlashback::Request& request) {
    return Ask(&TxnKv::Flashback, request);
  }
  RegionFlashback::Request To(Timestamp version) {
    return {.lower = Key(""), .upper = KeyOf(1), .version = version, .start = Now()};
  }
  std::vector<std::string> All() {
    return TxnStores::Show(Scan({.start = Key(""), .limit = 1000}));
  }
  void Delete(const std::string& key) {
    txn::PrewriteRequest request = Puts({key}, "", Now());
    request.mutations.front().kind = txn::Mutation::Kind::kDelete;
    const Timestamp start = request.start;
    Must(Await(&TxnKv::Prewrite, std::move(request)));
    Must(Await(&TxnKv::Commit, txn::CommitRequest{.keys = {key}, .start = start, .commit = Now()}));
  }
};

TEST_F(RegionFlashbackTest, EachKeyIsAgainWhatItWas) {
  const std::string large(mvcc::kShortValueMaxBytes + 1, 'x');
  Write({Key("a"), Key("b"), Key("d")}, "old");
  Write({Key("e")}, large);
  Delete(Key("d"));
  const Timestamp version = Now();
  Write({Key("a"), Key("c"), Key("d"), Key("e")}, "new");
  Delete(Key("b"));
  const Timestamp later = Now();
  RegionFlashback::Request request = To(version);
  EXPECT_EQ("ok", Prepare(request));
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  const auto before = ElementsAre("a=old", "b=old", "e=" + large);
  EXPECT_THAT(All(), before);
  EXPECT_EQ("absent", Read(Key("c"), Now()));
  // What was committed in between is still read there.
  EXPECT_EQ("new", Read(Key("a"), later));
  EXPECT_EQ("absent", Read(Key("b"), later));
  // The region is as ever.
  Write({Key("a")}, "next");
  EXPECT_EQ("next", Read(Key("a"), Now()));
}

TEST_F(RegionFlashbackTest, KeysOutsideOfTheRangeStay) {
  const Timestamp version = Now();
  Write({Key("a"), Key("b"), Key("c")}, "new");
  RegionFlashback::Request request = To(version);
  request.lower = Key("b");
  request.upper = Key("c");
  EXPECT_EQ("ok", Prepare(request));
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  EXPECT_THAT(All(), ElementsAre("a=new", "c=new"));
}

TEST_F(RegionFlashbackTest, MoreKeysThanOneCommandHolds) {
  std::vector<std::string> keys;
  for (int i = 100; i < 999; ++i) keys.push_back(Key(std::to_string(i)));
  const std::string value(5000, 'o');
  Write(keys, value);
  const Timestamp version = Now();
  Write(keys, "new");
  RegionFlashback::Request request = To(version);
  EXPECT_EQ("ok", Prepare(request));
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  for (const std::string& key : keys) ASSERT_EQ(value, Read(key, Now())) << key;
}

TEST_F(RegionFlashbackTest, MeanwhileNobodyElseReadsOrWrites) {
  Write({Key("a")}, "old");
  const Timestamp version = Now();
  const Timestamp first = Now(), waiter = Now();
  EXPECT_EQ("locked, absent", Await(Ask(Key("b"), first)));
  const Answer waits = Ask(Key("b"), waiter);
  Must(Await(&TxnKv::Prewrite, Puts({Key("a")}, "locked", Now())));
  RegionFlashback::Request request = To(version);
  EXPECT_EQ("ok", Prepare(request));
  const auto in_progress = HasSubstr("is being brought back");
  EXPECT_THAT(Await(waits, Milliseconds(200)), in_progress);
  EXPECT_THAT(Read(Key("a"), Now()), in_progress);
  EXPECT_THAT(All(), ElementsAre(in_progress));
  EXPECT_THAT(Await(Ask(Key("z"), Now())), in_progress);
  EXPECT_EQ("old", Read(Key("a"), request.start.Prev())) << "before its start nothing changes";
  const auto prewrite = Await(&TxnKv::Prewrite, Puts({Key("a")}, "x", Now()));
  EXPECT_TRUE(std::holds_alternative<FlashbackInProgress>(std::get<RegionError>(prewrite)));
  const auto locks = Await(&TxnKv::ScanLocks, mvcc::LockScan{});
  EXPECT_TRUE(std::holds_alternative<FlashbackInProgress>(std::get<RegionError>(locks)));
  // A raw write, which no scheduler has seen, is refused where it is applied.
  std::optional<WriteOutcome> raw;
  Command put;
  put.mutations.push_back({.key = codec::EncodeMemcomparable(Key("raw")), .value = "x"});
  store(leader_).Write(Header(), std::move(put),
                       [&](WriteOutcome outcome) { raw = std::move(outcome); });
  world_.RunFor(Seconds(1));
  ASSERT_TRUE(raw.has_value());
  EXPECT_TRUE(std::holds_alternative<FlashbackInProgress>(std::get<RegionError>(*raw)));
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  EXPECT_THAT(All(), ElementsAre("a=old"));
}

TEST_F(RegionFlashbackTest, LocksAreRolledBackWhoseverTheyAre) {
  const Timestamp version = Now();
  std::vector<std::string> keys;
  for (int i = 100; i < 800; ++i) keys.push_back(Key(std::to_string(i)));
  const Timestamp first = Now(), second = Now();
  const std::string large(mvcc::kShortValueMaxBytes + 1, 'x');
  Must(Await(&TxnKv::Prewrite, Puts(keys, large, first)));
  EXPECT_EQ("locked, absent", Await(Ask(Key("k"), second)));
  RegionFlashback::Request request = To(version);
  EXPECT_EQ("ok", Prepare(request));
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  EXPECT_THAT(std::get<std::vector<mvcc::KeyIsLocked>>(Await(&TxnKv::ScanLocks, mvcc::LockScan{})),
              IsEmpty());
  const auto commit = Must(Await(
      &TxnKv::Commit, txn::CommitRequest{.keys = {keys[0]}, .start = first, .commit = Now()}));
  ASSERT_EQ(1u, commit.errors.size());
  EXPECT_TRUE(std::holds_alternative<txn::LockNotFound>(commit.errors.front()));
}

TEST_F(RegionFlashbackTest, EachStepMayBeAskedForAgainAndNoneIsLeftOut) {
  Write({Key("a")}, "old");
  const Timestamp version = Now();
  Write({Key("a")}, "new");
  RegionFlashback::Request request = To(version);
  const auto not_prepared = HasSubstr("not prepared");
  request.commit = request.start.Next();
  EXPECT_THAT(Run(request), not_prepared);
  EXPECT_EQ("ok", Prepare(request));
  EXPECT_EQ("ok", Prepare(request));
  RegionFlashback::Request another = request;
  another.start = Now();
  another.commit = Now();
  EXPECT_THAT(Run(another), not_prepared) << "that is of another flashback";
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  Write({Key("a")}, "later");
  EXPECT_EQ("ok", Run(request)) << "its answer may have been lost";
  EXPECT_EQ("later", Read(Key("a"), Now()));
  RegionFlashback::Request rest = request;
  rest.upper = Key("b");
  EXPECT_THAT(Run(rest), not_prepared) << "that is not what was finished";
}

// The state is the region's, not the leader's.
TEST_F(RegionFlashbackTest, AnotherLeaderGoesOn) {
  Write({Key("a"), Key("b")}, "old");
  const Timestamp version = Now();
  Write({Key("a"), Key("b")}, "new");
  RegionFlashback::Request request = To(version);
  EXPECT_EQ("ok", Prepare(request));
  const std::size_t first = leader_;
  Stop(first);
  leader_ = AwaitLeaderOf(0);
  EXPECT_THAT(Read(Key("a"), Now()), HasSubstr("is being brought back"));
  Restart(first);
  world_.RunFor(Seconds(2));
  Stop(leader_);
  leader_ = AwaitLeaderOf(0);
  EXPECT_THAT(Read(Key("a"), Now()), HasSubstr("is being brought back"));
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  EXPECT_THAT(All(), ElementsAre("a=old", "b=old"));
}

TEST_F(RegionFlashbackTest, WhatCannotBeIsRefusedBeforeAnybodyIsKeptOut) {
  Write({Key("a")}, "old");
  const Timestamp safe_point = Now();
  Command raise;
  raise.mutations.push_back({.kind = Mutation::Kind::kRaiseSafePoint,
                             .family = engine::Family::kMeta,
                             .key = BorderOf(0),
                             .value = EncodeMark(safe_point)});
  store(leader_).Write(Header(), std::move(raise), [](const WriteOutcome&) {});
  world_.RunFor(Seconds(1));
  RegionFlashback::Request request = To(safe_point.Prev());
  EXPECT_THAT(Prepare(request), HasSubstr("older than the safe point"));
  request.version = request.start;
  EXPECT_THAT(Prepare(request), HasSubstr("not before its start"));
  EXPECT_EQ("old", Read(Key("a"), Now()));
  request.version = safe_point;
  request.commit = request.start;
  EXPECT_THAT(Run(request), HasSubstr("does not commit after its start"));
  // The safe point stays where it was.
  request.commit = {};
  EXPECT_EQ("ok", Prepare(request));
  request.commit = Now();
  EXPECT_EQ("ok", Run(request));
  EXPECT_THAT(Read(Key("a"), safe_point.Prev()), HasSubstr("older than the safe point"));
}

}  // namespace
}  // namespace rutile::store
