// What is committed reaches the engine: in order, once, together with the position in the log.

#include "store/apply_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "codec/keys.h"
#include "engine/memory/memory_engine.h"
#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/sim_files.h"
#include "env/sim/world.h"
#include "store/membership.h"
#include "store/testing/watched_engine.h"

namespace rutile::store {
namespace {

using engine::Family;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr RegionId kRegion{7};
const Region kDescriptor{
    .id = kRegion, .epoch = {2, 1}, .peers = {{PeerId(1), StoreId(1)}, {PeerId(2), StoreId(2)}}};

LogId Id(std::uint64_t index, std::uint64_t term = 1) { return {Term(term), Index(index)}; }

// Keys sort by index.
std::string KeyOf(Index index) {
  const std::string digits = ToString(index);
  return "e" + std::string(6 - digits.size(), '0') + digits;
}

// Understands: "put <bytes>" keeps the bytes under the entry's key; "previous" answers with what
// the entry before has put; "own" puts, and answers what it can read of that; "refuse"; "break".
class ScriptedMachine final : public StateMachine {
 public:
  explicit ScriptedMachine(std::vector<LogId>& applied, int& loads)
      : applied_(applied), loads_(loads) {}

  Result<WriteOutcome> Apply(LogId id, std::string_view command, ApplyBatch& batch) override {
    applied_.push_back(id);
    CommandResult result{.payload = ToString(id)};
    if (command == "break") return Status(Code::kIoError, "cannot be read");
    if (command == "refuse") return WriteOutcome(RegionError(StaleCommand{}));
    if (command == "previous") {
      RUTILE_ASSIGN_OR_RETURN(result.previous,
                              batch.Get(Family::kDefault, KeyOf(Index(id.index.value() - 1))));
    }
    batch.changes().Put(Family::kDefault, KeyOf(id.index), std::string(command));
    if (command == "own") {
      RUTILE_ASSIGN_OR_RETURN(result.previous, batch.Get(Family::kDefault, KeyOf(id.index)));
    }
    return WriteOutcome(std::move(result));
  }
  std::vector<DataRange> Ranges() const override { return {{Family::kDefault, "e", "f"}}; }
  Status Load(engine::KvEngine& engine) override {
    ++loads_;
    return engine.Get(Family::kDefault, "e").status();
  }

 private:
  std::vector<LogId>& applied_;
  int& loads_;
};

class ApplyQueueTest : public ::testing::Test {
 protected:
  ApplyQueueTest() { Open(); }

  // A process begins; the engine is what was flushed.
  void Open(std::size_t max_batch_bytes = std::size_t{4} << 20) {
    queue_.reset();
    engine_ =
        std::make_unique<testing::WatchedEngine>(engine::OpenMemoryEngine(files_, "kv").value());
    applied_.clear();
    queue_ = std::make_unique<ApplyQueue>(
        ApplyQueue::Options{.region = kDescriptor, .max_batch_bytes = max_batch_bytes}, *engine_,
        files_, executor_, std::make_unique<ScriptedMachine>(applied_, loads_), AppliedInEngine(),
        ApplyQueue::Callbacks{
            .on_applied = [this](Index index) { events_.push_back("applied " + ToString(index)); },
            .on_region = [this](const Region& region) { events_.push_back(ToString(region)); },
            .on_failure =
                [this](const Status& status) {
                  events_.push_back("failed " + status.ToString());
                }});
    next_ = AppliedInEngine();
  }

  LogId AppliedInEngine() const {
    const auto bytes = engine_->Get(Family::kMeta, codec::AppliedKey(kRegion)).value();
    return bytes ? DecodeApplied(*bytes).value() : LogId{};
  }

  // Pushes what follows the last push. Every entry has a proposer, except empty ones.
  void Push(const std::vector<std::string>& commands) {
    LogSlice slice{.prev = next_};
    std::vector<Proposal> proposals;
    for (const std::string& command : commands) {
      next_ = Id(next_.index.value() + 1, std::max<std::uint64_t>(1, next_.term.value()));
      const bool empty = command.empty();
      slice.entries.push_back({.id = next_,
                               .type = empty ? EntryType::kEmpty : EntryType::kNormal,
                               .payload = Bytes(command)});
      if (!empty) proposals.push_back({.id = next_, .done = Answer(next_)});
    }
    queue_->PushEntries(std::move(slice), std::move(proposals));
  }
  WriteDone Answer(LogId id) {
    return [this, id](const WriteOutcome& outcome) {
      std::string text = "answered " + ToString(id.index);
      if (const auto* result = std::get_if<CommandResult>(&outcome)) {
        // Nobody is told of another's entry.
        EXPECT_EQ(result->payload, ToString(id));
        if (result->previous) text += " " + *result->previous;
      } else {
        text += " error";
      }
      events_.push_back(text);
    };
  }
  // A snapshot of entries 1..id has come, each with the value "snapshot".
  void WriteSnapshot(LogId id) {
    auto writer = SnapshotFileWriter::Create(files_, kRegion, id).value();
    Region region = kDescriptor;
    region.epoch.conf_version = 9;
    std::string descriptor;
    AppendSnapshotRecord(&descriptor, Family::kMeta, codec::RegionKey(kRegion),
                         EncodeRegion(region));
    ASSERT_TRUE(writer->Append(descriptor).ok());
    for (std::uint64_t i = 1; i <= id.index.value(); ++i) {
      std::string record;
      AppendSnapshotRecord(&record, Family::kDefault, KeyOf(Index(i)), "snapshot");
      ASSERT_TRUE(writer->Append(record).ok());
    }
    ASSERT_TRUE(writer->Finish().ok());
  }
  void PushInstall(LogId id) {
    queue_->PushInstall(id);
    queue_->MayInstall();
    next_ = id;
  }
  void Run() { world_.RunFor(Seconds(1)); }

  // All of the group's data, "index=value".
  std::vector<std::string> Data() const {
    std::vector<std::string> all;
    const auto snapshot = engine_->GetSnapshot();
    const auto iterator = snapshot->NewIterator(Family::kDefault, {});
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      all.push_back(std::to_string(std::stoi(std::string(iterator->key().substr(1)))) + "=" +
                    std::string(iterator->value()));
    }
    return all;
  }
  // The applied position that a batch brings; fails the test if it does not belong to the data.
  static Index PositionIn(const engine::WriteBatch& batch) {
    Index position;
    std::string last_key;
    for (const auto& change : batch.changes()) {
      if (change.family == Family::kMeta) {
        EXPECT_EQ(change.key, codec::AppliedKey(kRegion));
        position = DecodeApplied(change.value).value().index;
      } else if (change.kind == engine::WriteBatch::Kind::kPut) {
        last_key = change.key;
      }
    }
    EXPECT_EQ(last_key, KeyOf(position)) << "data and position are not of the same entry";
    return position;
  }

  sim::World world_{1};
  sim::SimClock clock_{world_};
  sim::SimFileSystem files_{world_};
  sim::SimExecutor executor_{world_, clock_, "apply"};
  std::unique_ptr<testing::WatchedEngine> engine_ =
      std::make_unique<testing::WatchedEngine>(engine::OpenMemoryEngine(files_, "kv").value());
  std::vector<LogId> applied_;  // By the machine, since Open().
  int loads_ = 0;
  std::vector<std::string> events_;
  std::unique_ptr<ApplyQueue> queue_;
  LogId next_;  // Last pushed.
};

TEST_F(ApplyQueueTest, WhatGathersIsOneBatchWithItsPosition) {
  Push({"a", "b"});
  Push({"c"});
  EXPECT_THAT(events_, IsEmpty());
  EXPECT_THAT(engine_->batches(), IsEmpty()) << "on the caller's thread";
  Run();
  EXPECT_THAT(applied_, ElementsAre(Id(1), Id(2), Id(3)));
  EXPECT_THAT(Data(), ElementsAre("1=a", "2=b", "3=c"));
  ASSERT_THAT(engine_->batches(), SizeIs(1));
  EXPECT_EQ(PositionIn(engine_->batches()[0]), Index(3));
  // The owner learns of the position once, and before anybody is answered.
  EXPECT_THAT(events_, ElementsAre("applied 3", "answered 1", "answered 2", "answered 3"));

  Push({"d"});
  Run();
  ASSERT_THAT(engine_->batches(), SizeIs(2));
  EXPECT_EQ(AppliedInEngine(), Id(4));
  EXPECT_EQ(applied_.back(), Id(4));
  EXPECT_THAT(applied_, SizeIs(4));
}

TEST_F(ApplyQueueTest, EntriesWithoutACommandMoveThePositionOnly) {
  Push({"", "a", ""});
  Run();
  EXPECT_THAT(applied_, ElementsAre(Id(2)));
  EXPECT_EQ(AppliedInEngine(), Id(3));
  EXPECT_THAT(events_, ElementsAre("applied 3", "answered 2"));
}

TEST_F(ApplyQueueTest, AnswersGoToTheProposersOfTheirEntriesOnly) {
  LogSlice slice{.entries = {{Id(1), EntryType::kNormal, Bytes("a")},
                             {Id(2), EntryType::kNormal, Bytes("b")},
                             {Id(3, 2), EntryType::kNormal, Bytes("c")}}};
  std::vector<Proposal> proposals;
  proposals.push_back({.id = Id(2), .done = Answer(Id(2))});
  proposals.push_back({.id = Id(3, 2), .done = Answer(Id(3, 2))});
  queue_->PushEntries(std::move(slice), std::move(proposals));
  Run();
  EXPECT_THAT(events_, ElementsAre("applied 3", "answered 2", "answered 3"));
  EXPECT_EQ(AppliedInEngine(), Id(3, 2));
}

TEST_F(ApplyQueueTest, LargeBatchesAreCutBetweenEntriesEachWithItsOwnPosition) {
  Open(100);
  const std::string long_command(60, 'x');
  Push({long_command, long_command, long_command, "a", "b"});
  Run();
  ASSERT_THAT(engine_->batches(), SizeIs(2));
  EXPECT_EQ(PositionIn(engine_->batches()[0]), Index(2));
  EXPECT_EQ(PositionIn(engine_->batches()[1]), Index(5));
  EXPECT_THAT(events_, ElementsAre("applied 5", "answered 1", "answered 2", "answered 3",
                                   "answered 4", "answered 5"));
}

TEST_F(ApplyQueueTest, ReadsSeeAllEntriesBeforeAndNothingOfTheirOwn) {
  Push({"a", "previous", "own", "previous"});
  Run();
  EXPECT_THAT(events_, ElementsAre("applied 4", "answered 1", "answered 2 a", "answered 3",
                                   "answered 4 own"));
  Index last;
  for (const engine::WriteBatch& batch : engine_->batches()) {
    // "own" has changes of an entry that is not complete when it reads: they must not be written
    // under the position of the entry before, nor be lost.
    const Index position = PositionIn(batch);
    EXPECT_GT(position, last);
    last = position;
  }
  EXPECT_THAT(Data(), ElementsAre("1=a", "2=previous", "3=own", "4=previous"));
}

TEST_F(ApplyQueueTest, ACommandThatIsRefusedCountsAsApplied) {
  Push({"a", "refuse", "b"});
  Run();
  EXPECT_THAT(events_, ElementsAre("applied 3", "answered 1", "answered 2 error", "answered 3"));
  EXPECT_THAT(Data(), ElementsAre("1=a", "3=b"));
}

TEST_F(ApplyQueueTest, AMachineThatFailsStopsTheQueueForGood) {
  Push({"a"});
  Run();
  events_.clear();
  Push({"b", "break", "c"});
  Push({"d"});
  Run();
  ASSERT_THAT(events_, SizeIs(1));
  EXPECT_THAT(events_[0], HasSubstr("failed IoError: region 7: apply after 1@1: cannot be read"));
  EXPECT_THAT(Data(), ElementsAre("1=a"));
  Push({"e"});
  PushInstall(Id(100));
  Run();
  EXPECT_THAT(events_, SizeIs(1)) << "told once, and nobody is answered afterwards";
  EXPECT_EQ(AppliedInEngine(), Id(1));
  EXPECT_THAT(applied_, SizeIs(3)) << "not even begun";
}

TEST_F(ApplyQueueTest, NobodyIsAnsweredForWhatTheEngineDidNotTake) {
  Open(10);  // A batch for each entry.
  engine_->FailAfter(2);
  Push({"long enough", "long enough", "long enough"});
  Run();
  ASSERT_THAT(events_, SizeIs(1));
  EXPECT_THAT(events_[0], HasSubstr("apply after 2@1: the engine is broken"));
  EXPECT_EQ(AppliedInEngine(), Id(2));
}

TEST_F(ApplyQueueTest, AConfigurationChangesTheDescriptorInOneWriteWithThePosition) {
  const auto stored = [this] {
    const auto bytes = engine_->Get(Family::kMeta, codec::RegionKey(kRegion)).value();
    return bytes ? ToString(DecodeRegion(*bytes).value()) : "";
  };
  const raft::Configuration bigger{.voters = {PeerId(1), PeerId(2)}, .learners = {PeerId(3)}};
  const std::string where = EncodeNewPeers({{PeerId(3), StoreId(5)}});
  queue_->PushEntries({.prev = next_,
                       .entries = {{.id = Id(1),
                                    .type = EntryType::kConfig,
                                    .payload = raft::EncodeConfiguration(bigger, where)}}},
                      {});
  next_ = Id(1);
  Push({"a"});
  Run();
  const std::string expected = "region 7 epoch 3.1 peers 1/1 2/2 3/5L";
  EXPECT_THAT(events_, ElementsAre(expected, "applied 2", "answered 2"));
  EXPECT_EQ(expected, stored());
  EXPECT_EQ(Id(2), AppliedInEngine());
  EXPECT_THAT(applied_, ElementsAre(Id(2))) << "the machine does not see it";
}

TEST_F(ApplyQueueTest, AConfigurationThatCannotBeStopsTheQueue) {
  queue_->PushEntries(
      {.prev = next_,
       .entries = {{.id = Id(1), .type = EntryType::kConfig, .payload = Bytes("x")}}},
      {});
  Run();
  ASSERT_THAT(events_, SizeIs(1));
  EXPECT_THAT(events_[0], HasSubstr("failed Corruption"));
  EXPECT_EQ(LogId{}, AppliedInEngine());
}

TEST_F(ApplyQueueTest, AnInstallReplacesTheDataInItsTurn) {
  ASSERT_TRUE([&] {
    engine::WriteBatch other;
    other.Put(Family::kDefault, "d", "of another group");
    other.Put(Family::kDefault, "f", "of another group");
    return engine_->Write(other).ok();
  }());
  WriteSnapshot(Id(3, 2));
  Push({"a", "b"});
  PushInstall(Id(3, 2));
  Push({"d"});
  Run();
  EXPECT_EQ(engine_->Get(Family::kDefault, "d").value(), "of another group");
  EXPECT_EQ(engine_->Get(Family::kDefault, "f").value(), "of another group");
  ASSERT_TRUE([&] {
    engine::WriteBatch clear;
    clear.Delete(Family::kDefault, "d");
    clear.Delete(Family::kDefault, "f");
    return engine_->Write(clear).ok();
  }());
  EXPECT_THAT(Data(), ElementsAre("1=snapshot", "2=snapshot", "3=snapshot", "4=d"));
  EXPECT_EQ(AppliedInEngine(), Id(4, 2));
  EXPECT_THAT(events_, ElementsAre("region 7 epoch 9.1 peers 1/1 2/2", "applied 4", "answered 1",
                                   "answered 2", "answered 4"));
  EXPECT_EQ(loads_, 1) << "the machine's memory is of the old data";
  EXPECT_FALSE(SnapshotFile(files_, kRegion, Id(3, 2)).Exists());
}

TEST_F(ApplyQueueTest, AnInstallIsReportedEvenWithNothingBehindIt) {
  WriteSnapshot(Id(3));
  PushInstall(Id(3));
  Run();
  EXPECT_THAT(events_, ElementsAre("region 7 epoch 9.1 peers 1/1 2/2", "applied 3"));
}

TEST_F(ApplyQueueTest, ADamagedOrMissingSnapshotStopsTheQueueAndIsKept) {
  WriteSnapshot(Id(3));
  const std::string path = SnapshotFile(files_, kRegion, Id(3)).path();
  files_.FlipBit(path, files_.SizeOf(path) * 8 - 1);
  PushInstall(Id(3));
  Run();
  ASSERT_THAT(events_, SizeIs(1));
  EXPECT_THAT(events_[0], HasSubstr("failed Corruption"));
  EXPECT_THAT(events_[0], HasSubstr(path));
  EXPECT_EQ(AppliedInEngine(), LogId{});
  EXPECT_TRUE(files_.Exists(path));

  ASSERT_TRUE(files_.Remove(path).ok());
  events_.clear();
  Open();
  PushInstall(Id(3));
  Run();
  ASSERT_THAT(events_, SizeIs(1));
  EXPECT_THAT(events_[0], HasSubstr("failed NotFound"));
}

// At every change of the disk during an install: afterwards either the engine has all of it, or it
// is behind and the file is there to do it again.
TEST_F(ApplyQueueTest, AnInstallIsWholeOrCanBeRepeatedAfterAPowerCutAnywhere) {
  std::uint64_t cut_at = 1;
  bool was_cut = true;
  std::set<bool> installed_at_once;
  for (; was_cut; ++cut_at) {
    files_.Wipe();
    Open(100);
    Push({"old", "old", "old", "old", "old", "old", "old"});
    Run();
    ASSERT_TRUE(engine_->Flush().ok());
    WriteSnapshot(Id(5, 2));
    files_.FailPowerAfter(cut_at);
    // The log was reset, so the position goes back in this test: what counts is that it changes.
    PushInstall(Id(5, 2));
    Run();
    was_cut = !files_.has_power();
    files_.CutPower();
    events_.clear();
    Open(100);
    installed_at_once.insert(AppliedInEngine() == Id(5, 2));
    if (AppliedInEngine() != Id(5, 2)) {
      ASSERT_EQ(AppliedInEngine(), Id(7)) << cut_at;
      ASSERT_TRUE(SnapshotFile(files_, kRegion, Id(5, 2)).Exists()) << cut_at;
      PushInstall(Id(5, 2));
      Run();
      ASSERT_THAT(events_, ElementsAre("region 7 epoch 9.1 peers 1/1 2/2", "applied 5")) << cut_at;
    }
    ASSERT_THAT(Data(),
                ElementsAre("1=snapshot", "2=snapshot", "3=snapshot", "4=snapshot", "5=snapshot"))
        << cut_at;
    ASSERT_EQ(AppliedInEngine(), Id(5, 2)) << cut_at;
  }
  EXPECT_GT(cut_at, 4u) << "nothing was tried";
  EXPECT_THAT(installed_at_once, SizeIs(2)) << "cuts before and after the decisive moment";
}

TEST_F(ApplyQueueTest, EachEntryIsAppliedOnceInOrderHoweverPushesAndTurnsInterleave) {
  SeededRandom random(11);
  std::vector<LogId> expected;
  std::size_t answers = 0;
  Open(200);
  for (int step = 0; step < 2000; ++step) {
    if (random.Below(3) == 0) {
      world_.Step();
      continue;
    }
    std::vector<std::string> commands(1 + random.Below(4));
    for (std::string& command : commands) {
      command = random.Below(5) == 0 ? "previous" : std::string(1 + random.Below(80), 'x');
      ++answers;
    }
    Push(commands);
  }
  Run();
  for (std::size_t i = 1; i <= answers; ++i) expected.push_back(Id(i));
  EXPECT_EQ(applied_, expected);
  std::size_t answered = 0;
  for (const std::string& event : events_) {
    if (!event.starts_with("answered ")) continue;
    ++answered;
    EXPECT_EQ(event.substr(9, event.find(' ', 9) - 9), std::to_string(answered));
  }
  EXPECT_EQ(answered, answers);
  EXPECT_GT(engine_->batches().size(), 100u);
  EXPECT_LT(engine_->batches().size(), answers);
  for (const engine::WriteBatch& batch : engine_->batches()) PositionIn(batch);
}

using ApplyQueueDeathTest = ApplyQueueTest;

TEST_F(ApplyQueueDeathTest, ARepetitionOrAGapIsNotApplied) {
  Push({"a", "b"});
  Run();
  const auto push = [this](LogId prev, LogId id) {
    queue_->PushEntries({.prev = prev, .entries = {{id, EntryType::kNormal, Bytes("again")}}}, {});
    Run();
  };
  EXPECT_DEATH(push(Id(1), Id(2)), "does not continue");
  EXPECT_DEATH(push(Id(3), Id(4)), "does not continue");
  EXPECT_DEATH(push(Id(2, 2), Id(3, 2)), "does not continue");
}

}  // namespace
}  // namespace rutile::store
