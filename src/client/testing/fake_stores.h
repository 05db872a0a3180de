#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "client/channel.h"
#include "client/connections.h"
#include "codec/memcomparable.h"
#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::client {

// Two regions, of keys below and from "m" on, each with a peer on a store of its own: "s1", "s2".
// Stores answer as a test says, and otherwise that all is well; reads find `data`, and who looks
// for locks finds `locks` until they are resolved. Placement has one member.
class FakeStores {
 public:
  // What comes back: no answer, an error of the region, or an encoded response.
  using Answer = std::variant<Status, errorpb::Error, std::string>;

  std::map<std::string, std::deque<Answer>> answers = {};  // By method; the first comes first.
  std::map<std::string, std::string> data = {};
  std::vector<std::string> calls = {};  // "KvPrewrite a b", with the keys; "ts" for timestamps.
  std::map<std::string, kvrpcpb::LockInfo> locks = {};  // By key.
  std::uint64_t safe_point = 0;
  std::map<std::string, std::uint64_t> services = {};  // Their safe points.
  std::map<std::string, std::string> last = {};        // By method: the last request, encoded.
  std::uint64_t clock_ms = 1000;                       // Of placement: physical part.
  std::uint64_t count = 0;
  bool one_region = false;  // For whom placement is asked.

  Connect Connector() {
    return [this](const std::string& address) { return std::make_unique<Line>(*this, address); };
  }
  std::uint64_t Now() { return (clock_ms << 18) + ++count; }
  metapb::Region Region(int which) const {
    metapb::Region region;
    region.set_id(static_cast<std::uint64_t>(which));
    region.mutable_region_epoch()->set_version(one_region ? 1 : 2);
    if (which == 1 && !one_region) region.set_end_key(Border());
    if (which == 2) region.set_start_key(Border());
    metapb::Peer* peer = region.add_peers();
    peer->set_id(static_cast<std::uint64_t>(10 + which));
    peer->set_store_id(static_cast<std::uint64_t>(which));
    return region;
  }

 private:
  static std::string Border() { return codec::EncodeMemcomparable("m"); }

  class Line final : public Channel {
   public:
    Line(FakeStores& stores, std::string address) : stores_(stores), address_(std::move(address)) {}
    void Call(std::string method, std::string request, Duration, Callback done) override {
      const std::string name = method.substr(method.rfind('/') + 1);
      if (name == "GetMinTS") return stores_.GiveTimestamp(done);
      if (name == "GetRegion") return stores_.GiveRegion(request, done);
      if (name == "GetPrevRegion" || name == "ScanRegions") return stores_.GiveBefore(name, done);
      if (name == "GetStore") return stores_.GiveStore(request, done);
      if (name.ends_with("SafePoint")) return stores_.ServeSafePoint(name, request, done);
      stores_.Serve(name, request, done);
    }

   private:
    FakeStores& stores_;
    const std::string address_;
  };

  void GiveTimestamp(const Channel::Callback& done) {
    calls.emplace_back("ts");
    pdpb::GetMinTSResponse response;
    const std::uint64_t now = Now();
    response.mutable_timestamp()->set_physical(static_cast<std::int64_t>(now >> 18));
    response.mutable_timestamp()->set_logical(static_cast<std::int64_t>(now & ((1 << 18) - 1)));
    done({}, response.SerializeAsString());
  }
  void GiveRegion(const std::string& bytes, const Channel::Callback& done) const {
    pdpb::GetRegionRequest request;
    EXPECT_TRUE(request.ParseFromString(bytes));
    pdpb::GetRegionResponse response;
    *response.mutable_region() = Region(request.region_key() < Border() || one_region ? 1 : 2);
    *response.mutable_leader() = response.region().peers(0);
    done({}, response.SerializeAsString());
  }
  // The region below the border, or below the end of all keys.
  void GiveBefore(const std::string& name, const Channel::Callback& done) const {
    if (name == "GetPrevRegion") {
      pdpb::GetRegionResponse response;
      *response.mutable_region() = Region(1);
      *response.mutable_leader() = response.region().peers(0);
      return done({}, response.SerializeAsString());
    }
    pdpb::ScanRegionsResponse response;
    pdpb::Region* found = response.add_regions();
    *found->mutable_region() = Region(2);
    *found->mutable_leader() = found->region().peers(0);
    done({}, response.SerializeAsString());
  }
  static void GiveStore(const std::string& bytes, const Channel::Callback& done) {
    pdpb::GetStoreRequest request;
    EXPECT_TRUE(request.ParseFromString(bytes));
    pdpb::GetStoreResponse response;
    response.mutable_store()->set_address("s" + std::to_string(request.store_id()));
    done({}, response.SerializeAsString());
  }

  void ServeSafePoint(const std::string& name, const std::string& bytes,
                      const Channel::Callback& done) {
    calls.push_back(name);
    last[name] = bytes;
    std::deque<Answer>& prepared = answers[name];
    if (!prepared.empty()) {
      const Status status = std::get<Status>(prepared.front());
      prepared.pop_front();
      return done(status, {});
    }
    if (name == "GetGCSafePoint") {
      pdpb::GetGCSafePointResponse response;
      response.set_safe_point(safe_point);
      return done({}, response.SerializeAsString());
    }
    if (name == "UpdateGCSafePoint") {
      pdpb::UpdateGCSafePointRequest request;
      EXPECT_TRUE(request.ParseFromString(bytes));
      safe_point = std::max(safe_point, request.safe_point());
      pdpb::UpdateGCSafePointResponse response;
      response.set_new_safe_point(safe_point);
      return done({}, response.SerializeAsString());
    }
    ASSERT_EQ("UpdateServiceGCSafePoint", name);
    pdpb::UpdateServiceGCSafePointRequest request;
    EXPECT_TRUE(request.ParseFromString(bytes));
    services[request.service_id()] = request.safe_point();
    pdpb::UpdateServiceGCSafePointResponse response;
    response.set_min_safe_point(request.safe_point());
    for (const auto& [service, point] : services) {
      if (point > response.min_safe_point()) continue;
      response.set_service_id(service);
      response.set_min_safe_point(point);
    }
    done({}, response.SerializeAsString());
  }

  void Serve(const std::string& name, const std::string& bytes, const Channel::Callback& done) {
    if (name == "KvPrewrite") {
      Serve<kvrpcpb::PrewriteRequest, kvrpcpb::PrewriteResponse>(name, bytes, done);
    } else if (name == "KvCommit") {
      Serve<kvrpcpb::CommitRequest, kvrpcpb::CommitResponse>(name, bytes, done);
    } else if (name == "KvBatchRollback") {
      Serve<kvrpcpb::BatchRollbackRequest, kvrpcpb::BatchRollbackResponse>(name, bytes, done);
    } else if (name == "KvCheckTxnStatus") {
      Serve<kvrpcpb::CheckTxnStatusRequest, kvrpcpb::CheckTxnStatusResponse>(name, bytes, done);
    } else if (name == "KvResolveLock") {
      Serve<kvrpcpb::ResolveLockRequest, kvrpcpb::ResolveLockResponse>(name, bytes, done);
    } else if (name == "KvCheckSecondaryLocks") {
      Serve<kvrpcpb::CheckSecondaryLocksRequest, kvrpcpb::CheckSecondaryLocksResponse>(name, bytes,
                                                                                       done);
    } else if (name == "KvTxnHeartBeat") {
      Serve<kvrpcpb::TxnHeartBeatRequest, kvrpcpb::TxnHeartBeatResponse>(name, bytes, done);
    } else if (name == "KvPessimisticLock") {
      Serve<kvrpcpb::PessimisticLockRequest, kvrpcpb::PessimisticLockResponse>(name, bytes, done);
    } else if (name == "KvScanLock") {
      Serve<kvrpcpb::ScanLockRequest, kvrpcpb::ScanLockResponse>(name, bytes, done);
    } else if (name == "KVPessimisticRollback") {
      Serve<kvrpcpb::PessimisticRollbackRequest, kvrpcpb::PessimisticRollbackResponse>(name, bytes,
                                                                                       done);
    } else if (name == "KvBatchGet") {
      Serve<kvrpcpb::BatchGetRequest, kvrpcpb::BatchGetResponse>(name, bytes, done);
    } else {
      ASSERT_EQ("KvScan", name);
      Serve<kvrpcpb::ScanRequest, kvrpcpb::ScanResponse>(name, bytes, done);
    }
  }

  template <class Request, class Response>
  void Serve(const std::string& name, const std::string& bytes, const Channel::Callback& done) {
    Request request;
    ASSERT_TRUE(request.ParseFromString(bytes));
    calls.push_back(name + KeysOf(request));
    last[name] = bytes;
    std::deque<Answer>& prepared = answers[name];
    Response response;
    if (!prepared.empty()) {
      const Answer answer = std::move(prepared.front());
      prepared.pop_front();
      if (const auto* status = std::get_if<Status>(&answer)) return done(*status, {});
      if (const auto* encoded = std::get_if<std::string>(&answer)) return done({}, *encoded);
      *response.mutable_region_error() = std::get<errorpb::Error>(answer);
    } else {
      Act(request, &response);
    }
    done({}, response.SerializeAsString());
  }
  template <class Request>
  static std::string KeysOf(const Request& request) {
    std::string text;
    if constexpr (requires { request.mutations(); }) {
      for (const auto& mutation : request.mutations()) text += " " + mutation.key();
    } else if constexpr (requires { request.keys(); }) {
      for (const auto& key : request.keys()) text += " " + key;
    } else if constexpr (requires { request.primary_key(); }) {
      text = " " + request.primary_key();
    } else if constexpr (requires { request.primary_lock(); }) {
      text = " " + request.primary_lock();
    } else {
      text = " " + request.start_key();
    }
    return text;
  }
  template <class Request, class Response>
  void Act(const Request& request, Response* response) {
    if constexpr (std::is_same_v<Request, kvrpcpb::BatchGetRequest>) {
      for (const std::string& key : request.keys()) {
        if (data.contains(key)) Add(key, response->add_pairs());
      }
    } else if constexpr (std::is_same_v<Request, kvrpcpb::PessimisticLockRequest>) {
      for (const auto& mutation : request.mutations()) {
        const auto found = data.find(mutation.key());
        response->add_values(found == data.end() ? "" : found->second);
        response->add_not_founds(found == data.end());
      }
    } else if constexpr (std::is_same_v<Request, kvrpcpb::ScanRequest>) {
      if (request.reverse()) return ScanDown(request, response);
      for (auto it = data.lower_bound(request.start_key()); it != data.end(); ++it) {
        if (!request.end_key().empty() && it->first >= request.end_key()) break;
        if (request.context().region_id() == 1 && it->first >= "m") break;
        if (response->pairs_size() == static_cast<int>(request.limit())) break;
        Add(it->first, response->add_pairs());
      }
    } else if constexpr (std::is_same_v<Request, kvrpcpb::ScanLockRequest>) {
      for (auto it = locks.lower_bound(request.start_key()); it != locks.end(); ++it) {
        if (request.context().region_id() == 1 && !one_region && it->first >= "m") break;
        if (it->second.lock_version() > request.max_version()) continue;
        if (response->locks_size() == static_cast<int>(request.limit())) break;
        *response->add_locks() = it->second;
      }
    } else if constexpr (std::is_same_v<Request, kvrpcpb::ResolveLockRequest> ||
                         std::is_same_v<Request, kvrpcpb::PessimisticRollbackRequest>) {
      for (const std::string& key : request.keys()) {
        const auto lock = locks.find(key);
        if (lock == locks.end() || lock->second.lock_version() != request.start_version()) continue;
        locks.erase(lock);
      }
    }
  }
  void ScanDown(const kvrpcpb::ScanRequest& request, kvrpcpb::ScanResponse* response) const {
    auto it = request.start_key().empty() ? data.end() : data.lower_bound(request.start_key());
    while (it != data.begin() && response->pairs_size() < static_cast<int>(request.limit())) {
      --it;
      if (it->first < request.end_key()) break;
      if (request.context().region_id() == 2 && it->first < "m") break;
      Add(it->first, response->add_pairs());
    }
  }
  void Add(const std::string& key, kvrpcpb::KvPair* pair) const {
    pair->set_key(key);
    pair->set_value(data.at(key));
  }
};

}  // namespace rutile::client
