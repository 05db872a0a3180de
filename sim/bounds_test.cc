// What waits for an answer is bounded, and nothing of it is left behind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "sim/cluster.h"

namespace rutile::sim {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// What the calls of one kind have come to.
struct Outcomes {
  std::size_t served = 0;
  std::size_t others = 0;  // Errors other than ServerIsBusy.
  std::vector<std::string> busy = {};
};

class BoundsTest : public ::testing::Test {
 protected:
  void Begin(const store::ReplicaOptions& replica, std::size_t nodes = 3) {
    Cluster::Options options;
    options.machines.resize(nodes);
    options.wal.segment_bytes = 1 << 16;
    options.replica = replica;
    cluster_ = std::make_unique<Cluster>(world_, options);
    for (std::size_t i = 0; i < nodes; ++i) cluster_->Start(i);
    ASSERT_TRUE(world_.RunUntil(
        [this] {
          for (std::size_t i = 0; i < cluster_->size(); ++i) {
            if (!cluster_->is_up(i)) continue;
            if (!cluster_->node(i)->store().Gate(store::kFirstUserRegion)->is_leader) continue;
            leader_ = i;
            return true;
          }
          return false;
        },
        Seconds(20)));
    world_.RunFor(Seconds(1));
  }

  void CutOffTheLeader() {
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      if (i != leader_)
        cluster_->network().Partition({cluster_->store(leader_)}, {cluster_->store(i)});
    }
  }

  template <class T>
  store::RawDone<T> Into(Outcomes& outcomes) {
    return [&outcomes](store::RawReply<T> reply) {
      const auto* error = std::get_if<store::RegionError>(&reply);
      if (std::holds_alternative<T>(reply)) {
        ++outcomes.served;
      } else if (error != nullptr && std::holds_alternative<store::ServerIsBusy>(*error)) {
        EXPECT_GT(std::get<store::ServerIsBusy>(*error).backoff, Duration(0));
        outcomes.busy.push_back(ToString(*error));
      } else {
        ++outcomes.others;
      }
    };
  }
  void Put(std::size_t bytes, Outcomes& outcomes) {
    cluster_->requests(leader_).Post([this, bytes, &outcomes] {
      cluster_->node(leader_)->raw().Put({.region = store::kFirstUserRegion},
                                         {{.key = "k", .value = std::string(bytes, 'v')}},
                                         Into<store::Done>(outcomes));
    });
  }
  void Get(Outcomes& outcomes) {
    cluster_->requests(leader_).Post([this, &outcomes] {
      cluster_->node(leader_)->raw().Get({.region = store::kFirstUserRegion}, "k",
                                         Into<std::optional<std::string>>(outcomes));
    });
  }
  store::ReplicaStatus Status() {
    store::ReplicaStatus status;
    cluster_->node(leader_)->store().CollectStatus(
        [&](const std::vector<store::ReplicaStatus>& replicas) { status = replicas.back(); });
    world_.RunFor(Milliseconds(10));
    return status;
  }
  void ExpectNothingWaits() {
    const store::ReplicaStatus status = Status();
    EXPECT_EQ(status.waiting_writes, 0u);
    EXPECT_EQ(status.waiting_write_bytes, 0u);
    EXPECT_EQ(status.waiting_reads, 0u);
  }

  World world_{1};
  std::unique_ptr<Cluster> cluster_;
  std::size_t leader_ = 0;
};

// Without a majority nothing is decided: everything waits, until the leader steps down.
TEST_F(BoundsTest, UndecidedWritesAndReads) {
  Begin({.lease_reads = false, .max_waiting_writes = 5, .max_waiting_reads = 4});
  CutOffTheLeader();
  Outcomes writes, reads;
  for (int i = 0; i < 8; ++i) Put(10, writes);
  for (int i = 0; i < 7; ++i) Get(reads);
  world_.RunFor(Milliseconds(20));
  EXPECT_THAT(writes.busy, AllOf(SizeIs(3), Each(HasSubstr("too many writes wait"))));
  EXPECT_THAT(reads.busy, AllOf(SizeIs(3), Each(HasSubstr("too many reads wait"))));
  const store::ReplicaStatus status = Status();
  EXPECT_EQ(status.waiting_writes, 5u);
  EXPECT_GT(status.waiting_write_bytes, 50u);
  EXPECT_EQ(status.waiting_reads, 4u);

  world_.RunFor(Seconds(5));
  EXPECT_EQ(writes.others, 5u);
  EXPECT_EQ(reads.others, 4u);
  ExpectNothingWaits();
}

TEST_F(BoundsTest, BytesOfOneRegion) {
  Begin({.max_waiting_write_bytes = 1000});
  CutOffTheLeader();
  Outcomes writes;
  for (int i = 0; i < 5; ++i) Put(400, writes);
  world_.RunFor(Milliseconds(20));
  EXPECT_THAT(writes.busy, AllOf(SizeIs(3), Each(HasSubstr("bytes wait in the region"))));
}

TEST_F(BoundsTest, BytesOfTheNode) {
  Begin({.log_memory_bytes = 1300});  // Placement has a little of it.
  CutOffTheLeader();
  Outcomes writes;
  for (int i = 0; i < 5; ++i) Put(400, writes);
  world_.RunFor(Milliseconds(20));
  EXPECT_THAT(writes.busy, AllOf(SizeIs(3), Each(HasSubstr("log's memory on this node is full"))));
}

// What is refused is served later, and what is served gives its place to the next.
TEST_F(BoundsTest, ManyCallsPassThroughFewPlaces) {
  Begin({.max_waiting_writes = 2, .max_waiting_write_bytes = 1000});
  Outcomes writes;
  for (int i = 0; i < 200; ++i) {
    for (int j = 0; j < 3; ++j) Put(100, writes);
    world_.RunFor(Milliseconds(50));
  }
  EXPECT_EQ(writes.served + writes.busy.size(), 600u);
  EXPECT_GE(writes.served, 400u);
  EXPECT_THAT(writes.busy, testing::Not(IsEmpty()));
  ExpectNothingWaits();
}

}  // namespace
}  // namespace rutile::sim
