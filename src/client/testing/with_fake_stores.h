#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/random.h"
#include "base/status.h"
#include "client/testing/fake_stores.h"
#include "env/sim/sim_clock.h"
#include "env/sim/sim_executor.h"
#include "env/sim/world.h"
#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {

// A test of a client that has these stores, in a world of its own.
class WithFakeStores : public ::testing::Test {
 protected:
  template <class Request>
  Request Last(const std::string& method) {
    Request request;
    EXPECT_TRUE(request.ParseFromString(stores_.last[method]));
    return request;
  }

  sim::World world_{1};
  sim::SimClock clock_{world_};
  sim::SimExecutor executor_{world_, clock_, "client"};
  SeededRandom random_{1};
  FakeStores stores_;
};

inline errorpb::Error Busy() {
  errorpb::Error error;
  error.mutable_server_is_busy()->set_reason("test");
  return error;
}

inline Status Lost() { return Status(Code::kUnavailable, "the connection broke"); }

inline kvrpcpb::LockInfo LockOf(const std::string& key, std::uint64_t start, std::uint64_t ttl_ms) {
  kvrpcpb::LockInfo lock;
  lock.set_key(key);
  lock.set_primary_lock("p");
  lock.set_lock_version(start);
  lock.set_lock_ttl(ttl_ms);
  return lock;
}

inline std::string Lives(kvrpcpb::Action action = kvrpcpb::NoAction) {
  kvrpcpb::CheckTxnStatusResponse response;
  response.set_lock_ttl(3000);
  response.set_action(action);
  return response.SerializeAsString();
}
inline std::string CommittedAt(std::uint64_t commit) {
  kvrpcpb::CheckTxnStatusResponse response;
  response.set_commit_version(commit);
  return response.SerializeAsString();
}

}  // namespace rutile::client
