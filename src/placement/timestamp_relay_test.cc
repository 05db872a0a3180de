#include "placement/timestamp_relay.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <vector>

#include "env/sim/machine.h"
#include "env/sim/sim_network.h"
#include "env/sim/world.h"

namespace rutile::placement {
namespace {

// Two relays; what they send waits until the test delivers it.
class TimestampRelayTest : public ::testing::Test {
 protected:
  struct Datagram {
    StoreId from = {};
    StoreId to = {};
    std::string payload = {};
  };

  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "a simulated world has one thread";
#endif
    machine_ =
        std::make_unique<sim::Machine>(world_, network_, StoreId(1), sim::Machine::Options{});
    machine_->Boot();
    executor_ = &machine_->NewExecutor("relay");
    relays_[0] = Open(StoreId(1), 100);
    relays_[1] = Open(StoreId(2), 100);
  }

  std::unique_ptr<TimestampRelay> Open(StoreId self, std::uint64_t first_id) {
    return std::make_unique<TimestampRelay>(
        TimestampRelay::Parts{.self = self,
                              .leader = [this] { return leader_; },
                              .grant =
                                  [this, self](TimestampRelay::Done done) {
                                    if (self != grants_) {
                                      return done(Status(Code::kUnavailable, "not leader"));
                                    }
                                    done(Timestamp{++last_, 7});
                                  },
                              .send =
                                  [this, self](StoreId to, std::string payload) {
                                    sent_.push_back({self, to, std::move(payload)});
                                  },
                              .executor = *executor_,
                              .first_id = first_id});
  }

  void Get(std::size_t i) {
    relays_[i]->Get([this](const Result<Timestamp>& timestamp) {
      got_.push_back(timestamp.ok() ? std::to_string(timestamp.value().physical_ms)
                                    : std::string(timestamp.status().message()));
    });
  }
  void Deliver() {
    while (!sent_.empty()) {
      const Datagram datagram = sent_.front();
      sent_.erase(sent_.begin());
      relays_[datagram.to.value() - 1]->OnDatagram(datagram.from, datagram.payload);
    }
  }

  sim::World world_{1};
  sim::SimNetwork network_{world_};
  std::unique_ptr<sim::Machine> machine_;
  Executor* executor_ = nullptr;
  std::optional<StoreId> leader_ = StoreId(2);
  StoreId grants_ = StoreId(2);
  std::uint64_t last_ = 0;
  std::array<std::unique_ptr<TimestampRelay>, 2> relays_;
  std::vector<Datagram> sent_;
  std::vector<std::string> got_;
};

using Strings = std::vector<std::string>;

TEST_F(TimestampRelayTest, TheLeaderIsAskedWhereverItIs) {
  Get(1);
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(got_, Strings{"1"});
  Get(0);
  Get(0);
  EXPECT_EQ(got_.size(), 1u);
  Deliver();
  EXPECT_EQ(got_, (Strings{"1", "2", "3"}));
  world_.RunFor(Seconds(3));
  EXPECT_EQ(got_.size(), 3u);
}

TEST_F(TimestampRelayTest, WhoeverWaitsInVainIsTold) {
  leader_.reset();
  Get(0);
  leader_ = StoreId(2);
  grants_ = StoreId(1);
  Get(0);
  Deliver();
  Get(0);
  sent_.clear();
  world_.RunFor(Seconds(3));
  ASSERT_EQ(got_.size(), 3u);
  EXPECT_NE(got_[0].find("no leader"), std::string::npos);
  EXPECT_NE(got_[1].find("does not lead"), std::string::npos);
  EXPECT_NE(got_[2].find("silent"), std::string::npos);
}

// It was given out before the question.
TEST_F(TimestampRelayTest, AnAnswerToAnEarlierProcessIsNotTaken) {
  Get(0);
  const Datagram request = sent_.front();
  sent_.clear();
  relays_[1]->OnDatagram(request.from, request.payload);
  const Datagram answer = sent_.front();
  sent_.clear();
  relays_[0] = Open(StoreId(1), 200);
  Get(0);
  relays_[0]->OnDatagram(answer.from, answer.payload);
  EXPECT_TRUE(got_.empty());
  Deliver();
  EXPECT_EQ(got_, Strings{"2"});
}

TEST_F(TimestampRelayTest, WhatIsNoMessageIsDropped) {
  Get(0);
  const std::string request = sent_.front().payload;
  sent_.clear();
  for (std::size_t size = 0; size < request.size(); ++size) {
    relays_[1]->OnDatagram(StoreId(1), request.substr(0, size));
  }
  relays_[1]->OnDatagram(StoreId(1), "\x01\x09" + request.substr(2));
  relays_[1]->OnDatagram(StoreId(1), "\x02" + request.substr(1));
  EXPECT_TRUE(sent_.empty());
  EXPECT_EQ(last_, 0u);
}

}  // namespace
}  // namespace rutile::placement
