// Snapshots on their way: whole, or not at all, whatever the link, the disks and the processes do.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "codec/keys.h"
#include "engine/memory/memory_engine.h"
#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/sim_files.h"
#include "env/sim/sim_network.h"
#include "env/sim/world.h"
#include "store/apply_queue.h"
#include "store/snapshot_receiver.h"
#include "store/snapshot_sender.h"

namespace rutile::store {
namespace {

using engine::Family;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr RegionId kRegion{7};
constexpr PeerId kFrom{11}, kTo{12}, kOther{13};
constexpr StoreId kSender{1}, kReceiver{2};
constexpr LogId kPosition{Term(3), Index(40)};

using Pairs = std::map<std::pair<Family, std::string>, std::string>;

// A sender and a receiver, each on a machine of its own.
class SnapshotTest : public ::testing::Test {
 protected:
  SnapshotTest() {
    options_.snapshot_part_bytes = 1000;
    options_.snapshot_window = 4;
    BootSender();
    BootReceiver();
  }

  void BootSender(std::uint64_t first_number = 1) {
    sender_executor_ = std::make_unique<sim::SimExecutor>(world_, clock_, "sender");
    sender_ = std::make_unique<SnapshotSender>(
        options_, *engine_, clock_, *sender_executor_, first_number,
        [this](StoreId to, std::string message) {
          ++parts_sent_;
          from_sender_->Send(to, std::move(message));
        },
        [this](RegionId, PeerId to, LogId id, bool sent) {
          ends_.push_back((sent ? "sent " : "gave up ") + ToString(id) + " to " + ToString(to));
        });
  }
  void BootReceiver() {
    receiver_.reset();
    receiver_ = std::make_unique<SnapshotReceiver>(
        options_, files_, clock_,
        [this](StoreId to, std::string message) {
          EXPECT_EQ(to, kSender);
          from_receiver_->Send(to, std::move(message));
        },
        [this](const SnapshotPart& last) { complete_.push_back(last); });
    ASSERT_TRUE(receiver_->RemoveLeftovers({}).ok());
  }
  // As the receiver's store does: whatever comes goes to the background executor.
  void Connect() {
    from_receiver_->Start([this](StoreId from, std::string_view bytes) {
      auto message = DecodePeerMessage(bytes).value();
      receiver_executor_.Post([this, from, part = std::get<SnapshotPart>(std::move(message))] {
        receiver_->OnPart(from, part);
      });
    });
    from_sender_->Start([this](StoreId, std::string_view bytes) {
      auto message = DecodePeerMessage(bytes).value();
      sender_executor_->Post([this, reply = std::get<SnapshotPartReply>(message)] {
        last_reply_ = reply;
        sender_->OnReply(reply);
      });
    });
  }

  void Fill(int pairs) {
    engine::WriteBatch batch;
    for (int i = 0; i < pairs; ++i) {
      for (const Family family : {Family::kDefault, Family::kWrite}) {
        const std::string key = codec::DataKey("k" + std::to_string(i));
        const std::string value(static_cast<std::size_t>(i % 90), static_cast<char>('a' + i % 26));
        batch.Put(family, key, value);
        data_[{family, key}] = value;
      }
    }
    // Of others: not to be sent.
    batch.Put(Family::kDefault, codec::DataKey("a"), "left of the region");
    batch.Put(Family::kDefault, codec::DataKey("z"), "right of the region");
    batch.Put(Family::kLock, codec::DataKey("k1"), "not among the ranges");
    batch.Put(Family::kMeta, codec::AppliedKey(kRegion), EncodeApplied(kPosition));
    const std::string descriptor = EncodeRegion(
        {.id = kRegion,
         .peers = {{kFrom, kSender}, {kTo, kReceiver}, {kOther, kSender, PeerRole::kLearner}}});
    batch.Put(Family::kMeta, codec::RegionKey(kRegion), descriptor);
    data_[{Family::kMeta, codec::RegionKey(kRegion)}] = descriptor;
    ASSERT_TRUE(engine_->Write(batch).ok());
  }
  void Start(PeerId to = kTo, Term term = Term(9)) {
    SnapshotSender::Request request{
        .region = kRegion, .from = kFrom, .to = {.id = to, .store = kReceiver}, .term = term};
    for (const Family family : {Family::kDefault, Family::kWrite}) {
      request.ranges.push_back({family, codec::DataKey("b"), codec::DataEndKey("y")});
    }
    sender_executor_->Post([this, request] { sender_->Start(request); });
  }
  void Run(Duration span = Seconds(30)) { world_.RunFor(span); }
  bool RunUntilEnd(std::size_t ends = 1) {
    return world_.RunUntil([&] { return ends_.size() >= ends; }, Seconds(600));
  }

  // What the file holds, each pair once.
  Pairs Received(LogId id = kPosition) {
    Pairs pairs;
    auto reader = SnapshotFile(files_, kRegion, id).OpenForReading().value();
    SnapshotRecord record;
    while (reader.Next(&record).value()) {
      const bool is_new = pairs.emplace(std::pair(record.family, record.key), record.value).second;
      EXPECT_TRUE(is_new) << record.key;
    }
    return pairs;
  }
  std::vector<std::string> Files() { return files_.List(SnapshotFile::Directory()).value(); }
  // To the receiver, without a link.
  SnapshotPart Part(std::uint64_t transfer, std::uint64_t number, bool last, PeerId from = kFrom) {
    SnapshotPart part{.region = kRegion,
                      .from = from,
                      .to = kTo,
                      .transfer = transfer,
                      .number = number,
                      .last = last,
                      .meta = {.id = kPosition},
                      .term = Term(9)};
    const std::string key = "t" + std::to_string(transfer) + "n" + std::to_string(number);
    AppendSnapshotRecord(&part.data, Family::kDefault, key, "first of the part");
    AppendSnapshotRecord(&part.data, Family::kDefault, key + "z", "");
    return part;
  }
  SnapshotPartReply Give(const SnapshotPart& part) {
    receiver_->OnPart(kSender, part);
    Run(Milliseconds(10));
    return last_reply_;
  }

  sim::World world_{5};
  sim::SimNetwork network_{world_};
  sim::SimClock clock_{world_};
  sim::SimFileSystem sender_files_{world_};
  sim::SimFileSystem files_{world_};                   // The receiver's.
  std::unique_ptr<sim::SimExecutor> sender_executor_;  // Of the sender's process.
  sim::SimExecutor receiver_executor_{world_, clock_, "receiver"};
  std::unique_ptr<Transport> from_sender_ = network_.NewTransport(kSender);
  std::unique_ptr<Transport> from_receiver_ = network_.NewTransport(kReceiver);
  std::unique_ptr<engine::KvEngine> engine_ = engine::OpenMemoryEngine(sender_files_, "kv").value();
  ReplicaOptions options_;
  std::unique_ptr<SnapshotSender> sender_;
  std::unique_ptr<SnapshotReceiver> receiver_;
  Pairs data_;  // That a snapshot has to bring.
  std::vector<std::string> ends_;
  std::vector<SnapshotPart> complete_;
  SnapshotPartReply last_reply_;
  std::uint64_t parts_sent_ = 0;
};

TEST_F(SnapshotTest, BringsAllOfTheRangesInParts) {
  Connect();
  Fill(300);
  Start();
  Run();
  EXPECT_THAT(ends_, ElementsAre("sent 40@3 to 12"));
  ASSERT_THAT(complete_, SizeIs(1));
  EXPECT_EQ(complete_[0].meta.id, kPosition);
  // Of the descriptor that was written with the position.
  EXPECT_EQ(ToString(complete_[0].meta.configuration), "voters (11,12) learners (13)");
  const SnapshotFile file(files_, kRegion, kPosition);
  EXPECT_THAT(ReadDescriptor(file, kRegion).value().peers, SizeIs(3));
  EXPECT_EQ(ReadDescriptor(file, RegionId(8)).status().code(), Code::kCorruption);
  EXPECT_EQ(complete_[0].term, Term(9));
  EXPECT_EQ(Received(), data_);
  EXPECT_THAT(Files(), ElementsAre("7-40-3"));
  EXPECT_GT(parts_sent_, 20u) << "one part is no test";
  EXPECT_EQ(parts_sent_, complete_[0].number + 1) << "parts were repeated on a link without loss";
}

// The core would not look at a snapshot of an entry that is later than its message.
TEST_F(SnapshotTest, IsOfTheTermOfWhatItHolds) {
  Connect();
  Fill(3);
  Start(kTo, Term(2));
  Run();
  ASSERT_THAT(complete_, SizeIs(1));
  EXPECT_EQ(complete_[0].meta.id, kPosition);
  EXPECT_EQ(complete_[0].term, kPosition.term);
}

TEST_F(SnapshotTest, AGroupWithoutDataHasASnapshotToo) {
  Connect();
  Fill(0);
  Start();
  Run();
  EXPECT_THAT(ends_, ElementsAre("sent 40@3 to 12"));
  EXPECT_THAT(complete_, SizeIs(1));
  EXPECT_EQ(Received(), data_) << "the descriptor";
}

TEST_F(SnapshotTest, IsOfOneMomentWhateverIsWrittenMeanwhile) {
  Connect();
  Fill(300);
  Start();
  ASSERT_TRUE(world_.RunUntil([this] { return parts_sent_ > 4; }, Seconds(10)));
  engine::WriteBatch batch;
  batch.DeleteRange(Family::kDefault, codec::DataKey("b"), codec::DataKey("y"));
  batch.Put(Family::kWrite, codec::DataKey("x"), "new");
  batch.Put(Family::kMeta, codec::AppliedKey(kRegion), EncodeApplied({Term(3), Index(41)}));
  ASSERT_TRUE(engine_->Write(batch).ok());
  Run();
  EXPECT_THAT(ends_, ElementsAre("sent 40@3 to 12"));
  EXPECT_EQ(Received(), data_);
}

TEST_F(SnapshotTest, NoMoreThanTheWindowIsOnItsWay) {
  Fill(300);
  Start();  // To nobody.
  Run(Milliseconds(400));
  EXPECT_EQ(parts_sent_, options_.snapshot_window);
  Run(Milliseconds(200));
  EXPECT_EQ(parts_sent_, 2 * options_.snapshot_window) << "the same ones again";
}

TEST_F(SnapshotTest, ComesWholeOverALinkThatLosesReordersAndDuplicates) {
  Connect();
  Fill(300);
  for (int round = 0; round < 20; ++round) {
    SCOPED_TRACE(round);
    network_.SetAllLinks({.max_delay = Milliseconds(5),
                          .loss_per_million = 200'000,
                          .duplicate_per_million = 200'000,
                          .tail_per_million = 50'000,
                          .max_tail = Seconds(2),
                          .in_order = false});
    ends_.clear();
    complete_.clear();
    Start();
    ASSERT_TRUE(RunUntilEnd());
    ASSERT_THAT(ends_, ElementsAre("sent 40@3 to 12"));
    // Late duplicates change nothing.
    Run(Seconds(5));
    ASSERT_THAT(complete_, SizeIs(1));
    ASSERT_EQ(Received(), data_);
    ASSERT_TRUE(SnapshotFile(files_, kRegion, kPosition).Remove().ok());
    ASSERT_THAT(Files(), IsEmpty());
  }
}

TEST_F(SnapshotTest, AReceiverThatComesBackHalfwayGetsAFreshTransfer) {
  Connect();
  Fill(300);
  Start();
  ASSERT_TRUE(world_.RunUntil([this] { return parts_sent_ > 10; }, Seconds(10)));
  EXPECT_THAT(Files(), ElementsAre("7-40-3.part"));
  receiver_.reset();
  files_.CutPower();
  BootReceiver();
  EXPECT_THAT(Files(), IsEmpty());
  ASSERT_TRUE(RunUntilEnd());
  EXPECT_THAT(ends_, ElementsAre("gave up 40@3 to 12"));
  EXPECT_THAT(complete_, IsEmpty());
  EXPECT_THAT(Files(), IsEmpty());

  Start();
  ASSERT_TRUE(RunUntilEnd(2));
  EXPECT_EQ(ends_.back(), "sent 40@3 to 12");
  EXPECT_THAT(complete_, SizeIs(1));
  EXPECT_EQ(Received(), data_);
}

TEST_F(SnapshotTest, ASenderThatComesBackHalfwayBeginsAnew) {
  Connect();
  Fill(300);
  Start();
  ASSERT_TRUE(world_.RunUntil([this] { return parts_sent_ > 10; }, Seconds(10)));
  BootSender(1000);
  Start();
  ASSERT_TRUE(RunUntilEnd());
  EXPECT_THAT(ends_, ElementsAre("sent 40@3 to 12"));
  ASSERT_THAT(complete_, SizeIs(1));
  EXPECT_EQ(complete_[0].transfer, 1000u);
  EXPECT_EQ(Received(), data_) << "nothing of the transfer that was begun before is in it";
  EXPECT_THAT(Files(), ElementsAre("7-40-3"));
}

TEST_F(SnapshotTest, ASenderGivesUpAReceiverThatIsSilent) {
  Fill(300);
  Start();
  Run(options_.snapshot_timeout);
  EXPECT_THAT(ends_, IsEmpty());
  Run(Seconds(1));
  EXPECT_THAT(ends_, ElementsAre("gave up 40@3 to 12"));
  const std::uint64_t sent = parts_sent_;
  Run();
  EXPECT_EQ(parts_sent_, sent) << "it goes on sending";
  EXPECT_EQ(sender_executor_->queued(), 0u);
}

TEST_F(SnapshotTest, ALinkThatIsSlowButProgressesIsNotGivenUp) {
  Connect();
  Fill(300);
  network_.SetAllLinks({.min_delay = Seconds(2), .max_delay = Seconds(3)});
  Start();
  ASSERT_TRUE(RunUntilEnd());
  EXPECT_GT(world_.Now(), 2 * options_.snapshot_timeout);
  EXPECT_THAT(ends_, ElementsAre("sent 40@3 to 12"));
  EXPECT_EQ(Received(), data_);
}

TEST_F(SnapshotTest, ATransferThatIsUnderWayIsNotBegunAgain) {
  Connect();
  Fill(300);
  Start();
  Start();
  Run();
  EXPECT_THAT(ends_, SizeIs(1));
  EXPECT_THAT(complete_, SizeIs(1));
}

TEST_F(SnapshotTest, AGroupThatHasAppliedNothingHasNoSnapshot) {
  Connect();
  Start();
  Run();
  EXPECT_THAT(ends_, ElementsAre("gave up 0@0 to 12"));
  EXPECT_EQ(parts_sent_, 0u);
}

TEST_F(SnapshotTest, PartsCountOnceAndInOrder) {
  Connect();
  EXPECT_EQ(Give(Part(5, 0, false)).next, 1u);
  EXPECT_EQ(Give(Part(5, 0, false)).next, 1u);
  EXPECT_EQ(Give(Part(5, 2, true)).next, 1u) << "out of order";
  EXPECT_THAT(complete_, IsEmpty());
  EXPECT_EQ(Give(Part(5, 1, false)).next, 2u);
  EXPECT_EQ(Give(Part(5, 2, true)).next, 3u);
  EXPECT_THAT(complete_, SizeIs(1));
  // Its reply may have been lost.
  const SnapshotPartReply again = Give(Part(5, 2, true));
  EXPECT_EQ(again.next, 3u);
  EXPECT_FALSE(again.refused);
  EXPECT_THAT(complete_, SizeIs(1));
  EXPECT_THAT(Received(), SizeIs(6));
}

TEST_F(SnapshotTest, APartWithoutItsBeginningIsRefusedOnlyIfTheBeginningWasHere) {
  Connect();
  SnapshotPart part = Part(5, 1, false);
  EXPECT_FALSE(Give(part).refused) << "it may still come";
  EXPECT_EQ(last_reply_.next, 0u);
  part.acknowledged = 1;
  EXPECT_TRUE(Give(part).refused);
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(SnapshotTest, ASecondSenderWaitsAndTheFirstOnesNextAttemptDoesNot) {
  Connect();
  EXPECT_FALSE(Give(Part(5, 0, false)).refused);
  EXPECT_TRUE(Give(Part(6, 0, false, kOther)).refused);
  EXPECT_EQ(Give(Part(8, 1, false)).next, 0u) << "an attempt whose beginning is still to come";
  EXPECT_EQ(Give(Part(5, 1, false)).next, 2u) << "the first goes on";
  EXPECT_EQ(Give(Part(9, 0, false)).next, 1u) << "a new attempt of the first";
  EXPECT_TRUE(Give(Part(5, 2, true)).refused) << "which ends the old one";
  EXPECT_EQ(Give(Part(9, 1, true)).next, 2u);
  ASSERT_THAT(complete_, SizeIs(1));
  EXPECT_EQ(complete_[0].transfer, 9u);
  EXPECT_THAT(Received(), SizeIs(4));
  EXPECT_FALSE(Give(Part(6, 0, false, kOther)).refused) << "now it is the second one's turn";
}

TEST_F(SnapshotTest, ASilentSenderMakesRoomForAnother) {
  Connect();
  EXPECT_FALSE(Give(Part(5, 0, false)).refused);
  Run(options_.snapshot_timeout + Seconds(1));
  EXPECT_FALSE(Give(Part(6, 0, true, kOther)).refused);
  ASSERT_THAT(complete_, SizeIs(1));
  EXPECT_THAT(Received(), SizeIs(2));
  EXPECT_THAT(Files(), ElementsAre("7-40-3"));
}

TEST_F(SnapshotTest, WhatADiskDoesNotTakeIsRefusedAndLeavesNothing) {
  Connect();
  for (const auto operation :
       {sim::SimFileSystem::Operation::kWrite, sim::SimFileSystem::Operation::kSync}) {
    EXPECT_FALSE(Give(Part(5, 0, false)).refused);
    files_.FailNext(operation);
    EXPECT_TRUE(Give(Part(5, 1, true)).refused);
    EXPECT_THAT(complete_, IsEmpty());
    EXPECT_THAT(Files(), IsEmpty());
  }
  files_.FailNext(sim::SimFileSystem::Operation::kWrite);
  EXPECT_TRUE(Give(Part(5, 0, true)).refused) << "the file cannot be created";
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(SnapshotTest, ARefusalEndsTheTransfer) {
  Connect();
  Fill(300);
  Start();
  ASSERT_TRUE(world_.RunUntil([this] { return parts_sent_ > 10; }, Seconds(10)));
  files_.FailNext(sim::SimFileSystem::Operation::kWrite);
  Run();
  EXPECT_THAT(ends_, ElementsAre("gave up 40@3 to 12"));
  EXPECT_THAT(complete_, IsEmpty());
  EXPECT_THAT(Files(), IsEmpty());
}

// What is told to the replica is on disk, at whatever change of the disk the power goes.
TEST_F(SnapshotTest, IsToldOnlyWhenAPowerCutCannotTakeItBack) {
  bool was_cut = true;
  std::set<bool> told;
  for (std::uint64_t cut_at = 1; was_cut; ++cut_at) {
    files_.Wipe();
    BootReceiver();
    complete_.clear();
    files_.FailPowerAfter(cut_at);
    for (std::uint64_t number = 0; number < 3; ++number) {
      receiver_->OnPart(kSender, Part(cut_at, number, number == 2));
    }
    told.insert(!complete_.empty());
    was_cut = !files_.has_power();
    receiver_.reset();
    files_.CutPower();
    if (!complete_.empty()) {
      ASSERT_THAT(Received(), SizeIs(6)) << cut_at;
    }
  }
  EXPECT_THAT(told, SizeIs(2));
}

TEST_F(SnapshotTest, LeftoversAreRemovedAtStartExceptWhatIsNeeded) {
  Connect();
  EXPECT_FALSE(Give(Part(5, 0, true)).refused);
  SnapshotPart other = Part(6, 0, true);
  other.meta.id = {Term(4), Index(50)};
  EXPECT_FALSE(Give(other).refused);
  EXPECT_FALSE(Give(Part(7, 0, false)).refused);
  EXPECT_THAT(Files(), ElementsAre("7-40-3", "7-40-3.part", "7-50-4"));
  EXPECT_TRUE(receiver_->RemoveLeftovers({"snapshot/7-50-4"}).ok());
  EXPECT_THAT(Files(), ElementsAre("7-50-4"));
}

}  // namespace
}  // namespace rutile::store
