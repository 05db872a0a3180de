// What an operator may ask of a group, and what a replica knows of where its peers are.

#include "store/member_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "store/membership.h"
#include "store/peer_addresses.h"
#include "store/tombstone.h"

namespace rutile::store {
namespace {

using Kind = MemberStep::Kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Region ThreeAndALearner() {
  return {.id = RegionId(2),
          .epoch = {.conf_version = 5, .version = 1},
          .peers = {{PeerId(101), StoreId(1)},
                    {PeerId(102), StoreId(2)},
                    {PeerId(103), StoreId(3)},
                    {PeerId(109), StoreId(4), PeerRole::kLearner}},
          .last_peer = PeerId(111)};
}

// As peer 101 sees it, while all is well but for the learner, perhaps.
LeaderView View(Index learner = Index(30)) {
  const auto peer = [](std::uint64_t id, Index match) {
    return raft::PeerStatus{.id = PeerId(id), .match = match, .lately_active = true};
  };
  return {.self = PeerId(101),
          .peers = {peer(102, Index(30)), peer(103, Index(30)), peer(109, learner)},
          .configuration_since = Index(20),
          .catch_up_mark = Index(28)};
}
raft::PeerStatus& PeerOf(LeaderView& view, std::uint64_t id) {
  return *std::ranges::find(view.peers, PeerId(id), &raft::PeerStatus::id);
}

MemberStep Add(std::uint64_t id, std::uint64_t store) {
  return {Kind::kAddLearner, {.id = PeerId(id), .store = StoreId(store)}};
}
MemberStep Step(Kind kind, std::uint64_t id) { return {kind, {.id = PeerId(id)}}; }

Result<raft::Configuration> After(const std::vector<MemberStep>& steps, Index learner = Index(30)) {
  const Region region = ThreeAndALearner();
  RUTILE_ASSIGN_OR_RETURN(const auto change, PlanChange(region, steps, View(learner)));
  return raft::Apply(ConfigurationOf(region), change);
}

std::string Text(const std::vector<MemberStep>& steps) {
  const auto after = After(steps);
  return after.ok() ? raft::ToString(after.value()) : after.status().ToString();
}

TEST(PlanChange, OneStepIsMadeAtOnce) {
  EXPECT_EQ(Text({Add(112, 5)}), "voters (101,102,103) learners (109,112)");
  EXPECT_EQ(Text({Step(Kind::kPromote, 109)}), "voters (101,102,103,109)");
  EXPECT_EQ(Text({Step(Kind::kDemote, 102)}), "voters (101,103) learners (102,109)");
  EXPECT_EQ(Text({Step(Kind::kRemove, 103)}), "voters (101,102) learners (109)");
  EXPECT_EQ(Text({Step(Kind::kRemove, 109)}), "voters (101,102,103)");
}

TEST(PlanChange, SeveralStepsTakeAJointConfigurationThatLeaves) {
  const auto after = After({Step(Kind::kPromote, 109), Step(Kind::kRemove, 101)});
  ASSERT_TRUE(after.ok());
  EXPECT_TRUE(after.value().IsJoint());
  EXPECT_TRUE(after.value().auto_leave);
  EXPECT_THAT(after.value().voters, ElementsAre(PeerId(102), PeerId(103), PeerId(109)));
  EXPECT_THAT(after.value().outgoing, ElementsAre(PeerId(101), PeerId(102), PeerId(103)));
}

TEST(PlanChange, TheEntryIntroducesWhoIsNew) {
  const Region region = ThreeAndALearner();
  const auto change = PlanChange(region, {Add(112, 5), Step(Kind::kDemote, 101)}, View());
  ASSERT_TRUE(change.ok());
  const auto payload = raft::EncodeConfiguration(
      raft::Apply(ConfigurationOf(region), change.value()).value(), change.value().context);
  const auto after = RegionAfter(region, payload.view());
  ASSERT_TRUE(after.ok());
  ASSERT_NE(after.value().FindPeer(PeerId(112)), nullptr);
  EXPECT_EQ(after.value().FindPeer(PeerId(112))->store, StoreId(5));
  EXPECT_EQ(after.value().LastPeer(), PeerId(112));
}

// Each of these has brought down somebody's cluster, or could.
TEST(PlanChange, RefusesWhatMakesNoSense) {
  const auto why = [](const std::vector<MemberStep>& steps) {
    const auto after = After(steps);
    EXPECT_EQ(after.status().code(), Code::kFailedPrecondition) << after.status().ToString();
    return std::string(after.status().message());
  };
  EXPECT_THAT(why({}), HasSubstr("without a step"));
  // An id that was a member's once, or could have been.
  EXPECT_THAT(why({Add(111, 5)}), HasSubstr("ids of peers only grow"));
  EXPECT_THAT(why({Add(104, 5)}), HasSubstr("ids of peers only grow"));
  EXPECT_THAT(why({Add(101, 5)}), HasSubstr("ids of peers only grow"));
  EXPECT_THAT(why({Add(112, 0)}), HasSubstr("no store"));
  EXPECT_THAT(why({Add(112, 4)}), HasSubstr("peer 109 already"));
  // Not even if the one that is there goes with the same change.
  EXPECT_THAT(why({Step(Kind::kRemove, 101), Add(112, 1)}), HasSubstr("peer 101 already"));
  EXPECT_THAT(why({Add(112, 5), Add(113, 5)}), HasSubstr("two peers on one store"));
  EXPECT_THAT(why({Step(Kind::kRemove, 101), Step(Kind::kDemote, 101)}), HasSubstr("twice"));
  EXPECT_THAT(why({Step(Kind::kRemove, 105)}), HasSubstr("not a member"));
  EXPECT_THAT(why({Step(Kind::kPromote, 112)}), HasSubstr("not a member"));
  EXPECT_THAT(why({Step(Kind::kPromote, 101)}), HasSubstr("a voter"));
  EXPECT_THAT(why({Step(Kind::kDemote, 109)}), HasSubstr("a learner"));
  EXPECT_THAT(why({Step(Kind::kRemove, 101), Step(Kind::kRemove, 102), Step(Kind::kDemote, 103)}),
              HasSubstr("no voter"));
}

TEST(PlanChange, AsksToTryAgainWhereTimeHelps) {
  Region joint = ThreeAndALearner();
  joint.joint = true;
  EXPECT_EQ(PlanChange(joint, {Add(112, 5)}, View()).status().code(), Code::kUnavailable);
}

TEST(PlanChange, ALearnerVotesWhenItKeepsUp) {
  const Region region = ThreeAndALearner();
  const std::vector<MemberStep> promote = {Step(Kind::kPromote, 109)};
  LeaderView view = View(Index(28));
  EXPECT_TRUE(PlanChange(region, promote, view).ok());
  PeerOf(view, 109).match = Index(27);
  const Status late = PlanChange(region, promote, view).status();
  EXPECT_EQ(late.code(), Code::kUnavailable);
  EXPECT_THAT(late.message(), HasSubstr("ends at 27, and must come to 28"));
  // Before it knows of the group that it is a member of, it has no data.
  view.catch_up_mark = Index(10);
  EXPECT_TRUE(PlanChange(region, promote, view).ok());
  view.configuration_since = Index(28);
  EXPECT_EQ(PlanChange(region, promote, view).status().code(), Code::kUnavailable);
  // Where its log has come to says nothing of one that has gone since.
  view = View();
  PeerOf(view, 109).lately_active = false;
  EXPECT_THAT(PlanChange(region, promote, view).status().message(), HasSubstr("does not answer"));
}

// Whoever removes the wrong one of three while another is down has a group that writes nothing any
// more, and needs surgery.
TEST(PlanChange, AMajorityIsLeftThatAnswersAndKeepsUp) {
  const Region region = ThreeAndALearner();
  const auto why = [&](const std::vector<MemberStep>& steps, const LeaderView& view) {
    const Status status = PlanChange(region, steps, view).status();
    EXPECT_TRUE(status.ok() || status.code() == Code::kUnavailable) << status.ToString();
    return std::string(status.message());
  };
  LeaderView silent = View();
  PeerOf(silent, 103).lately_active = false;
  LeaderView late = View();
  PeerOf(late, 103).match = Index(27);
  for (const LeaderView& view : {silent, late}) {
    for (const Kind kind : {Kind::kRemove, Kind::kDemote}) {
      EXPECT_THAT(why({Step(kind, 102)}, view), HasSubstr("it waits for peers 103"));
      // The leader may go no more than another.
      EXPECT_THAT(why({Step(kind, 101)}, view), HasSubstr("it waits for peers 103"));
      EXPECT_EQ(why({Step(kind, 103)}, view), "");
    }
    EXPECT_EQ(why({Step(Kind::kPromote, 109)}, view), "") << "three of four are well";
    EXPECT_EQ(why({Step(Kind::kPromote, 109), Step(Kind::kRemove, 103)}, view), "");
    EXPECT_EQ(why({Step(Kind::kPromote, 109), Step(Kind::kRemove, 102)}, view), "");
    EXPECT_EQ(why({Add(112, 5)}, view), "");
    EXPECT_EQ(why({Step(Kind::kRemove, 109)}, view), "");
  }
}

TEST(Region, RemembersTheLastPeerWhenItGoes) {
  Region region = ThreeAndALearner();
  region.last_peer = {};
  const auto apply = [&](const std::vector<MemberStep>& steps) {
    const auto change = PlanChange(region, steps, View());
    ASSERT_TRUE(change.ok()) << change.status().ToString();
    const auto next = raft::Apply(ConfigurationOf(region), change.value()).value();
    region =
        RegionAfter(region, raft::EncodeConfiguration(next, change.value().context).view()).value();
    EXPECT_EQ(DecodeRegion(EncodeRegion(region)).value(), region);
  };
  EXPECT_FALSE(region.HasRemoved(PeerId(109)));
  apply({Step(Kind::kRemove, 109)});
  EXPECT_TRUE(region.HasRemoved(PeerId(109)));
  EXPECT_EQ(region.last_peer, PeerId(109));
  EXPECT_FALSE(region.HasRemoved(PeerId(110))) << "it may be added yet";
  apply({Add(110, 4)});
  EXPECT_TRUE(region.HasRemoved(PeerId(109)));
  EXPECT_EQ(region.last_peer, PeerId()) << "one of the peers says it";
  apply({Step(Kind::kRemove, 103)});
  EXPECT_TRUE(region.HasRemoved(PeerId(103)));
  EXPECT_FALSE(region.HasRemoved(PeerId(101)));
}

TEST(Tombstone, IsReadBackAsItWasAndNothingElseIs) {
  const Tombstone tombstone{.peer = PeerId(109), .last = ThreeAndALearner()};
  const std::string bytes = EncodeTombstone(tombstone);
  EXPECT_EQ(DecodeTombstone(bytes).value(), tombstone);
  EXPECT_FALSE(DecodeTombstone(bytes + "x").ok());
  EXPECT_FALSE(DecodeTombstone(bytes.substr(0, bytes.size() - 1)).ok());
  EXPECT_FALSE(DecodeTombstone("").ok());
  std::string other = bytes;
  other[0] = 9;
  EXPECT_THAT(DecodeTombstone(other).status().ToString(), HasSubstr("format 9"));
}

TEST(PeerAddresses, KnowsWhoIsAppendedAndForgetsWhoIsGone) {
  Region region = ThreeAndALearner();
  PeerAddresses addresses;
  addresses.Learn(region);
  EXPECT_EQ(addresses.Find(PeerId(103))->store, StoreId(3));
  EXPECT_FALSE(addresses.Find(PeerId(112)));

  const auto change = PlanChange(region, {Add(112, 5)}, View()).value();
  const auto payload = raft::EncodeConfiguration(
      raft::Apply(ConfigurationOf(region), change).value(), change.context);
  LogSlice slice{.prev = {Term(3), Index(30)}};
  slice.entries.push_back({{Term(3), Index(31)}, EntryType::kNormal, Bytes("no configuration")});
  slice.entries.push_back({{Term(3), Index(32)}, EntryType::kConfig, payload});
  slice.entries.push_back({{Term(3), Index(33)}, EntryType::kConfig, Bytes("nor is this")});
  addresses.Learn(slice);
  EXPECT_EQ(addresses.Find(PeerId(112))->store, StoreId(5));

  addresses.Learn(PeerId(104), StoreId(6));  // A sender of old.
  addresses.Learn(PeerId(120), StoreId(7));  // One of whom nothing is known here yet.
  addresses.Learn(PeerId(121), StoreId());
  std::erase_if(region.peers, [](const Peer& peer) { return peer.id == PeerId(101); });
  addresses.Forget(region);
  EXPECT_FALSE(addresses.Find(PeerId(101)));
  EXPECT_FALSE(addresses.Find(PeerId(104)));
  EXPECT_FALSE(addresses.Find(PeerId(121)));
  EXPECT_EQ(addresses.Find(PeerId(120))->store, StoreId(7));
  EXPECT_THAT(addresses.Stores(),
              ElementsAre(StoreId(2), StoreId(3), StoreId(4), StoreId(5), StoreId(7)));
}

}  // namespace
}  // namespace rutile::store
