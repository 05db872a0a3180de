#include "bench/load/runner.h"

#include <mutex>

#include "proto/etcd.pb.h"
#include "proto/pdpb.pb.h"
#include "proto/tikvpb.pb.h"
#include "rpc/testing.h"

namespace rutile::bench {
namespace {

// Two stores, of which the second leads the only region, while placement believes in the first.
class FakeCluster {
 public:
  FakeCluster() {
    for (std::uint64_t store = 1; store <= 2; ++store) {
      servers_.push_back(rpc::StartLocal(Serve(store)));
    }
    const std::lock_guard lock(mutex_);
    for (const auto& server : servers_) addresses_.push_back(rpc::LocalAddress(*server));
  }
  ~FakeCluster() {
    for (const auto& server : servers_) server->Stop(Duration(0));
  }

  std::string Address(std::uint64_t store) {
    const std::lock_guard lock(mutex_);
    return addresses_[store - 1];
  }
  std::map<std::string, std::string> Data() {
    const std::lock_guard lock(mutex_);
    return data_;
  }
  // The next `count` requests get errors: of the region, or, if negative, of the transport.
  void FailNext(int count) {
    const std::lock_guard lock(mutex_);
    fail_ = count;
  }
  int most_in_a_message() {
    const std::lock_guard lock(mutex_);
    return most_in_a_message_;
  }

 private:
  // What is wrong with a request to `store`, if anything. Requires mutex_.
  bool Refuse(std::uint64_t store, const kvrpcpb::Context& context, errorpb::Error* error) {
    EXPECT_EQ(context.region_id(), 2u);
    EXPECT_EQ(context.region_epoch().version(), 5u);
    EXPECT_EQ(context.region_epoch().conf_ver(), 6u);
    EXPECT_EQ(context.peer().store_id(), store);
    EXPECT_EQ(context.peer().id(), 10 + store);
    if (store != 2) {
      error->mutable_not_leader()->mutable_leader()->set_id(12);
      return true;
    }
    if (fail_ <= 0) return false;
    --fail_;
    fail_ % 2 == 0 ? error->mutable_epoch_not_match()->Clear()
                   : error->mutable_server_is_busy()->Clear();
    return true;
  }

  void Handle(std::uint64_t store, const kvrpcpb::RawPutRequest& request,
              kvrpcpb::RawPutResponse* response) {
    const std::lock_guard lock(mutex_);
    errorpb::Error error;
    if (Refuse(store, request.context(), &error)) {
      *response->mutable_region_error() = error;
    } else {
      data_[request.key()] = request.value();
    }
  }
  void Handle(std::uint64_t store, const kvrpcpb::RawGetRequest& request,
              kvrpcpb::RawGetResponse* response) {
    const std::lock_guard lock(mutex_);
    errorpb::Error error;
    if (Refuse(store, request.context(), &error)) {
      *response->mutable_region_error() = error;
    } else {
      response->set_not_found(!data_.contains(request.key()));
    }
  }
  void Handle(std::uint64_t store, const kvrpcpb::RawScanRequest& request,
              kvrpcpb::RawScanResponse* response) {
    const std::lock_guard lock(mutex_);
    errorpb::Error error;
    if (Refuse(store, request.context(), &error)) {
      *response->mutable_region_error() = error;
      return;
    }
    auto it = data_.lower_bound(request.start_key());
    for (std::uint32_t i = 0; i < request.limit() && it != data_.end(); ++i, ++it) {
      response->add_kvs()->set_key(it->first);
    }
  }

  template <class Request, class Response>
  void Unary(rpc::Methods& methods, const char* method, std::uint64_t store) {
    methods.Handle<Request, Response>(
        method, [this, store](const Request& request, Response* response, rpc::Done done) {
          {
            const std::lock_guard lock(mutex_);
            if (fail_ < 0 && store == 2) {
              ++fail_;
              return done(Status(Code::kUnavailable, "lost"));
            }
          }
          Handle(store, request, response);
          done();
        });
  }

  class Batches final : public rpc::TypedStreamHandler<tikvpb::BatchCommandsRequest> {
   public:
    Batches(FakeCluster& cluster, std::uint64_t store, std::shared_ptr<rpc::StreamSender> sender)
        : cluster_(cluster), store_(store), sender_(std::move(sender)) {}
    void OnTyped(const tikvpb::BatchCommandsRequest& request) override {
      tikvpb::BatchCommandsResponse response;
      for (int i = 0; i < request.requests_size(); ++i) {
        const tikvpb::BatchCommandsRequest::Request& command = request.requests(i);
        tikvpb::BatchCommandsResponse::Response* answer = response.add_responses();
        response.add_request_ids(request.request_ids(i));
        if (command.has_rawput()) {
          cluster_.Handle(store_, command.rawput(), answer->mutable_rawput());
        } else if (command.has_rawget()) {
          cluster_.Handle(store_, command.rawget(), answer->mutable_rawget());
        } else {
          cluster_.Handle(store_, command.rawscan(), answer->mutable_rawscan());
        }
      }
      {
        const std::lock_guard lock(cluster_.mutex_);
        cluster_.most_in_a_message_ =
            std::max(cluster_.most_in_a_message_, request.requests_size());
        if (cluster_.fail_ < 0) {
          ++cluster_.fail_;
          return sender_->Finish(Status(Code::kUnavailable, "lost"));
        }
      }
      sender_->Send(response);
    }
    void OnHalfClosed() override { sender_->Finish(Status()); }
    void OnClosed(const Status&) override {}

   private:
    FakeCluster& cluster_;
    const std::uint64_t store_;
    const std::shared_ptr<rpc::StreamSender> sender_;
  };

  void Placement(rpc::Methods& methods) {
    methods.Handle<pdpb::GetMembersRequest, pdpb::GetMembersResponse>(
        "/pdpb.PD/GetMembers", [this](const auto&, auto* response, rpc::Done done) {
          response->mutable_header()->set_cluster_id(77);
          response->mutable_leader()->add_client_urls("http://" + Address(1));
          *response->add_members() = response->leader();
          done();
        });
    methods.Handle<pdpb::ScanRegionsRequest, pdpb::ScanRegionsResponse>(
        "/pdpb.PD/ScanRegions", [](const auto& request, auto* response, rpc::Done done) {
          EXPECT_EQ(request.header().cluster_id(), 77u);
          pdpb::Region* region = response->add_regions();
          region->mutable_region()->set_id(2);
          region->mutable_region()->mutable_region_epoch()->set_version(5);
          region->mutable_region()->mutable_region_epoch()->set_conf_ver(6);
          for (std::uint64_t store = 1; store <= 2; ++store) {
            metapb::Peer* peer = region->mutable_region()->add_peers();
            peer->set_id(10 + store);
            peer->set_store_id(store);
          }
          region->mutable_leader()->set_id(11);
          done();
        });
    methods.Handle<pdpb::GetAllStoresRequest, pdpb::GetAllStoresResponse>(
        "/pdpb.PD/GetAllStores", [this](const auto&, auto* response, rpc::Done done) {
          for (std::uint64_t store = 1; store <= 2; ++store) {
            metapb::Store* added = response->add_stores();
            added->set_id(store);
            added->set_address(Address(store));
          }
          done();
        });
  }

  rpc::Methods Serve(std::uint64_t store) {
    rpc::Methods methods;
    Placement(methods);
    Unary<kvrpcpb::RawPutRequest, kvrpcpb::RawPutResponse>(methods, "/tikvpb.Tikv/RawPut", store);
    Unary<kvrpcpb::RawGetRequest, kvrpcpb::RawGetResponse>(methods, "/tikvpb.Tikv/RawGet", store);
    Unary<kvrpcpb::RawScanRequest, kvrpcpb::RawScanResponse>(methods, "/tikvpb.Tikv/RawScan",
                                                             store);
    methods.HandleStream<tikvpb::BatchCommandsRequest>(
        "/tikvpb.Tikv/BatchCommands",
        [this, store](const std::string&, std::shared_ptr<rpc::StreamSender> sender) {
          return std::make_unique<Batches>(*this, store, std::move(sender));
        });
    return methods;
  }

  std::mutex mutex_;
  std::vector<std::string> addresses_;
  std::map<std::string, std::string> data_;
  int fail_ = 0;
  int most_in_a_message_ = 0;
  std::vector<std::unique_ptr<rpc::Server>> servers_;
};

LoadOptions OptionsFor(FakeCluster& cluster, TargetKind kind) {
  LoadOptions options;
  options.target.kind = kind;
  // Nobody is at the first one.
  options.target.endpoints = {"127.0.0.1:1", cluster.Address(2)};
  options.workload.keys = 40;
  options.concurrency = 16;
  options.warmup = Duration(0);
  options.duration = Milliseconds(50);
  return options;
}

class RawLoad : public ::testing::TestWithParam<TargetKind> {};

TEST_P(RawLoad, FindsTheLeaderAndWritesEveryKey) {
  FakeCluster cluster;
  LoadOptions options = OptionsFor(cluster, GetParam());
  options.preload = true;
  const LoadReport report = RunLoad(options).value();
  EXPECT_GT(report.latency.count(), 0u);
  EXPECT_EQ(report.errors, 0u) << report.first_error;
  EXPECT_EQ(report.retries, 0u);  // Placement's mistake was found out while loading.
  EXPECT_GE(report.elapsed, options.duration);
  EXPECT_LE(report.latency.max(), report.elapsed);
  EXPECT_LE(report.max_gap, report.elapsed);
  EXPECT_GT(report.max_gap, Duration(0));
  const std::map<std::string, std::string> data = cluster.Data();
  EXPECT_EQ(data.size(), 40u);
  for (const auto& [key, value] : data) EXPECT_EQ(value.size(), 256u) << key;
}

TEST_P(RawLoad, ReadsTellWhatIsNotThere) {
  FakeCluster cluster;
  LoadOptions options = OptionsFor(cluster, GetParam());
  for (const OpKind kind : {OpKind::kGet, OpKind::kScan}) {
    options.workload.kind = kind;
    const LoadReport empty = RunLoad(options).value();
    EXPECT_GT(empty.not_found, 0u);
    EXPECT_EQ(empty.not_found, empty.latency.count());
  }
  options.preload = true;
  for (const OpKind kind : {OpKind::kGet, OpKind::kScan}) {
    options.workload.kind = kind;
    const LoadReport full = RunLoad(options).value();
    EXPECT_GT(full.latency.count(), 0u);
    EXPECT_EQ(full.not_found, 0u);
  }
}

TEST_P(RawLoad, ErrorsThatPassAreTriedAgain) {
  for (const int failures : {6, -2}) {
    FakeCluster cluster;
    cluster.FailNext(failures);
    const LoadReport report = RunLoad(OptionsFor(cluster, GetParam())).value();
    EXPECT_EQ(report.errors, 0u) << report.first_error;
    EXPECT_GT(report.retries, 2u);
    EXPECT_GT(report.latency.count(), 0u);
  }
}

TEST_P(RawLoad, AnOpenLoopStartsWhatItsRateSays) {
  FakeCluster cluster;
  LoadOptions options = OptionsFor(cluster, GetParam());
  options.rate = 1000;
  const LoadReport report = RunLoad(options).value();
  EXPECT_EQ(report.latency.count(), 50u);
}

INSTANTIATE_TEST_SUITE_P(Apis, RawLoad,
                         ::testing::Values(TargetKind::kRawUnary, TargetKind::kRawBatch));

TEST(RawLoad, MessagesHoldAsManyRequestsAsAllowed) {
  FakeCluster cluster;
  LoadOptions options = OptionsFor(cluster, TargetKind::kRawBatch);
  options.target.batch = 5;
  EXPECT_EQ(RunLoad(options).value().errors, 0u);
  EXPECT_EQ(cluster.most_in_a_message(), 5);
}

TEST(EtcdLoad, PutsAndLinearizableGets) {
  std::mutex mutex;
  std::map<std::string, std::string> data;
  rpc::Methods methods;
  methods.Handle<etcdserverpb::PutRequest, etcdserverpb::PutResponse>(
      "/etcdserverpb.KV/Put", [&](const auto& request, auto*, rpc::Done done) {
        {
          const std::lock_guard lock(mutex);
          data[request.key()] = request.value();
        }
        done();
      });
  methods.Handle<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse>(
      "/etcdserverpb.KV/Range", [&](const auto& request, auto* response, rpc::Done done) {
        EXPECT_FALSE(request.serializable());
        EXPECT_EQ(request.range_end(), "");
        {
          const std::lock_guard lock(mutex);
          if (const auto it = data.find(request.key()); it != data.end()) {
            response->add_kvs()->set_value(it->second);
          }
        }
        done();
      });
  const auto server = rpc::StartLocal(std::move(methods));
  LoadOptions options;
  options.target = {.kind = TargetKind::kEtcd,
                    .endpoints = {"127.0.0.1:1", rpc::LocalAddress(*server)}};
  options.workload.keys = 30;
  options.workload.kind = OpKind::kGet;
  options.preload = true;
  options.warmup = Milliseconds(5);
  options.duration = Milliseconds(50);
  const LoadReport report = RunLoad(options).value();
  EXPECT_GT(report.latency.count(), 0u);
  EXPECT_EQ(report.errors, 0u) << report.first_error;
  EXPECT_EQ(report.not_found, 0u);
  EXPECT_EQ(data.size(), 30u);
}

TEST(RunLoad, WhatCannotRunSaysWhy) {
  LoadOptions options;
  EXPECT_EQ(RunLoad(options).status().code(), Code::kInvalidArgument);  // No endpoint.
  options.target.endpoints = {"127.0.0.1:1"};
  options.target.op_timeout = Milliseconds(50);
  EXPECT_EQ(RunLoad(options).status().code(), Code::kUnavailable);
  options.concurrency = 0;
  EXPECT_EQ(RunLoad(options).status().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace rutile::bench
