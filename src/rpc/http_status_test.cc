#include "rpc/http_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "proto/rutile/node.pb.h"
#include "rpc/node_metrics.h"
#include "rpc/node_service.h"
#include "rpc/node_testing.h"
#include "rpc/status_page.h"

namespace rutile::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class HttpStatusTest : public ::testing::Test {
 protected:
  HttpStatusTest() { node_.AwaitLeaders(); }

  std::unique_ptr<HttpStatusServer> Start() {
    return HttpStatusServer::Start(
               "127.0.0.1:0", node_.node(), [this] { return serving_.load(); },
               [this] { return log_metrics_.Render(); })
        .value();
  }
  struct Answer {
    int status = 0;
    std::string body = {};
    std::string type = {};
  };
  static Answer Get(const HttpStatusServer& server, const std::string& path) {
    httplib::Client client("127.0.0.1", server.port());
    const httplib::Result result = client.Get(path);
    if (!result) return {};
    return {result->status, result->body, result->get_header_value("Content-Type")};
  }

  LocalNet net_;
  TestNode node_{node::ClusterSpec::Single("n1", "127.0.0.1:20160", "t"), "n1", net_};
  LogMetrics log_metrics_;
  std::atomic<bool> serving_ = true;
};

TEST_F(HttpStatusTest, StatusIsTheNodesJson) {
  const auto server = Start();
  const Answer answer = Get(*server, "/status");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.type, "application/json");
  EXPECT_THAT(answer.body,
              AllOf(HasSubstr(R"("name":"n1")"), HasSubstr(R"("placement_leader":"n1")"),
                    HasSubstr(R"("kind":"placement")"), HasSubstr(R"("kind":"keys")"),
                    HasSubstr(R"("role":"leader")"), HasSubstr(R"("durable":)"),
                    HasSubstr(R"("terms":[{"from":2,"term":2}])")));
}

TEST_F(HttpStatusTest, ThePageNeedsNothingFromElsewhere) {
  const auto server = Start();
  const Answer answer = Get(*server, "/");
  EXPECT_EQ(answer.status, 200);
  EXPECT_THAT(answer.type, HasSubstr("text/html"));
  EXPECT_EQ(answer.body, kStatusPage);
  EXPECT_LT(answer.body.size(), 20'000u);
  EXPECT_THAT(answer.body,
              AllOf(Not(HasSubstr("http:")), Not(HasSubstr("https:")), Not(HasSubstr("src="))));
}

TEST_F(HttpStatusTest, ReadinessFollowsTheNode) {
  const auto server = Start();
  EXPECT_EQ(Get(*server, "/readyz").status, 200);
  serving_ = false;
  EXPECT_EQ(Get(*server, "/readyz").status, 503);
  EXPECT_EQ(Get(*server, "/livez").status, 200);
  EXPECT_EQ(Get(*server, "/nothing").status, 404);
}

TEST_F(HttpStatusTest, MetricsAreInPrometheusForm) {
  log_metrics_.OnBatch({.bytes = 100, .writes = 3, .regions = 2, .sync_time = Milliseconds(2)});
  log_metrics_.OnBatch({.bytes = 11, .writes = 1, .sync_time = Milliseconds(2)});
  const auto server = Start();
  const Answer answer = Get(*server, "/metrics");
  EXPECT_THAT(answer.type, HasSubstr("version=0.0.4"));
  EXPECT_THAT(answer.body, AllOf(HasSubstr("# TYPE process_cpu_seconds_total counter\n"),
                                 HasSubstr("\nprocess_resident_memory_bytes "),
                                 Not(HasSubstr("\nprocess_resident_memory_bytes 0\n")),
                                 HasSubstr("tikv_raftstore_region_count{type=\"leader\"} 1\n"),
                                 HasSubstr("tikv_raftstore_region_count{type=\"region\"} 1\n"),
                                 HasSubstr("\nrutile_log_pending_bytes "),
                                 HasSubstr("rutile_engine{name=\"written_sequence\"} "),
                                 HasSubstr("\nrutile_log_batches_total 2\n"),
                                 HasSubstr("\nrutile_log_writes_total 4\n"),
                                 HasSubstr("\nrutile_log_bytes_total 111\n"),
                                 HasSubstr("\nrutile_log_sync_seconds_count 2\n")));
  EXPECT_THAT(answer.body, AllOf(HasSubstr("\nrutile_log_batch_regions_sum 2\n"),
                                 HasSubstr("\nrutile_log_batch_bytes_sum 111\n"),
                                 HasSubstr("\nrutile_log_memory_limit_bytes 268435456\n"),
                                 HasSubstr("\ntikv_raft_entries_caches "),
                                 HasSubstr("\nrutile_poisoned_replicas 0\n"),
                                 HasSubstr("\ntikv_gcworker_autogc_safe_point 0\n"),
                                 HasSubstr("tikv_raftstore_entry_fetches{type=\"hit\"} 0\n"),
                                 HasSubstr("\ntikv_raftstore_apply_log_duration_seconds_count ")));
}

TEST_F(HttpStatusTest, APortInUseIsSaidSo) {
  const auto server = Start();
  const std::string address = "127.0.0.1:" + std::to_string(server->port());
  const auto second = HttpStatusServer::Start(address, node_.node(), [] { return true; });
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(address));
}

TEST_F(HttpStatusTest, ThePortIsFreeAgainAfterTheEnd) {
  auto server = Start();
  Get(*server, "/livez");
  const std::string address = "127.0.0.1:" + std::to_string(server->port());
  server.reset();
  server = HttpStatusServer::Start(address, node_.node(), [] { return true; }).value();
  EXPECT_EQ(Get(*server, "/livez").status, 200);
}

TEST_F(HttpStatusTest, ABadAddressIsSaidSo) {
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:99999", "no.such.host.invalid:0"}) {
    const auto server = HttpStatusServer::Start(address, node_.node(), [] { return true; });
    ASSERT_FALSE(server.ok()) << address;
    EXPECT_EQ(server.status().code(), Code::kInvalidArgument) << server.status().ToString();
  }
}

TEST_F(HttpStatusTest, TheSameOverGrpc) {
  NodeService service(node_.node());
  Methods methods;
  service.Register(&methods);
  const auto server = StartLocal(std::move(methods));
  const auto channel = NewChannel(LocalAddress(*server));
  StatusResponse response;
  const Status status = CallAndWait(*channel, "/rutile.Node/Status", StatusRequest(), &response);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_THAT(response.json(), HasSubstr(R"("name":"n1")"));
}

}  // namespace
}  // namespace rutile::rpc
