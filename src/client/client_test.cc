#include "client/client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"
#include "rpc/testing.h"

namespace rutile::client {
namespace {

// A server that is all of a cluster, as far as these tests go: one region, on itself.
class Cluster {
 public:
  Cluster() {
    rpc::Methods methods;
    methods.Handle<pdpb::GetRegionRequest, pdpb::GetRegionResponse>(
        "/pdpb.PD/GetRegion",
        [](const pdpb::GetRegionRequest&, pdpb::GetRegionResponse* response, rpc::Done done) {
          response->mutable_region()->set_id(2);
          metapb::Peer* peer = response->mutable_region()->add_peers();
          peer->set_id(11);
          peer->set_store_id(1);
          *response->mutable_leader() = *peer;
          done();
        });
    methods.Handle<pdpb::GetStoreRequest, pdpb::GetStoreResponse>(
        "/pdpb.PD/GetStore",
        [this](const pdpb::GetStoreRequest&, pdpb::GetStoreResponse* response, rpc::Done done) {
          response->mutable_store()->set_address(address());
          done();
        });
    methods.Handle<pdpb::GetMinTSRequest, pdpb::GetMinTSResponse>(
        "/pdpb.PD/GetMinTS",
        [](const pdpb::GetMinTSRequest&, pdpb::GetMinTSResponse* response, rpc::Done done) {
          response->mutable_timestamp()->set_physical(4711);
          done();
        });
    methods.Handle<kvrpcpb::RawPutRequest, kvrpcpb::RawPutResponse>(
        "/tikvpb.Tikv/RawPut",
        [this](const kvrpcpb::RawPutRequest& request, kvrpcpb::RawPutResponse*, rpc::Done done) {
          const std::lock_guard lock(mutex_);
          pairs_[request.key()] = request.value();
          done();
        });
    methods.Handle<kvrpcpb::RawGetRequest, kvrpcpb::RawGetResponse>(
        "/tikvpb.Tikv/RawGet", [this](const kvrpcpb::RawGetRequest& request,
                                      kvrpcpb::RawGetResponse* response, rpc::Done done) {
          const std::lock_guard lock(mutex_);
          const auto found = pairs_.find(request.key());
          response->set_not_found(found == pairs_.end());
          if (found != pairs_.end()) response->set_value(found->second);
          done();
        });
    server_ = rpc::StartLocal(std::move(methods));
  }
  ~Cluster() { server_->Stop(Seconds(60)); }

  std::string address() const { return rpc::LocalAddress(*server_); }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> pairs_;
  std::unique_ptr<rpc::Server> server_;
};

std::unique_ptr<Client> ClientOf(const std::string& address) {
  return Client::Open({.endpoints = {address}}).value();
}

TEST(Client, WritesAndReads) {
  Cluster cluster;
  const auto client = ClientOf(cluster.address());
  ASSERT_TRUE(Await(client->raw(), &RawClient::Put, "k", "v", std::uint64_t{0}).ok());
  EXPECT_EQ(Await(client->raw(), &RawClient::Get, "k").value(), "v");
  EXPECT_EQ(Await(client->raw(), &RawClient::Get, "absent").value(), std::nullopt);

  const auto begun = Await<TxnResult<std::shared_ptr<Transaction>>>(
      [&](auto done) { client->txn().Begin(std::move(done)); });
  const auto* transaction = std::get_if<std::shared_ptr<Transaction>>(&begun);
  ASSERT_NE(transaction, nullptr);
  EXPECT_EQ(PhysicalMillis((*transaction)->start()), 4711u);
}

TEST(Client, AllThatWasStartedIsAnsweredWhenItIsGone) {
  Cluster cluster;
  std::atomic<int> answered = 0;
  for (int round = 1; round <= 20; ++round) {
    auto client = ClientOf(cluster.address());
    for (int i = 0; i < 10; ++i) {
      client->raw().Get("k", [&answered](const Result<std::optional<std::string>>& value) {
        answered += value.ok() ? 1 : 0;
      });
      client->txn().Begin([&answered](const TxnResult<std::shared_ptr<Transaction>>& begun) {
        answered += begun.index() == 0 ? 1 : 0;
      });
    }
    client = nullptr;
    EXPECT_EQ(answered, round * 20);
  }
}

TEST(Client, CallsOfTheProgramsOwnGoByItsConnections) {
  Cluster cluster;
  const auto client = ClientOf(cluster.address());
  const auto channel = client->connect()(cluster.address());
  const Status status = Await<Status>([&](const auto& done) {
    channel->Call("/pdpb.PD/GetStore", "", Seconds(60),
                  [done](Status outcome, const std::string&) { done(std::move(outcome)); });
  });
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST(Client, SaysWhyNobodyAnswers) {
  std::string address;
  {
    const Cluster gone;
    address = gone.address();
  }
  const auto client =
      Client::Open({.endpoints = {address}, .raw = {.timeout = Milliseconds(100)}}).value();
  const Status status = Await(client->raw(), &RawClient::Get, "k").status();
  EXPECT_NE(status.message().find(address), std::string::npos) << status.ToString();
}

TEST(Client, IsNotMadeWithoutAnAddress) {
  EXPECT_EQ(Client::Open({}).status().code(), Code::kInvalidArgument);
  const Status status = Client::Open({.endpoints = {"127.0.0.1:1", "nonsense"}}).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_NE(status.message().find("nonsense"), std::string::npos) << status.ToString();
}

}  // namespace
}  // namespace rutile::client
