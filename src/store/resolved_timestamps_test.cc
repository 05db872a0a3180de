// Stale reads of transactions: which are served without asking anybody.

#include "store/resolved_timestamps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using mvcc::Timestamp;

class StaleReads : public testing::TxnStores {
 protected:
  static RequestHeader Stale() {
    RequestHeader header = Header();
    header.epoch = RegionEpoch{.conf_version = 1, .version = 1};
    header.from_follower = header.stale = true;
    return header;
  }
  std::size_t there() const { return (leader_ + 1) % kStores; }
  // Of a follower; nothing if it does not answer at once.
  std::optional<std::string> ReadAtOnce(const std::string& key, Timestamp at) {
    std::optional<std::string> read;
    kv_[there()]->Get(Stale(), key, {.at = at}, [&](const TxnReply<mvcc::ReadAnswer>& reply) {
      const auto* answer = std::get_if<mvcc::ReadAnswer>(&reply);
      if (answer == nullptr) return;
      const auto* found = std::get_if<std::optional<mvcc::Found>>(answer);
      read = found == nullptr ? "locked" : *found ? (*found)->value : "absent";
    });
    const std::optional<std::string> result = read;
    world_.RunFor(Milliseconds(500));  // It must not answer into what is gone.
    return result;
  }
  // A follower asks, if it has reason to, and has its answer.
  void Resolve() {
    ReadAtOnce(Key("none"), Now());
    world_.RunFor(Milliseconds(500));
  }
};

TEST_F(StaleReads, AreServedAtOnceBelowWhatIsResolved) {
  Write({Key("a")}, "1");
  const Timestamp first = Now();
  Write({Key("a")}, "2");
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("a"), first)) << "nothing was asked for yet";
  Resolve();
  EXPECT_EQ("1", ReadAtOnce(Key("a"), first));
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("a"), Now()));
}

TEST_F(StaleReads, NeedNoLeader) {
  Write({Key("a")}, "1");
  const Timestamp before = Now();
  Resolve();
  const std::size_t follower = there();
  for (std::size_t i = 0; i < kStores; ++i) {
    if (i != follower) Stop(i);
  }
  world_.RunFor(Seconds(5));
  EXPECT_EQ("1", ReadAtOnce(Key("a"), before));
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("a"), Now()));
}

TEST_F(StaleReads, WaitForTransactionsThatAreUnderWay) {
  Write({Key("a")}, "1");
  const Timestamp before = Now(), start = Now();
  Must(Await(&TxnKv::Prewrite, Puts({Key("a")}, "2", start)));
  const Timestamp between = Now();
  Resolve();
  EXPECT_EQ("1", ReadAtOnce(Key("a"), before));
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("a"), between)) << "it may be committed there";
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("b"), between));
  const Timestamp commit = Now();
  Must(Await(&TxnKv::Commit,
             txn::CommitRequest{.keys = {Key("a")}, .start = start, .commit = commit}));
  Resolve();
  EXPECT_EQ("1", ReadAtOnce(Key("a"), between));
  EXPECT_EQ("2", ReadAtOnce(Key("a"), commit));
}

// Locks that nobody reads below a timestamp that is known already.
TEST_F(StaleReads, DoNotWaitForWhatIsCommittedLater) {
  Write({Key("a")}, "1");
  txn::PrewriteRequest request = Puts({Key("a")}, "2", Now());
  const Timestamp between = Now();
  request.min_commit = Now();
  Must(Await(&TxnKv::Prewrite, request));
  txn::PrewriteRequest only_locks = Puts({Key("b")}, "", Now());
  only_locks.mutations.front().kind = txn::Mutation::Kind::kLock;
  Must(Await(&TxnKv::Prewrite, only_locks));
  Resolve();
  EXPECT_EQ("1", ReadAtOnce(Key("a"), between));
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("a"), request.min_commit));
}

// A pipelined transaction works for long, and tells how far it is.
TEST_F(StaleReads, DoNotWaitForPipelinedTransactionsThatTellHowFarTheyAre) {
  Write({Key("a")}, "1");
  Write({Key("b")}, "1");
  txn::PrewriteRequest flush = Puts({Key("a")}, "2", Now());
  flush.generation = 1;
  Must(Await(&TxnKv::Prewrite, flush));
  const Timestamp between = Now(), told = Now(), after = Now();
  Resolve();
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("b"), between));
  kv_[there()]->statuses().Tell(flush.start, told);
  Resolve();
  EXPECT_EQ("1", ReadAtOnce(Key("b"), between));
  EXPECT_EQ("locked", ReadAtOnce(Key("a"), between)) << "its primary lock is to be asked";
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("b"), told));
  kv_[there()]->statuses().Tell(flush.start, after);
  Resolve();
  EXPECT_EQ("1", ReadAtOnce(Key("b"), told));
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("b"), after));
}

// Only they have their primary lock say so as well.
TEST_F(StaleReads, WaitForOtherTransactionsWhateverIsTold) {
  Write({Key("b")}, "1");
  const txn::PrewriteRequest request = Puts({Key("a")}, "2", Now());
  Must(Await(&TxnKv::Prewrite, request));
  const Timestamp between = Now();
  kv_[there()]->statuses().Tell(request.start, Now());
  Resolve();
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("b"), between));
}

// What the leader has in memory is under way, whether or not a follower has it already.
TEST_F(StaleReads, WaitForWhatTheLeaderHasInMemory) {
  const txn::PrewriteRequest request = OnePhase({Key("a")}, "1");
  processes_[leader_].apply->Pause();
  kv().Prewrite(Header(), request, [](const auto&) {});
  world_.RunFor(Milliseconds(200));
  const Timestamp now = Now();
  Resolve();
  EXPECT_EQ(std::nullopt, ReadAtOnce(Key("b"), now));
  processes_[leader_].apply->Resume();
  world_.RunFor(Seconds(1));
  Resolve();
  EXPECT_EQ("absent", ReadAtOnce(Key("b"), now));
  EXPECT_EQ("1", ReadAtOnce(Key("a"), now));
}

// Asking for it is a read: what is committed later, at a timestamp that the leader chooses, comes
// above it.
TEST_F(StaleReads, NothingIsCommittedBelowWhatIsResolved) {
  const txn::PrewriteRequest request = OnePhase({Key("a")}, "1");
  const Timestamp before = Now();
  Resolve();
  EXPECT_GT(Must(Await(&TxnKv::Prewrite, request)).one_phase_commit, before);
}

// Who asks for a region as it was is told so.
TEST_F(StaleReads, KnowTheirRegion) {
  Resolve();
  const Timestamp at = Now();
  Resolve();
  RequestHeader header = Stale();
  header.epoch->version = 7;
  const std::size_t leader = std::exchange(leader_, there());
  EXPECT_THAT(Read(Key("a"), at, header), ::testing::HasSubstr("epoch"));
  leader_ = leader;
}

}  // namespace
}  // namespace rutile::store
