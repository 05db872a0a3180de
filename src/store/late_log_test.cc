// A store whose disk is late, on its own or with all others.

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <variant>

#include "store/testing/simulated_stores.h"

namespace rutile::store {
namespace {

constexpr std::uint64_t kRegions = 6;

class LateLog : public testing::SimulatedStores {
 protected:
  // Clients write to all regions all the time, to whoever leads them.
  void BeginWithWriters() {
    Begin(kRegions);
    world_.RunFor(Seconds(3));
    ASSERT_EQ(kRegions, CountLed());
    writing_ = true;
    WriteToAll();
    world_.RunFor(Seconds(1));
  }
  void WriteToAll() {
    if (!writing_) return;
    for (std::uint64_t i = 0; i < kRegions; ++i) {
      const std::optional<std::size_t> leader = LeaderOf(i);
      if (!leader) continue;
      Put(*leader, i, "", "v", [this](const WriteOutcome& outcome) {
        if (std::holds_alternative<CommandResult>(outcome)) ++written_;
      });
    }
    world_.After(Milliseconds(10), [this] { WriteToAll(); });
  }
  std::size_t Led(std::size_t store) { return Leaders()[store]; }
  // As its leader knows it.
  std::int32_t PriorityOf(PeerId peer) {
    for (const ReplicaStatus& replica : Replicas(LeaderOf(0).value())) {
      for (const raft::PeerStatus& one : replica.peers) {
        if (one.id == peer) return one.priority;
      }
    }
    ADD_FAILURE() << "the leader does not know the peer";
    return 0;
  }
  // Who leads something.
  std::size_t SomeLeader() { return LeaderOf(0).value(); }
  void Stall(std::size_t store, Duration span) { processes_[store].machine->disk().StallFor(span); }

  bool writing_ = false;
  std::uint64_t written_ = 0;
};

TEST_F(LateLog, AStoreWhoseDiskStandsStillLeadsNothingWithinTwoSeconds) {
  BeginWithWriters();
  const std::size_t late = SomeLeader();
  Stall(late, Seconds(30));
  world_.RunFor(Seconds(2));
  EXPECT_EQ(0u, Led(late));
  EXPECT_EQ(kRegions, CountLed());
  const std::uint64_t before = written_;
  world_.RunFor(Seconds(1));
  EXPECT_GT(written_, before + 50 * kRegions) << "the others serve";
  world_.RunFor(Seconds(20));
  EXPECT_EQ(0u, Led(late)) << "it came back before its disk did";
}

// So that a disk that is late for moments at a time does not move leaders about.
TEST_F(LateLog, WhoeverWasLateMayLeadAgainWhenItsDiskHasBeenWellForAWhile) {
  BeginWithWriters();
  const std::size_t late = SomeLeader();
  const PeerId peer = regions_[0].peers[late].id;
  Stall(late, Seconds(3));
  world_.RunFor(Seconds(5));
  EXPECT_LT(PriorityOf(peer), 0);
  world_.RunFor(Seconds(12));
  EXPECT_EQ(0, PriorityOf(peer));
  EXPECT_EQ(0u, Led(late)) << "being able to lead is no reason to";
}

TEST_F(LateLog, WhereAllAreLateNothingMoves) {
  BeginWithWriters();
  const std::map<std::size_t, std::size_t> before = Leaders();
  for (std::size_t i = 0; i < kStores; ++i) {
    processes_[i].machine->disk().SetLatency(sim::SimFileSystem::Operation::kSync,
                                             {Milliseconds(700), Milliseconds(800)});
  }
  world_.RunFor(Seconds(20));
  EXPECT_EQ(before, Leaders());
  EXPECT_GT(written_, 0u);
}

TEST_F(LateLog, AStoreThatDoesNotMindLeadsAndServesReadsWhileItsDiskStandsStill) {
  options_.late_log = Duration(0);
  BeginWithWriters();
  const std::size_t late = SomeLeader();
  const std::size_t led = Led(late);
  Stall(late, Seconds(20));
  const std::uint64_t before = written_;
  for (int second = 0; second < 15; ++second) {
    world_.RunFor(Seconds(1));
    EXPECT_EQ(led, Led(late)) << "its heartbeats do not wait for its disk";
    int served = 0;
    processes_[late].store->Read(
        {.region = RegionOf(0)},
        [&](const ReadView* view, const RegionError*) { served += view != nullptr ? 1 : 0; });
    world_.RunFor(Milliseconds(1));
    EXPECT_EQ(1, served) << "a read under the lease needs no disk";
  }
  EXPECT_GT(written_, before + 1000 * kRegions) << "it commits by the disks of the others";
}

}  // namespace
}  // namespace rutile::store
