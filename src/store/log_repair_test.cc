#include "store/log_repair.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "codec/keys.h"
#include "store/peer_message.h"
#include "store/testing/simulated_stores.h"
#include "wal/entry_block.h"
#include "wal/recovery.h"

namespace rutile::store {
namespace {

constexpr LogId At(std::uint64_t term, std::uint64_t index) { return {Term(term), Index(index)}; }
constexpr RegionId kRegion(7);

// Entries 3 to 12: up to 5 of term 1, up to 8 of term 2, then of term 4.
wal::RegionLog Log(LogId first_lost, LogId last_lost) {
  return {.peer = PeerId(70),
          .base = At(1, 2),
          .last = At(4, 12),
          .runs = {{Index(3), Term(1)}, {Index(6), Term(2)}, {Index(9), Term(4)}},
          .state = EncodeHardState({.term = Term(5), .vote = PeerId(71), .commit = Index(11)}),
          .lost = wal::LostEntries{.first = first_lost, .last = last_lost}};
}

raft::HardState StateOf(const wal::RegionLog& log) { return DecodeHardState(log.state).value(); }

std::string RunsOf(const wal::RegionLog& log) {
  std::string text;
  for (const wal::TermRun& run : log.runs) {
    text += ToString(run.start) + ":" + ToString(run.term) + " ";
  }
  return text;
}

TEST(LogRepair, CutsBeforeWhatWasNotApplied) {
  wal::RegionLog log = Log(At(2, 7), At(2, 8));
  const LogRepair repair = PlanLogRepair(kRegion, At(1, 4), &log);
  EXPECT_TRUE(repair.impaired);
  EXPECT_EQ(log.base, At(1, 2));
  EXPECT_EQ(log.last, At(2, 6));
  EXPECT_EQ(RunsOf(log), "3:1 6:2 ");
  EXPECT_FALSE(log.lost);
  const raft::HardState state = StateOf(log);
  EXPECT_EQ(state.term, Term(5));
  EXPECT_EQ(state.vote, PeerId(71));
  EXPECT_EQ(state.commit, Index(6));
  EXPECT_EQ(*state.impaired_until, At(4, 12)) << "all of it was acknowledged, not only the lost";
  EXPECT_TRUE(repair.write.cut);
  EXPECT_FALSE(repair.write.reset);
  EXPECT_EQ(repair.write.slice.prev, At(2, 6));
  EXPECT_EQ(*repair.write.state, log.state);
}

TEST(LogRepair, BeginsAnewInTheMiddleOfWhatWasLost) {
  wal::RegionLog log = Log(At(2, 7), At(4, 10));
  const LogRepair repair = PlanLogRepair(kRegion, At(4, 9), &log);
  EXPECT_TRUE(repair.impaired);
  EXPECT_EQ(log.base, At(4, 9));
  EXPECT_EQ(log.last, At(4, 9));
  EXPECT_EQ(RunsOf(log), "");
  EXPECT_EQ(*StateOf(log).impaired_until, At(4, 12));
  EXPECT_TRUE(repair.write.reset);
  EXPECT_EQ(repair.write.slice.prev, At(4, 9));
}

TEST(LogRepair, LetsGoOfWhatTheEngineHas) {
  wal::RegionLog log = Log(At(2, 6), At(2, 7));
  const LogRepair repair = PlanLogRepair(kRegion, At(2, 7), &log);
  EXPECT_FALSE(repair.impaired);
  EXPECT_EQ(log.base, At(2, 7));
  EXPECT_EQ(log.last, At(4, 12));
  EXPECT_EQ(RunsOf(log), "8:2 9:4 ");
  EXPECT_FALSE(StateOf(log).impaired_until);
  EXPECT_EQ(StateOf(log).commit, Index(11));
  EXPECT_EQ(*repair.write.compact, At(2, 7));
  EXPECT_FALSE(repair.write.cut || repair.write.reset);
}

TEST(LogRepair, OfAllThatThereWas) {
  wal::RegionLog log = Log(At(1, 3), At(4, 12));
  const LogRepair repair = PlanLogRepair(kRegion, At(4, 12), &log);
  EXPECT_FALSE(repair.impaired);
  EXPECT_EQ(log.base, log.last);
  EXPECT_EQ(RunsOf(log), "");
  wal::RegionLog other = Log(At(1, 3), At(4, 12));
  EXPECT_TRUE(PlanLogRepair(kRegion, At(1, 2), &other).impaired);
  EXPECT_EQ(other.last, At(1, 2));
}

// The engine may be ahead of the log, by entries of a term that the log has never seen: all that
// the log has more is replaced by then.
TEST(LogRepair, IsNothingToWhoHasAppliedMoreThanTheLogHas) {
  wal::RegionLog log = Log(At(4, 10), At(4, 12));
  const LogRepair repair = PlanLogRepair(kRegion, At(5, 10), &log);
  EXPECT_FALSE(repair.impaired);
  EXPECT_EQ(log.last, At(5, 10));
  EXPECT_TRUE(repair.write.reset);
}

TEST(LogRepair, OfAnImpairedReplicaForgetsNothing) {
  wal::RegionLog log = Log(At(4, 10), At(4, 12));
  log.state = EncodeHardState({.term = Term(6), .impaired_until = At(6, 30)});
  EXPECT_TRUE(PlanLogRepair(kRegion, At(1, 4), &log).impaired);
  EXPECT_EQ(*StateOf(log).impaired_until, At(6, 30));
}

TEST(LogRepair, WithoutAStoredStateTheTermIsThatOfTheLog) {
  wal::RegionLog log = Log(At(4, 10), At(4, 12));
  log.state.clear();
  PlanLogRepair(kRegion, At(1, 4), &log);
  EXPECT_EQ(StateOf(log).term, Term(4));
}

// --- Stores.

class RepairedStores : public testing::SimulatedStores {
 protected:
  void PutSome(std::uint64_t number, std::uint64_t count) {
    for (std::uint64_t n = 0; n < count; ++n) {
      const std::size_t leader = AwaitLeaderOf(number);
      bool done = false;
      const std::string suffix = std::to_string(++puts_);
      Put(leader, number, suffix, "value of " + suffix + std::string(50, '.'),
          [&](const WriteOutcome& outcome) {
            done = true;
            ASSERT_FALSE(std::holds_alternative<RegionError>(outcome));
          });
      ASSERT_TRUE(world_.RunUntil([&] { return done; }, Seconds(5)));
    }
  }

  // Of a stopped store: one bit of the payload of the batch that brought the entry that is the last
  // but `before` of the region. Returns its index.
  Index Damage(std::size_t i, std::uint64_t number, std::uint64_t before) {
    struct Block {
      std::string path;
      std::uint64_t offset = 0;
      Index last = {};
    };
    std::vector<Block> blocks;
    sim::SimFileSystem& disk = processes_[i].machine->disk();
    const wal::LogVisitor visitor{
        .on_finding = wal::StopAtDamage,
        .on_batch = [&](const wal::Segment& segment, const wal::ScannedBatch& batch) {
          std::uint64_t at = batch.payload_offset;
          for (const wal::Item& item : batch.items) {
            if (item.region == RegionOf(number) && !item.runs.empty()) {
              blocks.push_back({segment.path, at, item.LastEntry().index});
            }
            at += item.block_bytes;
          }
          return Status();
        }};
    EXPECT_TRUE(wal::ReadLog(disk, "wal", visitor).ok());
    const Block& block = blocks[blocks.size() - 1 - before];
    disk.FlipBit(block.path, (block.offset + 6) * 8);
    return block.last;
  }

  std::map<std::string, std::string> Contents(std::size_t i) {
    std::map<std::string, std::string> contents;
    const auto snapshot = processes_[i].engine->GetSnapshot();
    const auto iterator = snapshot->NewIterator(engine::Family::kDefault, {});
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      contents.emplace(iterator->key(), iterator->value());
    }
    return contents;
  }
  std::size_t Impaired(std::size_t i) { return store(i).log_totals().impaired; }
  bool AllAreWhole() {
    for (std::size_t i = 0; i < kStores; ++i) {
      if (Impaired(i) > 0) return false;
    }
    return true;
  }

  std::uint64_t puts_ = 0;
};

TEST_F(RepairedStores, AFollowerGetsBackWhatItsDiskHasLost) {
  Begin(2);
  for (int i = 0; i < 3; ++i) {
    PutSome(0, 3);
    PutSome(1, 3);
  }
  const std::size_t leader = AwaitLeaderOf(0);
  const std::size_t follower = (leader + 1) % kStores;
  Kill(follower);
  const Index lost = Damage(follower, 0, 3);
  Start(follower);
  EXPECT_EQ(Impaired(follower), 1u) << "of two regions, one";
  const std::vector<ReplicaStatus> replicas = Replicas(follower);
  ASSERT_EQ(replicas.size(), 2u);
  for (const ReplicaStatus& replica : replicas) {
    if (replica.region.id != RegionOf(0)) continue;
    ASSERT_TRUE(replica.impaired_until);
    EXPECT_GT(*replica.impaired_until, lost);
  }
  PutSome(0, 2);
  PutSome(1, 2);
  EXPECT_TRUE(world_.RunUntil([&] { return AllAreWhole(); }, Seconds(20)));
  world_.RunFor(Seconds(2));
  EXPECT_EQ(Contents(follower).size(), 22u);
  EXPECT_EQ(Contents(follower), Contents(AwaitLeaderOf(0)));
  // And keeps it: the damage is on its disk still, and costs nothing any more.
  Kill(follower);
  Start(follower);
  EXPECT_EQ(Impaired(follower), 0u);
  world_.RunFor(Seconds(2));
  EXPECT_EQ(Contents(follower), Contents(AwaitLeaderOf(0)));
}

TEST_F(RepairedStores, TheLeaderItselfMakesWayAndGetsBackWhatItHasLost) {
  Begin(1);
  PutSome(0, 6);
  const std::size_t leader = AwaitLeaderOf(0);
  Kill(leader);
  Damage(leader, 0, 2);
  Start(leader);
  ASSERT_EQ(Impaired(leader), 1u);
  EXPECT_TRUE(world_.RunUntil([&] { return AllAreWhole(); }, Seconds(20)));
  PutSome(0, 1);
  world_.RunFor(Seconds(2));
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(Contents(i).size(), 7u) << i;
}

// The one who has it all is down. Of the others one has never had the end of the log, and one has
// lost it: together they are a majority, and must not go on.
TEST_F(RepairedStores, WithWhoIsBehindItElectsNobody) {
  Begin(1);
  PutSome(0, 3);
  const std::size_t a = AwaitLeaderOf(0);
  const std::size_t b = (a + 1) % kStores;
  const std::size_t c = (a + 2) % kStores;
  Kill(c);
  PutSome(0, 4);
  Kill(a);
  Kill(b);
  Damage(b, 0, 1);
  Start(b);
  Start(c);
  EXPECT_EQ(Impaired(b), 1u);
  world_.RunFor(Seconds(60));
  EXPECT_FALSE(LeaderOf(0));
  EXPECT_EQ(Impaired(b), 1u);
  // Nor does it forget over another restart: what it knows is in the log, not in the damage.
  Kill(b);
  const auto log = wal::ReadLog(processes_[b].machine->disk(), "wal",
                                {.on_finding = [](const wal::Finding&) { return Status(); }});
  ASSERT_TRUE(log.ok());
  const wal::LogIndex& index = log.value().index;
  const wal::RegionLog kept = index.Describe(*index.Find(RegionOf(0)));
  EXPECT_FALSE(kept.lost);
  EXPECT_TRUE(StateOf(kept).impaired_until);
  Start(b);
  EXPECT_EQ(Impaired(b), 1u);
  world_.RunFor(Seconds(60));
  EXPECT_FALSE(LeaderOf(0));
  Start(a);
  AwaitLeaderOf(0);
  EXPECT_TRUE(world_.RunUntil([&] { return AllAreWhole(); }, Seconds(20)));
  PutSome(0, 1);
  world_.RunFor(Seconds(2));
  for (std::size_t i = 0; i < kStores; ++i) EXPECT_EQ(Contents(i).size(), 8u) << i;
}

TEST_F(RepairedStores, WithoutOtherVotersTheStoreDoesNotStart) {
  regions_.push_back({.id = RegionOf(0),
                      .start_key = KeyOf(0),
                      .end_key = KeyOf(1),
                      .epoch = {.conf_version = 1, .version = 1},
                      .peers = {{.id = PeerOf(0, 0), .store = StoreId(1)}}});
  processes_[0].machine =
      std::make_unique<sim::Machine>(world_, network_, StoreId(1), sim::Machine::Options{});
  Start(0);
  PutSome(0, 5);
  Kill(0);
  Damage(0, 0, 2);
  const std::string before =
      processes_[0].machine->disk().ReadAll("wal/0000000000000001.log").value();
  for (int i = 0; i < 2; ++i) {
    const Status status = TryStart(0);
    EXPECT_EQ(status.code(), Code::kCorruption);
    EXPECT_THAT(status.ToString(), ::testing::HasSubstr("wal/0000000000000001.log at offset "));
    EXPECT_THAT(status.ToString(), ::testing::HasSubstr("no other voter"));
    Kill(0);
    EXPECT_EQ(processes_[0].machine->disk().ReadAll("wal/0000000000000001.log").value(), before);
  }
}

}  // namespace
}  // namespace rutile::store
