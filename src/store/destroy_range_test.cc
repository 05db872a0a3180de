// Ranges that are destroyed wherever they lie, over stores of a simulated world.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/testing/txn_stores.h"

namespace rutile::store {
namespace {

using ::testing::HasSubstr;

class DestroyRangeTest : public testing::TxnStores {
 protected:
  void SetUp() override {
    regions_ = 3;
    TxnStores::SetUp();
  }
  std::string Destroy(std::size_t store, const std::string& start, const std::string& end) {
    std::optional<TxnReply<RangeRemoved>> answer;
    kv_[store]->DestroyRange(start, end,
                             [&](TxnReply<RangeRemoved> reply) { answer = std::move(reply); });
    EXPECT_TRUE(world_.RunUntil([&] { return answer.has_value(); }, Seconds(10)));
    if (auto* status = std::get_if<Status>(&*answer)) return status->ToString();
    return std::holds_alternative<RegionError>(*answer) ? "region error" : "removed";
  }
  void PutIn(std::uint64_t region) {
    leader_ = AwaitLeaderOf(region);
    const std::string key = KeyOf(region) + "k";
    txn::PrewriteRequest request = Puts({key}, "1", Now());
    const mvcc::Timestamp start = request.start;
    Must(Await(&TxnKv::Prewrite, std::move(request), HeaderOf(key)));
    Must(Await(&TxnKv::Commit, txn::CommitRequest{.keys = {key}, .start = start, .commit = Now()},
               HeaderOf(key)));
  }
  std::string ReadIn(std::uint64_t region) {
    leader_ = AwaitLeaderOf(region);
    const std::string key = KeyOf(region) + "k";
    return Read(key, Now(), HeaderOf(key));
  }
};

// One leads the first region, another the second: whoever asks all stores reaches both, and nothing
// outside of the range.
TEST_F(DestroyRangeTest, EachStoreRemovesWhatItLeads) {
  for (std::uint64_t region = 0; region < 3; ++region) {
    AwaitLeaderOf(region);
    store(*LeaderOf(region)).TransferLeadership(RegionOf(region), PeerOf(region, region));
  }
  world_.RunFor(Seconds(3));
  for (std::uint64_t region = 0; region < 3; ++region) {
    ASSERT_EQ(LeaderOf(region), region);
    PutIn(region);
  }
  EXPECT_EQ("removed", Destroy(1, KeyOf(0), KeyOf(2)));
  EXPECT_EQ("1", ReadIn(0));
  EXPECT_EQ("absent", ReadIn(1));
  EXPECT_EQ("removed", Destroy(2, KeyOf(0), KeyOf(2)));
  EXPECT_EQ("removed", Destroy(0, KeyOf(0), KeyOf(2)));
  EXPECT_EQ("absent", ReadIn(0));
  EXPECT_EQ("1", ReadIn(2));
}

TEST_F(DestroyRangeTest, ARegionThatNobodyLeadsIsAnError) {
  PutIn(0);
  for (std::size_t i = 1; i < kStores; ++i) Stop((leader_ + i) % kStores);
  world_.RunFor(Seconds(5));
  EXPECT_THAT(Destroy(leader_, KeyOf(0), KeyOf(1)), HasSubstr("has no leader"));
}

TEST_F(DestroyRangeTest, BothBordersAreNamed) {
  PutIn(0);
  EXPECT_THAT(Destroy(leader_, "", KeyOf(1)), HasSubstr("both of its borders"));
  EXPECT_THAT(Destroy(leader_, KeyOf(0), ""), HasSubstr("both of its borders"));
  EXPECT_THAT(Destroy(leader_, KeyOf(1), KeyOf(0)), HasSubstr("reversed"));
  EXPECT_EQ("1", ReadIn(0));
}

}  // namespace
}  // namespace rutile::store
