#include "raft/conf_change.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/random.h"
#include "raft/quorum.h"

namespace rutile::raft {
namespace {

using Kind = ChangeStep::Kind;

PeerIds Ids(std::initializer_list<std::uint64_t> values) {
  PeerIds ids;
  for (std::uint64_t value : values) ids.emplace_back(value);
  return ids;
}

PeerIds Subset(unsigned mask) {
  PeerIds ids;
  for (unsigned i = 0; i < 16; ++i) {
    if ((mask >> i) & 1u) ids.emplace_back(i + 1);
  }
  return ids;
}

bool IsQuorum(const Configuration& all, unsigned mask) {
  return CountVotes(all, [mask](PeerId id) {
           return std::optional<bool>((mask >> (id.value() - 1)) & 1u);
         }) == VoteResult::kWon;
}

// Whether some quorum of one and some quorum of the other have nobody in common: whatever is not in
// the one may be in the other, so only complements matter.
bool CanDecideApart(const Configuration& a, const Configuration& b, unsigned peers) {
  const unsigned all = (1u << peers) - 1;
  for (unsigned mask = 0; mask <= all; ++mask) {
    if (IsQuorum(a, mask) && IsQuorum(b, all & ~mask)) return true;
  }
  return false;
}

TEST(ConfChange, SafeFromEveryConfigurationOfFivePeersToEveryNext) {
  int checked = 0;
  for (unsigned from_mask = 1; from_mask < 32; ++from_mask) {
    const Configuration from{.voters = Subset(from_mask)};
    for (unsigned to_mask = 1; to_mask < 32; ++to_mask) {
      std::vector<ChangeStep> steps;
      for (std::uint64_t id = 1; id <= 5; ++id) {
        const bool was = (from_mask >> (id - 1)) & 1u;
        const bool will = (to_mask >> (id - 1)) & 1u;
        if (was != will) steps.push_back({will ? Kind::kAddVoter : Kind::kRemove, PeerId(id)});
      }
      const auto at_once = ChangeAtOnce(from, steps);
      EXPECT_EQ(steps.size() <= 1, at_once.ok());
      ASSERT_FALSE(at_once.ok() && CanDecideApart(from, at_once.value(), 5));
      const auto joint = EnterJoint(from, steps, true);
      ASSERT_TRUE(joint.ok());
      ASSERT_FALSE(CanDecideApart(from, joint.value(), 5)) << ToString(joint.value());
      const auto left = LeaveJoint(joint.value());
      ASSERT_TRUE(left.ok());
      EXPECT_EQ(Subset(to_mask), left.value().voters);
      ASSERT_FALSE(CanDecideApart(joint.value(), left.value(), 5)) << ToString(joint.value());
      ++checked;
    }
  }
  EXPECT_EQ(31 * 31, checked);
}

// In a joint configuration the way of the steps does not matter, only where they end.
TEST(ConfChange, AJointChangeEndsWhereItsStepsWouldOneByOne) {
  SeededRandom random(7);
  int compared = 0;
  for (int run = 0; run < 2000; ++run) {
    Configuration from{.voters = Subset(1 + static_cast<unsigned>(random.Below(31)))};
    std::vector<ChangeStep> steps;
    for (std::uint64_t n = 1 + random.Below(8); n > 0; --n) {
      steps.push_back({static_cast<Kind>(random.Below(4)), PeerId(random.Below(8))});
    }
    std::optional<Configuration> one_by_one = from;
    for (const ChangeStep& step : steps) {
      const auto next = ChangeAtOnce(*one_by_one, {step});
      if (!next.ok()) {
        one_by_one.reset();
        break;
      }
      one_by_one = next.value();
    }
    const auto joint = EnterJoint(from, steps, false);
    if (!one_by_one || !joint.ok()) continue;
    ASSERT_TRUE(joint.value().IsValid());
    ASSERT_EQ(from.voters, joint.value().outgoing);
    EXPECT_EQ(*one_by_one, LeaveJoint(joint.value()).value()) << "run " << run;
    ++compared;
  }
  EXPECT_GT(compared, 1000);
}

TEST(ConfChange, ADemotedVoterBecomesALearnerWhenTheJointConfigurationIsLeft) {
  const Configuration from{.voters = Ids({1, 2, 3})};
  const auto joint =
      EnterJoint(from, {{Kind::kAddLearner, PeerId(3)}, {Kind::kAddVoter, PeerId(4)}}, true);
  ASSERT_TRUE(joint.ok());
  EXPECT_EQ("voters (1,2,4) outgoing (1,2,3) learners next (3) auto leave",
            ToString(joint.value()));
  EXPECT_EQ("voters (1,2,4) learners (3)", ToString(LeaveJoint(joint.value()).value()));
}

TEST(ConfChange, ApplyChoosesTheTransition) {
  const Configuration from{.voters = Ids({1, 2, 3})};
  const ChangeStep add{Kind::kAddVoter, PeerId(4)};
  const ChangeStep remove{Kind::kRemove, PeerId(1)};
  const auto apply = [&](Transition transition, std::vector<ChangeStep> steps) {
    return ToString(Apply(from, {.transition = transition, .steps = std::move(steps)}).value());
  };
  EXPECT_EQ("voters (1,2,3,4)", apply(Transition::kAuto, {add}));
  EXPECT_EQ("voters (2,3,4) outgoing (1,2,3) auto leave", apply(Transition::kAuto, {add, remove}));
  EXPECT_EQ("voters (1,2,3,4) outgoing (1,2,3) auto leave", apply(Transition::kImplicit, {add}));
  EXPECT_EQ("voters (1,2,3,4) outgoing (1,2,3)", apply(Transition::kExplicit, {add}));
  const auto leave = Apply(from, {});
  EXPECT_EQ("FailedPrecondition: the configuration is not joint", leave.status().ToString());
  const Configuration joint{.voters = Ids({2}), .outgoing = Ids({1})};
  EXPECT_EQ("voters (2)", ToString(Apply(joint, {}).value()));
}

TEST(ConfChange, RefusalsSayWhy) {
  const Configuration one{.voters = Ids({1})};
  const auto why = [](const Result<Configuration>& result) {
    EXPECT_EQ(Code::kFailedPrecondition, result.status().code());
    return std::string(result.status().message());
  };
  EXPECT_EQ("no voter would be left", why(ChangeAtOnce(one, {{Kind::kRemove, PeerId(1)}})));
  EXPECT_EQ("no voter would be left", why(EnterJoint(one, {{Kind::kRemove, PeerId(1)}}, true)));
  EXPECT_EQ("there are no voters to decide with",
            why(EnterJoint({}, {{Kind::kAddVoter, PeerId(1)}}, true)));
  EXPECT_EQ("the configuration is not joint", why(LeaveJoint(one)));
  const Configuration joint{.voters = Ids({1}), .outgoing = Ids({2})};
  EXPECT_EQ("the configuration is joint already",
            why(EnterJoint(joint, {{Kind::kAddVoter, PeerId(3)}}, true)));
  EXPECT_EQ("a joint configuration must be left first",
            why(ChangeAtOnce(joint, {{Kind::kAddVoter, PeerId(3)}})));
  EXPECT_EQ("more than one voter changes, which takes a joint configuration",
            why(ChangeAtOnce(one, {{Kind::kAddVoter, PeerId(2)}, {Kind::kAddVoter, PeerId(3)}})));
}

TEST(ConfChange, StepsHaveNames) {
  EXPECT_EQ("voter 1", ToString(ChangeStep{Kind::kAddVoter, PeerId(1)}));
  EXPECT_EQ("learner 2", ToString(ChangeStep{Kind::kAddLearner, PeerId(2)}));
  EXPECT_EQ("remove 3", ToString(ChangeStep{Kind::kRemove, PeerId(3)}));
  EXPECT_EQ("update 4", ToString(ChangeStep{Kind::kUpdate, PeerId(4)}));
}

}  // namespace
}  // namespace rutile::raft
