// Clusters under everything that can happen to them, drawn from a seed: first safety after every
// step, then, healed, progress. A failure prints its seed; RUTILE_SEED=n runs it alone and
// RUTILE_TEST_SCALE=n runs n times as many.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>

#include "raft/testing/test_cluster.h"

namespace rutile::raft {
namespace {

using testing::TestCluster;

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

constexpr int kSteps = 4000;

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
  std::uint64_t Fingerprint() { return random_.Next(); }
  std::string Trace() { return cluster_.TakeTrace(); }

 private:
  static TestCluster::Setup Swarm(std::uint64_t seed) {
    SeededRandom random(~seed);
    TestCluster::Setup setup{.voters = random.OneIn(2) ? 3u : 5u,
                             .learners = random.OneIn(3) ? 1u : 0u,
                             .options = testing::SmallOptions(),
                             .seed = seed};
    if (random.OneIn(10)) setup.voters = random.OneIn(2) ? 1 : 2;
    // Tiny limits reach rare code.
    setup.options.max_inflight_messages = 1 + random.Below(4);
    setup.options.max_inflight_bytes = 1 + random.Below(400);
    setup.options.max_append_bytes = 1 + random.Below(200);
    setup.options.max_hand_out_bytes = 1 + random.Below(200);
    setup.options.max_uncommitted_bytes = 200 + random.Below(1000);
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
      if (random_.OneIn(4)) cluster_.Restart(id);
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

  void Trouble(std::size_t id) {
    switch (random_.Below(8)) {
      case 0:
        if (crashes_) {
          cluster_.Crash(id, random_.Below(cluster_.writes_in_flight(id) + 1), random_.OneIn(2));
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
      default: return;
    }
  }

  std::string HealAndProgress() {
    cluster_.Heal();
    for (std::size_t id = 1; id <= cluster_.size(); ++id) {
      if (!cluster_.alive(id)) cluster_.Restart(id);
      // What the disk has done, the core will hear of.
      for (const Mark& mark : std::exchange(cluster_.marks(id), {})) {
        cluster_.TellDurable(id, mark);
      }
    }
    std::size_t leader = 0;
    for (int tick = 0; tick < 200; ++tick) {
      cluster_.TickAll();
      if (!cluster_.violation().empty()) return cluster_.violation() + " while healing";
      if (leader == 0) {
        for (std::size_t id = 1; id <= cluster_.size(); ++id) {
          if (cluster_.raft(id).is_leader() && cluster_.Propose(id, "last")) leader = id;
        }
      } else if (!cluster_.raft(leader).is_leader()) {
        leader = 0;
      } else if (AllApplied(leader)) {
        return "";
      }
    }
    std::string state = "no progress:";
    for (std::size_t id = 1; id <= cluster_.size(); ++id) {
      state += "\n" + cluster_.raft(id).DebugString();
    }
    return state;
  }

  bool AllApplied(std::size_t leader) {
    const LogId last = cluster_.raft(leader).tail().last();
    for (std::size_t id = 1; id <= cluster_.size(); ++id) {
      if (cluster_.machine(id).applied != last) return false;
      if (cluster_.machine(id).hash != cluster_.machine(leader).hash) return false;
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
  std::uint64_t proposals_ = 0;
};

TEST(RaftRandom, SafeUnderCalamitiesAndLiveAfterThem) {
  const char* one = std::getenv("RUTILE_SEED");
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = one != nullptr ? 1 : 400 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    Calamity calamity(seed);
    const std::string wrong = calamity.Run(kSteps);
    if (!wrong.empty() && one != nullptr) std::cerr << calamity.Trace();
    ASSERT_EQ("", wrong) << "RUTILE_SEED=" << seed;
  }
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
