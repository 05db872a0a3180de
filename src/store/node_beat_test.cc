// Which stores live, by their beats.

#include "store/node_beat.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/world.h"

namespace rutile::store {
namespace {

// One store in a simulated world; what it sends and finds is written down.
class NodeBeatTest : public ::testing::Test {
 protected:
  NodeBeatTest() {
    beat_ = std::make_unique<NodeBeat>(
        NodeBeat::Options{.interval = Milliseconds(100), .timeout = Milliseconds(900)},
        NodeBeat::Parts{
            .clock = clock_,
            .executors = {&first_, &second_},
            .send = [this](StoreId to, const Beat& beat) { sent_.emplace_back(to, beat); },
            .on_change =
                [this](StoreId store, bool live) {
                  changes_ += ToString(store) + (live ? " lives, " : " is dead, ");
                }},
        7);
  }

  void Run(Duration duration) { world_.RunFor(duration); }
  // `store` is heard every 100 ms for so long.
  void Hear(StoreId store, Beat beat, Duration duration) {
    for (Duration at{}; at < duration; at += Milliseconds(100)) {
      beat.number = ++number_;
      beat_->OnBeat(store, beat);
      Run(Milliseconds(100));
    }
  }
  std::string TakeChanges() { return std::exchange(changes_, {}); }

  sim::World world_{1};
  sim::SimClock clock_{world_};
  sim::SimExecutor first_{world_, clock_, "region-1"};
  sim::SimExecutor second_{world_, clock_, "region-2"};
  std::unique_ptr<NodeBeat> beat_;
  std::vector<std::pair<StoreId, Beat>> sent_;
  std::string changes_;
  std::uint64_t number_ = 0;
};

TEST_F(NodeBeatTest, OneBeatAnIntervalForEachThatIsGreeted) {
  beat_->Greet(StoreId(2));
  beat_->Greet(StoreId(3));
  beat_->Greet(StoreId(2));
  beat_->Start();
  Run(Seconds(1));
  EXPECT_GE(sent_.size(), 18u);
  EXPECT_LE(sent_.size(), 22u);
  EXPECT_EQ(7u, sent_.front().second.incarnation);
  EXPECT_LT(sent_.front().second.number, sent_.back().second.number);
  beat_->NoteTrouble();
  Run(Milliseconds(200));
  EXPECT_EQ(1u, sent_.back().second.trouble);
  beat_->Stop();
  sent_.clear();
  Run(Seconds(1));
  EXPECT_TRUE(sent_.empty());
}

TEST_F(NodeBeatTest, SilenceIsDeathAndAWordIsLife) {
  beat_->Start();
  EXPECT_FALSE(beat_->IsLive(StoreId(2)));
  Hear(StoreId(2), {.incarnation = 1}, Seconds(3));
  EXPECT_EQ("2 lives, ", TakeChanges());
  EXPECT_TRUE(beat_->IsLive(StoreId(2)));
  Run(Milliseconds(700));
  EXPECT_EQ("", TakeChanges());
  Run(Milliseconds(500));
  EXPECT_EQ("2 is dead, ", TakeChanges());
  EXPECT_FALSE(beat_->IsLive(StoreId(2)));
  Hear(StoreId(2), {.incarnation = 1}, Milliseconds(300));
  EXPECT_EQ("2 lives, ", TakeChanges());
}

TEST_F(NodeBeatTest, AnotherProcessAndTroubleAreToldAsADeath) {
  beat_->Start();
  Hear(StoreId(2), {.incarnation = 1}, Milliseconds(300));
  EXPECT_EQ("2 lives, ", TakeChanges());
  Hear(StoreId(2), {.incarnation = 2}, Milliseconds(300));
  EXPECT_EQ("2 is dead, 2 lives, ", TakeChanges());
  Hear(StoreId(2), {.incarnation = 2, .trouble = 1}, Milliseconds(300));
  EXPECT_EQ("2 is dead, 2 lives, ", TakeChanges());
  EXPECT_TRUE(beat_->IsLive(StoreId(2)));
}

TEST_F(NodeBeatTest, OldAndRepeatedBeatsCountForNothing) {
  beat_->Start();
  Hear(StoreId(2), {.incarnation = 1}, Milliseconds(300));
  Hear(StoreId(2), {.incarnation = 2}, Milliseconds(300));
  TakeChanges();
  for (int i = 0; i < 20; ++i) {
    // A network that says everything again, and a process that was killed.
    beat_->OnBeat(StoreId(2), {.incarnation = 2, .number = number_});
    beat_->OnBeat(StoreId(2), {.incarnation = 1, .number = 1000});
    beat_->OnBeat(StoreId(2), {.incarnation = 9, .number = 0});
    Run(Milliseconds(100));
  }
  EXPECT_EQ("2 is dead, ", TakeChanges());
}

// The beat of a process that was never heard, because the network was cut while it ran, comes after
// those of the next one.
TEST_F(NodeBeatTest, AProcessThatGoesOnHasItsPlaceAgain) {
  beat_->Start();
  Hear(StoreId(2), {.incarnation = 2}, Milliseconds(300));
  TakeChanges();
  beat_->OnBeat(StoreId(2), {.incarnation = 1, .number = 70});
  Hear(StoreId(2), {.incarnation = 2}, Seconds(3));
  EXPECT_EQ("2 is dead, 2 lives, 2 is dead, 2 lives, ", TakeChanges());
  EXPECT_TRUE(beat_->IsLive(StoreId(2)));
  // What the other one has sent counts for nothing now.
  beat_->OnBeat(StoreId(2), {.incarnation = 1, .number = 71});
  Hear(StoreId(2), {.incarnation = 2}, Seconds(2));
  EXPECT_EQ("", TakeChanges());
}

// Who was stopped itself has not listened: nobody is dead for that.
TEST_F(NodeBeatTest, AfterAPauseOfItsOwnNobodyIsTakenForDead) {
  beat_->Start();
  Hear(StoreId(2), {.incarnation = 1}, Milliseconds(500));
  TakeChanges();
  first_.Pause();
  second_.Pause();
  Run(Seconds(5));
  first_.Resume();
  second_.Resume();
  Run(Milliseconds(500));
  EXPECT_EQ("", TakeChanges());
  Run(Seconds(1));
  EXPECT_EQ("2 is dead, ", TakeChanges());
}

// A store one of whose executors is stuck cannot lead the regions that belong to it.
TEST_F(NodeBeatTest, AStuckExecutorSilencesTheStore) {
  beat_->Greet(StoreId(2));
  beat_->Start();
  Run(Seconds(1));
  second_.Pause();
  Run(Milliseconds(200));
  sent_.clear();
  Run(Seconds(2));
  EXPECT_TRUE(sent_.empty());
  second_.Resume();
  Run(Seconds(1));
  EXPECT_FALSE(sent_.empty());
}

}  // namespace
}  // namespace rutile::store
