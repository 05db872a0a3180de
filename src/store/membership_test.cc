// The descriptor of a region and the configuration of its group say the same.

#include "store/membership.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "raft/conf_change.h"

namespace rutile::store {
namespace {

const Region kDescribed{.id = RegionId(7),
                        .start_key = "b",
                        .end_key = "y",
                        .epoch = {.conf_version = 5, .version = 3},
                        .peers = {{PeerId(11), StoreId(1)},
                                  {PeerId(12), StoreId(2)},
                                  {PeerId(13), StoreId(3), PeerRole::kLearner}}};

std::string Applied(const Region& region, const raft::ConfigurationChange& change) {
  const auto next = raft::Apply(ConfigurationOf(region), change);
  if (!next.ok()) return next.status().ToString();
  const Bytes payload = raft::EncodeConfiguration(next.value(), change.context);
  const Result<Region> after = RegionAfter(region, payload.view());
  return after.ok() ? ToString(after.value()) : after.status().ToString();
}

TEST(Membership, APeerIsAddedWhereTheContextSays) {
  EXPECT_EQ("region 7 epoch 6.3 peers 11/1 12/2 13/3L 14/4L",
            Applied(kDescribed, {.steps = {{raft::ChangeStep::Kind::kAddLearner, PeerId(14)}},
                                 .context = EncodeNewPeers({{PeerId(14), StoreId(4)}})}));
  EXPECT_EQ("Corruption: nobody knows where peer 14 is",
            Applied(kDescribed, {.steps = {{raft::ChangeStep::Kind::kAddLearner, PeerId(14)}}}));
}

TEST(Membership, PromotedDemotedRemoved) {
  EXPECT_EQ("region 7 epoch 6.3 peers 11/1 12/2 13/3",
            Applied(kDescribed, {.steps = {{raft::ChangeStep::Kind::kAddVoter, PeerId(13)}}}));
  EXPECT_EQ("region 7 epoch 6.3 peers 11/1L 12/2 13/3L",
            Applied(kDescribed, {.steps = {{raft::ChangeStep::Kind::kAddLearner, PeerId(11)}}}));
  EXPECT_EQ("region 7 epoch 6.3 peers 11/1 13/3L",
            Applied(kDescribed, {.steps = {{raft::ChangeStep::Kind::kRemove, PeerId(12)}}}));
}

TEST(Membership, AJointConfigurationHasRolesOfItsOwn) {
  EXPECT_EQ("region 7 epoch 6.3 peers 11/1D 12/2X 13/3I joint",
            Applied(kDescribed, {.steps = {{raft::ChangeStep::Kind::kAddVoter, PeerId(13)},
                                           {raft::ChangeStep::Kind::kAddLearner, PeerId(11)},
                                           {raft::ChangeStep::Kind::kRemove, PeerId(12)}}}));
  EXPECT_EQ(
      "Corruption: a joint configuration of a region that does not leave: voters (11,12,13) "
      "outgoing (11,12)",
      Applied(kDescribed, {.transition = raft::Transition::kExplicit,
                           .steps = {{raft::ChangeStep::Kind::kAddVoter, PeerId(13)}}}));
}

TEST(Membership, WhatCannotBeReadIsCorruption) {
  EXPECT_EQ(Code::kCorruption, RegionAfter(kDescribed, "x").status().code());
  const Bytes payload = raft::EncodeConfiguration(ConfigurationOf(kDescribed), "\x02");
  EXPECT_EQ(Code::kCorruption, RegionAfter(kDescribed, payload.view()).status().code());
}

// Any way of changes, applied one by one, and each result stored and read back.
TEST(Membership, DescriptorAndConfigurationSayTheSame) {
  SeededRandom random(3);
  int changes = 0;
  int joint = 0;
  Region region = kDescribed;
  for (int i = 0; i < 3000; ++i) {
    raft::ConfigurationChange change;
    std::vector<Peer> added;
    const bool leaves = ConfigurationOf(region).IsJoint();
    for (std::uint64_t n = leaves ? 0 : 1 + random.Below(3); n > 0; --n) {
      const PeerId id(11 + random.Below(6));
      change.steps.push_back({static_cast<raft::ChangeStep::Kind>(random.Below(3)), id});
      added.push_back({id, StoreId(id.value() - 10)});
    }
    change.context = EncodeNewPeers(added);
    const auto next = raft::Apply(ConfigurationOf(region), change);
    if (!next.ok()) continue;
    const Bytes payload = raft::EncodeConfiguration(next.value(), change.context);
    const Result<Region> after = RegionAfter(region, payload.view());
    ASSERT_TRUE(after.ok()) << after.status().ToString();
    EXPECT_EQ(region.epoch.conf_version + 1, after.value().epoch.conf_version);
    region = DecodeRegion(EncodeRegion(after.value())).value();
    ASSERT_EQ(after.value(), region);
    ASSERT_EQ(next.value(), ConfigurationOf(region)) << ToString(region);
    ++changes;
    joint += next.value().IsJoint() ? 1 : 0;
  }
  EXPECT_GT(changes, 1000);
  EXPECT_GT(joint, 300);
}

}  // namespace
}  // namespace rutile::store
