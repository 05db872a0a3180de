#include "client/raw_client.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/world.h"
#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::client {
namespace {

// One region with a peer on each of three stores, "s1" to "s3", which answer as a test says.
class Stores {
 public:
  struct Asked {
    std::string address = {};
    std::string method = {};
    bool replica_read = false;
  };
  // What comes back from a store: nothing is wrong, an error of the region, or no answer.
  using Answer = std::variant<std::monostate, errorpb::Error, Status>;

  // The first answers; when none is left nothing is wrong.
  std::deque<Answer> answers = {};
  std::vector<Asked> asked = {};  // Of stores, not of placement.
  std::uint64_t leader = 1;       // As placement says.

  Connect Connector() {
    return [this](const std::string& address) { return std::make_unique<Line>(*this, address); };
  }
  std::vector<std::string> AddressesAsked() const {
    std::vector<std::string> addresses;
    for (const Asked& one : asked) addresses.push_back(one.address);
    return addresses;
  }

 private:
  class Line final : public Channel {
   public:
    Line(Stores& stores, std::string address) : stores_(stores), address_(std::move(address)) {}
    void Call(std::string method, std::string request, Duration, Callback done) override {
      if (method == "/pdpb.PD/GetRegion") return done({}, stores_.Region().SerializeAsString());
      if (method == "/pdpb.PD/GetStore") return done({}, StoreOf(request).SerializeAsString());
      stores_.Serve(address_, method, request, done);
    }

   private:
    static pdpb::GetStoreResponse StoreOf(const std::string& bytes) {
      pdpb::GetStoreRequest request;
      EXPECT_TRUE(request.ParseFromString(bytes));
      pdpb::GetStoreResponse response;
      response.mutable_store()->set_address("s" + std::to_string(request.store_id()));
      return response;
    }

    Stores& stores_;
    const std::string address_;
  };

  pdpb::GetRegionResponse Region() const {
    pdpb::GetRegionResponse response;
    response.mutable_region()->set_id(7);
    for (std::uint64_t id = 1; id <= 3; ++id) {
      metapb::Peer* peer = response.mutable_region()->add_peers();
      peer->set_id(10 + id);
      peer->set_store_id(id);
    }
    *response.mutable_leader() = response.region().peers(static_cast<int>(leader - 1));
    return response;
  }

  template <class Request, class Response>
  void Serve(const std::string& address, const std::string& method, const std::string& bytes,
             const Channel::Callback& done) {
    Request request;
    ASSERT_TRUE(request.ParseFromString(bytes));
    asked.push_back(
        {.address = address, .method = method, .replica_read = request.context().replica_read()});
    Answer answer;
    if (!answers.empty()) {
      answer = std::move(answers.front());
      answers.pop_front();
    }
    if (const auto* status = std::get_if<Status>(&answer)) return done(*status, {});
    Response response;
    if (const auto* error = std::get_if<errorpb::Error>(&answer)) {
      *response.mutable_region_error() = *error;
    }
    done({}, response.SerializeAsString());
  }
  void Serve(const std::string& address, const std::string& method, const std::string& bytes,
             const Channel::Callback& done) {
    if (method == "/tikvpb.Tikv/RawGet") {
      Serve<kvrpcpb::RawGetRequest, kvrpcpb::RawGetResponse>(address, method, bytes, done);
    } else if (method == "/tikvpb.Tikv/RawPut") {
      Serve<kvrpcpb::RawPutRequest, kvrpcpb::RawPutResponse>(address, method, bytes, done);
    } else {
      Serve<kvrpcpb::RawCASRequest, kvrpcpb::RawCASResponse>(address, method, bytes, done);
    }
  }
};

errorpb::Error NotLeader(std::uint64_t leader) {
  errorpb::Error error;
  error.mutable_not_leader()->set_region_id(7);
  if (leader != 0) {
    error.mutable_not_leader()->mutable_leader()->set_id(10 + leader);
    error.mutable_not_leader()->mutable_leader()->set_store_id(leader);
  }
  return error;
}

errorpb::Error Busy() {
  errorpb::Error error;
  error.mutable_server_is_busy()->set_reason("test");
  return error;
}

errorpb::Error Undetermined() {
  errorpb::Error error;
  error.mutable_undetermined_result();
  return error;
}

Status Lost() { return Status(Code::kUnavailable, "the connection broke"); }

class RawClientTest : public ::testing::Test {
 protected:
  RawClient& Client(RawClientOptions options = {}) {
    options.endpoints = {"s1"};
    client_ =
        std::make_unique<RawClient>(std::move(options), stores_.Connector(), clock_, executor_);
    return *client_;
  }
  Status Put(RawClient& client) {
    Status outcome(Code::kInternal, "not done");
    client.Put("k", "v", 0, [&](Status status) { outcome = std::move(status); });
    world_.RunFor(Seconds(60));
    return outcome;
  }
  Status Swap(RawClient& client) {
    Status outcome(Code::kInternal, "not done");
    client.CompareAndSwap("k", std::nullopt, "v", [&](const Result<RawClient::Swapped>& reply) {
      outcome = reply.ok() ? Status() : reply.status();
    });
    world_.RunFor(Seconds(60));
    return outcome;
  }
  Status Get(RawClient& client) {
    Status outcome(Code::kInternal, "not done");
    client.Get("k", [&](const Result<std::optional<std::string>>& reply) {
      outcome = reply.ok() ? Status() : reply.status();
    });
    world_.RunFor(Seconds(60));
    return outcome;
  }

  sim::World world_{1};
  sim::SimClock clock_{world_};
  sim::SimExecutor executor_{world_, clock_, "client"};
  Stores stores_;
  std::unique_ptr<RawClient> client_;
};

using Addresses = std::vector<std::string>;

TEST_F(RawClientTest, GoesToTheLeaderAndFollowsIt) {
  RawClient& client = Client();
  stores_.leader = 2;
  stores_.answers = {NotLeader(3)};
  EXPECT_TRUE(Put(client).ok());
  EXPECT_TRUE(Put(client).ok());
  EXPECT_EQ(stores_.AddressesAsked(), (Addresses{"s2", "s3", "s3"}));
}

TEST_F(RawClientTest, TriesOthersWhenNobodyIsKnownToLead) {
  RawClient& client = Client();
  stores_.answers = {NotLeader(0), NotLeader(0)};
  EXPECT_TRUE(Put(client).ok());
  EXPECT_EQ(stores_.AddressesAsked(), (Addresses{"s1", "s2", "s3"}));
}

TEST_F(RawClientTest, APutWithoutAnAnswerIsRepeatedElsewhere) {
  RawClient& client = Client();
  stores_.answers = {Lost()};
  EXPECT_TRUE(Put(client).ok());
  EXPECT_EQ(stores_.AddressesAsked(), (Addresses{"s1", "s2"}));
}

TEST_F(RawClientTest, APutThatMustNotBeRepeatedIsUnknownAfterOneAttempt) {
  RawClient& client = Client({.repeat_writes = false});
  stores_.answers = {Lost()};
  EXPECT_EQ(Put(client).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(stores_.asked.size(), 1u);
  stores_.answers = {Undetermined()};
  EXPECT_EQ(Put(client).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(stores_.asked.size(), 2u);
}

TEST_F(RawClientTest, AfterASwapWithoutAnAnswerTheNextOneGoesElsewhere) {
  RawClient& client = Client();
  stores_.answers = {Lost()};
  EXPECT_EQ(Swap(client).code(), Code::kDeadlineExceeded);
  EXPECT_TRUE(Swap(client).ok());
  EXPECT_EQ(stores_.AddressesAsked(), (Addresses{"s1", "s2"}));
}

TEST_F(RawClientTest, WhatWasCertainlyNotDoneIsSaidToBeUnavailable) {
  RawClient& client = Client({.timeout = Seconds(1)});
  stores_.answers = std::deque<Stores::Answer>(100, Busy());
  EXPECT_EQ(Put(client).code(), Code::kUnavailable);
}

TEST_F(RawClientTest, WhatMayHaveBeenDoneOnceIsUnknownHoweverItEnds) {
  RawClient& client = Client({.timeout = Seconds(1)});
  stores_.answers = std::deque<Stores::Answer>(100, Busy());
  stores_.answers[1] = Lost();
  const Status status = Put(client);
  EXPECT_EQ(status.code(), Code::kDeadlineExceeded);
  EXPECT_NE(status.message().find("may have been carried out"), std::string::npos);
  // A read has done nothing.
  stores_.answers[1] = Lost();
  EXPECT_EQ(Get(client).code(), Code::kUnavailable);
}

TEST_F(RawClientTest, WhatMayHaveBeenDoneOnceIsUnknownEvenIfTheNextServerDoesNotServeTheCall) {
  RawClient& client = Client();
  const Status unserved(Code::kUnimplemented, "nobody serves this here");
  stores_.answers = {Lost(), unserved};
  EXPECT_EQ(Put(client).code(), Code::kDeadlineExceeded);
  stores_.answers = {unserved};
  EXPECT_EQ(Put(client).code(), Code::kUnimplemented);
  stores_.answers = {Lost(), unserved};
  EXPECT_EQ(Get(client).code(), Code::kUnimplemented);
}

// The last attempt had no time for an answer, and those before it say why.
TEST_F(RawClientTest, WhatAStoreHasSaidIsToldWhenNoAnswerComesInTheEnd) {
  RawClient& client = Client({.timeout = Seconds(1)});
  errorpb::Error busy = Busy();
  busy.set_message("the disk is almost full");
  stores_.answers = {busy};
  stores_.answers.insert(stores_.answers.end(), 100, Lost());
  const std::string text(Put(client).message());
  EXPECT_NE(text.find("the connection broke; before that: the disk is almost full"),
            std::string::npos)
      << text;
}

TEST_F(RawClientTest, IsClosedWhenItsLastOperationHasBeenAnswered) {
  RawClient& client = Client({.timeout = Seconds(1)});
  stores_.answers.assign(100, Lost());
  bool is_answered = false;
  bool is_closed = false;
  client.Get("k", [&](const Result<std::optional<std::string>>&) {
    is_answered = true;
    EXPECT_FALSE(is_closed);
  });
  client.Close([&] { is_closed = true; });
  EXPECT_FALSE(is_closed);
  world_.RunFor(Seconds(60));
  EXPECT_TRUE(is_answered);
  EXPECT_TRUE(is_closed);
}

TEST_F(RawClientTest, FollowerReadsGoToAllPeersInTurnAndWritesDoNot) {
  RawClient& client = Client({.follower_reads = true});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Get(client).ok());
  EXPECT_TRUE(Put(client).ok());
  EXPECT_EQ(stores_.AddressesAsked(), (Addresses{"s1", "s2", "s3", "s1"}));
  EXPECT_TRUE(stores_.asked[1].replica_read);
  EXPECT_FALSE(stores_.asked[3].replica_read);
}

TEST_F(RawClientTest, WithoutThemReadsGoToTheLeader) {
  RawClient& client = Client();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Get(client).ok());
  EXPECT_EQ(stores_.AddressesAsked(), (Addresses{"s1", "s1", "s1"}));
  EXPECT_FALSE(stores_.asked[0].replica_read);
}

}  // namespace
}  // namespace rutile::client
