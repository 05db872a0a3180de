#include "raft/quorum.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <vector>

namespace rutile::raft {
namespace {

using Positions = std::map<PeerId, std::uint64_t>;

PeerIds OfEight(unsigned mask) {
  PeerIds ids;
  for (unsigned i = 0; i < 8; ++i) {
    if ((mask >> i) & 1u) ids.emplace_back(i + 1);
  }
  return ids;
}

// Straight from the definition: the largest value v such that more than half are at v or above.
std::uint64_t NaiveReached(const PeerIds& voters, const Positions& values) {
  for (std::uint64_t v = 8; v > 0; --v) {
    std::size_t there = 0;
    for (PeerId id : voters) there += values.at(id) >= v ? 1u : 0u;
    if (2 * there > voters.size()) return v;
  }
  return 0;
}

// Won if more than half granted; lost if it would be lost even if all others granted.
VoteResult NaiveVote(const PeerIds& voters, const std::map<PeerId, std::optional<bool>>& votes) {
  std::size_t granted = 0;
  std::size_t possible = 0;
  for (PeerId id : voters) {
    granted += votes.at(id) == std::optional(true) ? 1u : 0u;
    possible += votes.at(id) != std::optional(false) ? 1u : 0u;
  }
  if (2 * granted > voters.size()) return VoteResult::kWon;
  return 2 * possible > voters.size() ? VoteResult::kPending : VoteResult::kLost;
}

TEST(Quorum, ReachedIsThatOfTheDefinitionForAllSmallConfigurations) {
  std::size_t cases = 0;
  for (unsigned incoming = 1; incoming < 32; ++incoming) {
    for (unsigned outgoing = 0; outgoing < 32; ++outgoing) {
      const Configuration all{.voters = OfEight(incoming), .outgoing = OfEight(outgoing)};
      for (unsigned code = 0; code < 1024; code += outgoing == 0 ? 1 : 3) {  // Base 4, 5 digits.
        Positions values;
        unsigned rest = code;
        for (unsigned i = 1; i <= 5; ++i, rest /= 4) values[PeerId(i)] = rest % 4;
        const std::uint64_t reached =
            QuorumReached(all, [&values](PeerId id) { return values.at(id); });
        std::uint64_t naive = NaiveReached(all.voters, values);
        if (all.IsJoint()) naive = std::min(naive, NaiveReached(all.outgoing, values));
        ASSERT_EQ(naive, reached) << ToString(all) << " values " << code;
        ++cases;
      }
    }
  }
  EXPECT_GT(cases, 300'000u);
}

TEST(Quorum, VotesAreCountedByTheDefinitionForAllSmallConfigurations) {
  for (unsigned incoming = 1; incoming < 32; ++incoming) {
    for (unsigned outgoing = 0; outgoing < 32; ++outgoing) {
      const Configuration all{.voters = OfEight(incoming), .outgoing = OfEight(outgoing)};
      for (unsigned code = 0; code < 243; ++code) {  // Base 3, 5 digits.
        std::map<PeerId, std::optional<bool>> votes;
        unsigned rest = code;
        for (unsigned i = 1; i <= 5; ++i, rest /= 3) {
          votes[PeerId(i)] = rest % 3 == 0 ? std::nullopt : std::optional(rest % 3 == 1);
        }
        const VoteResult result = CountVotes(all, [&votes](PeerId id) { return votes.at(id); });
        const VoteResult in = NaiveVote(all.voters, votes);
        const VoteResult out = all.IsJoint() ? NaiveVote(all.outgoing, votes) : VoteResult::kWon;
        const bool won = in == VoteResult::kWon && out == VoteResult::kWon;
        const bool lost = in == VoteResult::kLost || out == VoteResult::kLost;
        const VoteResult naive =
            won ? VoteResult::kWon : (lost ? VoteResult::kLost : VoteResult::kPending);
        ASSERT_EQ(naive, result) << ToString(all) << " votes " << code;
      }
    }
  }
}

// All sizes of two sets of up to 5 voters that share so many: which ids they have does not matter.
void ForAllShapes(const std::function<void(const Configuration&, unsigned peers)>& run) {
  for (unsigned only_in = 0; only_in <= 5; ++only_in) {
    for (unsigned both = 0; only_in + both <= 5; ++both) {
      for (unsigned only_out = 0; both + only_out <= 5; ++only_out) {
        if (only_in + both == 0) continue;
        const unsigned in = (1u << (only_in + both)) - 1;
        const unsigned out = ((1u << (both + only_out)) - 1) << only_in;
        run({.voters = OfEight(in), .outgoing = OfEight(both + only_out == 0 ? 0 : out)},
            only_in + both + only_out);
      }
    }
  }
}

TEST(Quorum, AllOfUpToFiveAndFiveVotersByBruteForce) {
  std::size_t shapes = 0;
  std::size_t cases = 0;
  ForAllShapes([&](const Configuration& all, unsigned peers) {
    ++shapes;
    unsigned codes = 1;
    for (unsigned i = 0; i < peers; ++i) codes *= 3;
    // Each peer has answered yes, no or nothing; and is at 0, 1 or 2.
    for (unsigned code = 0; code < codes; ++code, ++cases) {
      std::array<unsigned, 10> digits = {};
      unsigned rest = code;
      for (unsigned i = 0; i < peers; ++i, rest /= 3) digits[i] = rest % 3;
      const auto majority_at = [&](const PeerIds& voters, unsigned least) {
        std::size_t there = 0;
        for (PeerId id : voters) there += digits[id.value() - 1] >= least ? 1u : 0u;
        return 2 * there > voters.size();
      };
      const auto quorum_at = [&](unsigned least) {
        return majority_at(all.voters, least) &&
               (!all.IsJoint() || majority_at(all.outgoing, least));
      };
      const unsigned reached = quorum_at(2) ? 2 : (quorum_at(1) ? 1 : 0);
      ASSERT_EQ(reached, QuorumReached(all, [&](PeerId id) {
                  return std::uint64_t{digits[id.value() - 1]};
                }));
      // 2 is yes, 1 is silence, 0 is no: with silence as yes it may still be won.
      const VoteResult expected = quorum_at(2)   ? VoteResult::kWon
                                  : quorum_at(1) ? VoteResult::kPending
                                                 : VoteResult::kLost;
      ASSERT_EQ(expected, CountVotes(all,
                                     [&](PeerId id) {
                                       const unsigned digit = digits[id.value() - 1];
                                       return digit == 1 ? std::nullopt : std::optional(digit == 2);
                                     }))
          << ToString(all) << " votes " << code;
    }
  });
  EXPECT_EQ(85u, shapes);
  EXPECT_GT(cases, 100'000u);
}

TEST(Quorum, WithoutVotersNothingIsDecided) {
  const Configuration none;
  EXPECT_EQ(0u, QuorumReached(none, [](PeerId) { return std::uint64_t{9}; }));
  EXPECT_NE(VoteResult::kWon, CountVotes(none, [](PeerId) { return std::optional(true); }));
}

TEST(Quorum, ManyVotersDoNotFitInTheInlineArray) {
  Configuration many;
  for (std::uint64_t i = 1; i <= 41; ++i) many.voters.emplace_back(i);
  EXPECT_EQ(21u, QuorumReached(many, [](PeerId id) { return id.value(); }));
}

}  // namespace
}  // namespace rutile::raft
