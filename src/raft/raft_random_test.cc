// Clusters under everything that can happen to them, drawn from a seed: first safety after every
// step, then, healed, progress. A failure prints its seed; RUTILE_SEED=n runs it alone and
// RUTILE_TEST_SCALE=n runs n times as many.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <set>
#include <string>
#include <utility>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::TestCluster;

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

constexpr int kSteps = 4000;
constexpr std::size_t kMostMembers = 7;

class Calamity {
 public:
  explicit Calamity(std::uint64_t seed) : random_(seed), cluster_(Swarm(seed)) {
    // Which calamities there are at all differs from seed to seed.
    loss_ = random_.OneIn(2) ? random_.Below(30) : 0;
    duplicates_ = random_.OneIn(2) ? random_.Below(20) : 0;
    reorder_ = random_.OneIn(2);
    crashes_ = random_.OneIn(2);
    partitions_ = random_.OneIn(2);
    slow_disks_ = random_.OneIn(2);
    compacts_ = random_.OneIn(2);
    transfers_ = random_.OneIn(3);
    changes_ = random_.OneIn(2);
    priorities_ = random_.OneIn(2);
    limits_ = random_.OneIn(3);
    // Fewer than could elect a leader without the others, whoever the others are.
    const TestCluster::Setup setup = Swarm(seed);
    may_lose_ = !changes_ && setup.witnesses == 0 && crashes_ ? (setup.voters - 1) / 2 : 0;
    without_lease_ = Swarm(seed).options.lease == Duration::zero();
  }

  // Empty, or what went wrong.
  std::string Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      Step();
      if (!cluster_.violation().empty()) {
        return cluster_.violation() + " at step " + std::to_string(i);
      }
    }
    return HealAndProgress();
  }

  // The next number depends on everything that was drawn before.
  int changes_made() const { return changes_made_; }
  int losses() const { return losses_; }
  std::uint64_t Fingerprint() { return random_.Next(); }
  std::string Trace() { return cluster_.TakeTrace(); }

 private:
  static TestCluster::Setup Swarm(std::uint64_t seed) {
    SeededRandom random(~seed);
    TestCluster::Setup setup{.voters = random.OneIn(2) ? 3u : 5u,
                             .learners = random.OneIn(3) ? 1u : 0u,
                             .options = testing::SmallOptions(),
                             .seed = seed,
                             // Whoever is added knows nothing of the first members.
                             .begins = {Term(1), Index(1)}};
    if (random.OneIn(3)) setup.witnesses = 1 + random.Below(setup.voters / 2);
    if (random.OneIn(10)) {
      setup.voters = random.OneIn(2) ? 1 : 2;
      setup.witnesses = std::min(setup.witnesses, setup.voters / 2);
    }
    // Tiny limits reach rare code.
    setup.options.max_inflight_messages = 1 + random.Below(4);
    setup.options.max_inflight_bytes = 1 + random.Below(400);
    setup.options.max_append_bytes = 1 + random.Below(200);
    setup.options.max_hand_out_bytes = 1 + random.Below(200);
    setup.options.max_uncommitted_bytes = 200 + random.Below(1000);
    setup.options.max_backlog_bytes = 100 + random.Below(1000);
    setup.options.quiet = random.OneIn(2);
    setup.options.apply_before_durable = !random.OneIn(3);
    if (random.OneIn(2)) setup.options.lease = Duration::zero();
    return setup;
  }

  std::size_t AnyNode() { return 1 + random_.Below(cluster_.size()); }

  void Step() {
    const std::size_t id = AnyNode();
    const std::uint64_t dice = random_.Below(100);
    if (dice < 40) return DeliverSomething();
    if (dice < 52) return Ticks();
    if (!cluster_.alive(id)) {
      if (!cluster_.destroyed(id) && random_.OneIn(4)) Restart(id);
      return;
    }
    if (dice < 66) return Disk(id);
    if (dice < 78) return (void)cluster_.ApplyOne(id);
    if (dice < 85) return Work(id);
    if (dice < 88) return (void)cluster_.AnswerColdRead(id, random_.OneIn(5));
    if (dice < 90) return (void)cluster_.SendSnapshot(id, random_.OneIn(4));
    if (dice < 94) return LetGo(id);
    Trouble(id);
  }

  void DeliverSomething() {
    auto& network = cluster_.network();
    if (network.empty()) return;
    const std::size_t at = reorder_ ? random_.Below(std::min<std::size_t>(network.size(), 8)) : 0;
    // Snapshots come by another road, which tells its sender when it fails.
    const bool snapshot = network[at].type == MessageType::kSnapshot;
    if (random_.Below(100) < loss_) {
      const Message lost = network[at];
      network.erase(network.begin() + static_cast<std::ptrdiff_t>(at));
      if (random_.OneIn(4) && cluster_.alive(lost.from.value())) {
        cluster_.Unreachable(lost.from.value(), lost.to.value());
      }
    } else {
      cluster_.Deliver(at, !snapshot && random_.Below(100) < duplicates_);
    }
    // A network forgets: held duplicates do not pile up for ever.
    while (network.size() > 400) network.pop_front();
  }

  // Clocks of nodes run alike, their ticks need not.
  void Ticks() {
    cluster_.Elapse(testing::kTick);
    for (std::size_t id = 1; id <= cluster_.size(); ++id) {
      if (random_.Below(8) != 0) cluster_.Tick(id);
    }
  }

  void Disk(std::size_t id) {
    if (slow_disks_ && random_.OneIn(2) && id % 2 == 0) return;
    auto& marks = cluster_.marks(id);
    if (!marks.empty() && random_.OneIn(2)) {
      // Late, out of order, repeated.
      const std::size_t at = random_.Below(marks.size());
      const Mark mark = marks[at];
      if (!random_.OneIn(4)) marks.erase(marks.begin() + static_cast<std::ptrdiff_t>(at));
      cluster_.TellDurable(id, mark);
    } else if (cluster_.writes_in_flight(id) > 0) {
      cluster_.CompleteWrite(id, !random_.OneIn(4));
    }
  }

  void Work(std::size_t id) {
    if (random_.OneIn(3)) {
      cluster_.ReadIndex(id);
      return;
    }
    if (!cluster_.raft(id).is_leader()) return;
    if (changes_ && random_.OneIn(3)) return ChangeMembers(id);
    std::vector<Bytes> batch;
    for (std::uint64_t n = 1 + random_.Below(3); n > 0; --n) {
      batch.emplace_back("p" + std::to_string(proposals_++) + std::string(random_.Below(60), '.'));
    }
    cluster_.ProposeBatch(id, std::move(batch));
  }

  void LetGo(std::size_t id) {
    if (random_.OneIn(2)) cluster_.Evict(id, random_.Below(300));
    if (random_.OneIn(3)) cluster_.FlushMachine(id);
    if (compacts_ && random_.OneIn(3)) {
      const std::uint64_t applied = cluster_.machine(id).applied.index.value();
      cluster_.Compact(id, applied - std::min(applied, random_.Below(6)));
    }
  }

  // A few steps of all kinds, of which some make no sense.
  void ChangeMembers(std::size_t id) {
    const Configuration current = cluster_.raft(id).configuration();
    PeerIds members = current.Members();
    ConfigurationChange change{.transition = static_cast<Transition>(random_.Below(3))};
    // An explicit joint configuration is left by a change without steps.
    for (std::uint64_t n = current.IsJoint() ? 0 : 1 + random_.Below(3); n > 0; --n) {
      const bool add = members.size() < kMostMembers && random_.OneIn(2);
      const PeerId who = add ? PeerId(cluster_.size() + 1) : members[random_.Below(members.size())];
      const auto kind =
          add ? ChangeStep::Kind::kAddLearner : static_cast<ChangeStep::Kind>(random_.Below(4));
      change.steps.push_back({!add               ? kind
                              : random_.OneIn(4) ? ChangeStep::Kind::kAddWitness
                              : random_.OneIn(2) ? ChangeStep::Kind::kAddVoter
                                                 : kind,
                              who});
      if (add) members.push_back(who);
    }
    if (cluster_.ProposeChange(id, change).ok()) ++changes_made_;
  }

  void Trouble(std::size_t id) {
    switch (random_.Below(12)) {
      case 0:
        if (crashes_) {
          cluster_.Crash(id, random_.Below(cluster_.writes_in_flight(id) + 1), random_.OneIn(2));
          LoseSomething(id);
        }
        return;
      case 1:
        if (partitions_) cluster_.Isolate(id);
        return;
      case 2:
        if (partitions_) cluster_.CutLink(id, AnyNode());
        return;
      case 3:
      case 4: return cluster_.Heal();
      case 5:
        if (transfers_) cluster_.Transfer(id, AnyNode());
        return;
      case 6:
        // Anybody, however unfit; a lease that counts on its refusal to vote would not survive it.
        if (without_lease_) cluster_.Campaign(id);
        return;
      case 7:
        if (changes_ && cluster_.removed(id)) cluster_.Destroy(id);
        return;
      case 8:
        if (priorities_) cluster_.SetPriority(id, static_cast<std::int32_t>(random_.Below(5)) - 2);
        return;
      case 9:
        if (limits_) SetLimits(id);
        return;
      case 10: return Liveness(id);
      default: return;
    }
  }

  void LoseSomething(std::size_t id) {
    std::size_t impaired = 0;
    for (std::size_t other = 1; other <= cluster_.size(); ++other) {
      impaired += other != id && cluster_.disk(other).hard_state.impaired_until ? 1u : 0u;
    }
    const testing::Disk& disk = cluster_.disk(id);
    if (impaired >= may_lose_ || disk.log.empty() || !random_.OneIn(2)) return;
    const std::uint64_t length = disk.last().index.DistanceFrom(disk.base.index);
    cluster_.LoseEntries(
        id, disk.last().index.value() - random_.Below(std::min(length, std::uint64_t{9})));
    losses_ += disk.hard_state.impaired_until ? 1 : 0;
  }

  // The truth, or a lie: at worst it costs messages, and time until the truth is told.
  void Liveness(std::size_t id) {
    if (random_.OneIn(3)) return cluster_.SetLive(id, AnyNode(), random_.OneIn(2));
    for (std::size_t peer = 1; peer <= cluster_.size(); ++peer) {
      TellTruth(id, peer);
    }
  }

  void TellTruth(std::size_t id, std::size_t peer) {
    if (restarted_.erase({id, peer}) != 0) cluster_.SetLive(id, peer, false);
    cluster_.SetLive(id, peer, cluster_.alive(peer));
  }

  void Restart(std::size_t id) {
    cluster_.Restart(id);
    for (std::size_t other = 1; other <= cluster_.size(); ++other) restarted_.insert({other, id});
  }

  // Smaller and larger than what is on its way; zeroes too.
  void SetLimits(std::size_t id) {
    cluster_.SetLimits(id, {.max_inflight_messages = random_.Below(5),
                            .max_inflight_bytes = random_.Below(400),
                            .max_append_bytes = random_.Below(200),
                            .max_uncommitted_bytes = random_.Below(1000),
                            .max_backlog_bytes = random_.Below(1000)});
  }

  std::string HealAndProgress() {
    cluster_.Heal();
    for (std::size_t id = 1; id <= cluster_.size(); ++id) {
      if (cluster_.destroyed(id)) continue;
      if (!cluster_.alive(id)) Restart(id);
      // What the disk has done, the core will hear of.
      for (const Mark& mark : std::exchange(cluster_.marks(id), {})) {
        cluster_.TellDurable(id, mark);
      }
    }
    for (std::size_t id = 1; id <= cluster_.size(); ++id) {
      for (std::size_t peer = 1; peer <= cluster_.size() && cluster_.alive(id); ++peer) {
        TellTruth(id, peer);
      }
    }
    std::size_t leader = 0;
    for (int tick = 0; tick < 200; ++tick) {
      cluster_.TickAll();
      if (!cluster_.violation().empty()) return cluster_.violation() + " while healing";
      if (leader == 0) {
        for (std::size_t id = 1; id <= cluster_.size(); ++id) {
          if (!cluster_.alive(id) || !cluster_.raft(id).is_leader()) continue;
          if (cluster_.Propose(id, "last")) leader = id;
        }
      } else if (!cluster_.raft(leader).is_leader()) {
        leader = 0;
      } else if (AllApplied(leader)) {
        return "";
      }
    }
    std::string state = "no progress:";
    for (std::size_t id = 1; id <= cluster_.size(); ++id) {
      if (cluster_.alive(id)) state += "\n" + cluster_.raft(id).DebugString();
    }
    return state;
  }

  bool AllApplied(std::size_t leader) {
    const LogId last = cluster_.raft(leader).tail().last();
    const Configuration& all = cluster_.raft(leader).configuration();
    if (all.auto_leave || !all.IsVoter(PeerId(leader))) return false;  // Not at rest yet.
    for (PeerId member : all.Members()) {
      const std::size_t id = member.value();
      if (cluster_.machine(id).applied != last) return false;
      const testing::MachineState& state = cluster_.machine(id);
      if (!state.witness && state.hash != cluster_.machine(leader).hash) return false;
    }
    return true;
  }

  SeededRandom random_;
  TestCluster cluster_;
  std::uint64_t loss_ = 0;
  std::uint64_t duplicates_ = 0;
  bool reorder_ = false;
  bool crashes_ = false;
  bool partitions_ = false;
  bool slow_disks_ = false;
  bool compacts_ = false;
  bool transfers_ = false;
  bool without_lease_ = false;
  bool changes_ = false;
  bool priorities_ = false;
  bool limits_ = false;
  // Who has not heard yet that who else is another process now.
  std::set<std::pair<std::size_t, std::size_t>> restarted_ = {};
  std::size_t may_lose_ = 0;  // Nodes at a time.
  int changes_made_ = 0;
  int losses_ = 0;
  std::uint64_t proposals_ = 0;
};

TEST(RaftRandom, SafeUnderCalamitiesAndLiveAfterThem) {
  const char* one = std::getenv("RUTILE_SEED");
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = one != nullptr ? 1 : 400 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  int changes = 0;
  int losses = 0;
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    Calamity calamity(seed);
    const std::string wrong = calamity.Run(kSteps);
    if (!wrong.empty() && one != nullptr) std::cerr << calamity.Trace();
    ASSERT_EQ("", wrong) << "RUTILE_SEED=" << seed;
    changes += calamity.changes_made();
    losses += calamity.losses();
  }
  EXPECT_TRUE(one != nullptr || changes > 200) << changes << " changes of members";
  EXPECT_TRUE(one != nullptr || losses > 100) << losses << " losses of a disk";
}

// If this fails, no seed means anything.
TEST(RaftRandom, SameSeedSameRun) {
  const auto run = [](std::uint64_t seed) {
    Calamity calamity(seed);
    EXPECT_EQ("", calamity.Run(kSteps));
    return std::pair(calamity.Fingerprint(), calamity.Trace());
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

}  // namespace
}  // namespace rutile::raft
