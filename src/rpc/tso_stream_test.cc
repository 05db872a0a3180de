#include "rpc/services/tso_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "proto/pdpb.pb.h"

namespace rutile::rpc {
namespace {

using placement::Placement;
using placement::Timestamp;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ClusterId kCluster{7};

// Keeps what was sent.
class Sender final : public StreamSender {
 public:
  std::size_t Send(const Message& message) override {
    if (!ended) sent.push_back(static_cast<const pdpb::TsoResponse&>(message));
    return 0;
  }
  void Finish(Status status) override {
    if (!ended) ended = std::move(status);
  }

  std::vector<pdpb::TsoResponse> sent;
  std::optional<Status> ended;
};

class TsoStreamTest : public ::testing::Test {
 protected:
  void Ask(std::uint32_t count, std::uint64_t cluster = kCluster.value(),
           const std::string& location = "") {
    pdpb::TsoRequest request;
    request.mutable_header()->set_cluster_id(cluster);
    request.set_count(count);
    request.set_dc_location(location);
    stream_->OnMessage(request);
  }
  // The source answers during the call.
  void AnswerAtOnce() { at_once_ = true; }
  // Answers the oldest request that waits at the source.
  void AnswerOne() {
    auto [count, done] = std::move(asked_.front());
    asked_.pop_front();
    Grant(count, std::move(done));
  }
  void FailOne(Status status) {
    auto [count, done] = std::move(asked_.front());
    asked_.pop_front();
    done(std::move(status));
  }
  std::vector<std::int64_t> Logicals() const {
    std::vector<std::int64_t> all;
    for (const pdpb::TsoResponse& response : sender_->sent) {
      all.push_back(response.timestamp().logical());
    }
    return all;
  }

  const std::shared_ptr<Sender> sender_ = std::make_shared<Sender>();
  std::deque<std::pair<std::uint32_t, Placement::TimestampDone>> asked_;
  std::unique_ptr<StreamHandler> stream_ = NewTsoStream(
      [this](std::uint32_t count, Placement::TimestampDone done) {
        if (at_once_) return Grant(count, std::move(done));
        asked_.emplace_back(count, std::move(done));
      },
      kCluster, sender_);

 private:
  void Grant(std::uint32_t count, Placement::TimestampDone done) {
    logical_ += count;
    done(Timestamp{.physical_ms = 5, .logical = logical_});
  }

  bool at_once_ = false;
  std::uint64_t logical_ = 0;
};

TEST_F(TsoStreamTest, EachRequestHasAnAnswer) {
  AnswerAtOnce();
  Ask(1);
  Ask(10, 0, "global");
  ASSERT_EQ(sender_->sent.size(), 2u);
  const pdpb::TsoResponse& last = sender_->sent.back();
  EXPECT_EQ(last.header().cluster_id(), 7u);
  EXPECT_EQ(last.count(), 10u);
  EXPECT_EQ(last.timestamp().physical(), 5);
  EXPECT_EQ(last.timestamp().logical(), 11);
  EXPECT_FALSE(sender_->ended);
}

TEST_F(TsoStreamTest, OneRequestAtATimeIsWithTheSource) {
  Ask(3);
  Ask(2);
  Ask(1);
  EXPECT_EQ(asked_.size(), 1u);
  EXPECT_THAT(sender_->sent, IsEmpty());
  AnswerOne();
  EXPECT_EQ(asked_.size(), 1u);
  AnswerAtOnce();
  AnswerOne();
  EXPECT_THAT(Logicals(), ElementsAre(3, 5, 6));
}

TEST_F(TsoStreamTest, AnswersWhatWaitsBeforeItEnds) {
  Ask(1);
  Ask(1);
  stream_->OnHalfClosed();
  AnswerOne();
  EXPECT_FALSE(sender_->ended);
  AnswerOne();
  EXPECT_THAT(Logicals(), ElementsAre(1, 2));
  ASSERT_TRUE(sender_->ended);
  EXPECT_TRUE(sender_->ended->ok());
}

TEST_F(TsoStreamTest, EndsAtOnceWhenNothingWaits) {
  stream_->OnHalfClosed();
  ASSERT_TRUE(sender_->ended);
  EXPECT_TRUE(sender_->ended->ok());
}

TEST_F(TsoStreamTest, AFailureEndsTheStream) {
  Ask(1);
  Ask(1);
  FailOne(Status(Code::kUnavailable, "not leader of placement"));
  ASSERT_TRUE(sender_->ended);
  EXPECT_EQ(sender_->ended->code(), Code::kUnavailable);
  EXPECT_THAT(sender_->sent, IsEmpty());
  EXPECT_THAT(asked_, IsEmpty());
  Ask(1);
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(TsoStreamTest, AnAnswerMayComeWhenTheStreamIsGone) {
  Ask(1);
  Ask(1);
  stream_->OnClosed(Status(Code::kUnavailable, "the client went away"));
  stream_.reset();
  AnswerOne();
  EXPECT_THAT(asked_, IsEmpty());
  EXPECT_THAT(sender_->sent, IsEmpty());
}

TEST_F(TsoStreamTest, RefusesOtherClusters) {
  Ask(1, 8);
  ASSERT_TRUE(sender_->ended);
  EXPECT_EQ(sender_->ended->code(), Code::kFailedPrecondition);
  EXPECT_EQ(sender_->ended->message(), "mismatch cluster id, need 7 but got 8");
  EXPECT_THAT(asked_, IsEmpty());
}

TEST_F(TsoStreamTest, RefusesOtherLocations) {
  Ask(1, 7, "dc-1");
  ASSERT_TRUE(sender_->ended);
  EXPECT_EQ(sender_->ended->code(), Code::kInvalidArgument);
  EXPECT_THAT(std::string(sender_->ended->message()), HasSubstr("dc-1"));
}

TEST_F(TsoStreamTest, AFloodOfRequestsIsEnded) {
  for (int i = 0; i < 20'000; ++i) Ask(1);
  EXPECT_EQ(asked_.size(), 1u);
  ASSERT_TRUE(sender_->ended);
  EXPECT_EQ(sender_->ended->code(), Code::kResourceExhausted);
}

}  // namespace
}  // namespace rutile::rpc
