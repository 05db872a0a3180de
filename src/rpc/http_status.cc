#include "rpc/http_status.h"

#include <httplib.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "rpc/node_metrics.h"
#include "rpc/status_page.h"
#include "rpc/wire/listen_address.h"

namespace rutile::rpc {
namespace {

constexpr std::size_t kThreads = 2;
// A client that is slower than this does not keep others from being served.
constexpr int kClientTimeoutSeconds = 2;
// A node that does not answer for so long is stuck, most likely with its disk.
constexpr auto kStatusTimeout = std::chrono::seconds(3);

constexpr char kText[] = "text/plain; charset=utf-8";
constexpr char kMetrics[] = "text/plain; version=0.0.4; charset=utf-8";

void SplitAddress(const std::string& address, std::string* host, int* port) {
  const std::size_t colon = address.rfind(':');
  *host = address.substr(0, colon);
  if (host->front() == '[' && host->back() == ']') *host = host->substr(1, host->size() - 2);
  *port = std::atoi(address.c_str() + colon + 1);
}

// Holds what a node says until the thread that asked picks it up, or has gone away.
class Mailbox {
 public:
  void Put(std::string text) {
    const std::lock_guard lock(mutex_);
    text_ = std::move(text);
    changed_.notify_all();
  }
  std::optional<std::string> Take() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kStatusTimeout, [this] { return text_.has_value(); });
    return std::move(text_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<std::string> text_;
};

void AnswerStatus(node::Node& node, httplib::Response& response) {
  const auto mailbox = std::make_shared<Mailbox>();
  node.CollectStatus([mailbox](std::string json) { mailbox->Put(std::move(json)); });
  const std::optional<std::string> json = mailbox->Take();
  if (!json) {
    response.status = 503;
    return response.set_content("the node does not answer; is its disk stuck?\n", kText);
  }
  response.set_content(*json, "application/json");
}

}  // namespace

class HttpStatusServer::Impl {
 public:
  Impl(node::Node& node, std::function<bool()> serving, std::function<std::string()> more_metrics)
      : node_(node), serving_(std::move(serving)), more_metrics_(std::move(more_metrics)) {
    Configure();
    AddPages();
  }
  ~Impl() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  Status Listen(const std::string& address) {
    RUTILE_RETURN_IF_ERROR(CheckListenAddress(address));
    std::string host;
    int port = 0;
    SplitAddress(address, &host, &port);
    const bool any = port == 0;
    if (any) port = server_.bind_to_any_port(host);
    if (port < 0 || (!any && !server_.bind_to_port(host, port))) {
      return ExplainBindFailure(address);
    }
    port_ = static_cast<std::uint16_t>(port);
    thread_ = std::thread([this] {
      server_.listen_after_bind();
      ended_ = true;
    });
    // To stop a server that does not run yet is a no-op, and it would then run for ever.
    while (!server_.is_running() && !ended_) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return {};
  }
  std::uint16_t port() const { return port_; }

 private:
  void Configure() {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    // The library's own choice would let a second process listen on the same port.
    server_.set_socket_options([](socket_t socket) {
      const int on = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    // A connection that is kept open takes a thread.
    server_.set_keep_alive_max_count(1);
    server_.set_read_timeout(kClientTimeoutSeconds);
    server_.set_write_timeout(kClientTimeoutSeconds);
    server_.set_payload_max_length(1 << 10);
    server_.set_default_headers(
        {{"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"}});
  }

  void AddPages() {
    using Request = httplib::Request;
    using Response = httplib::Response;
    server_.Get("/", [](const Request&, Response& response) {
      response.set_content(kStatusPage, "text/html; charset=utf-8");
    });
    server_.Get("/status",
                [this](const Request&, Response& response) { AnswerStatus(node_, response); });
    server_.Get("/metrics", [this](const Request&, Response& response) {
      std::string text = RenderNodeMetrics(node_);
      if (more_metrics_) text += more_metrics_();
      response.set_content(text, kMetrics);
    });
    server_.Get("/livez",
                [](const Request&, Response& response) { response.set_content("ok\n", kText); });
    server_.Get("/readyz", [this](const Request&, Response& response) {
      const bool ready = serving_();
      response.status = ready ? 200 : 503;
      response.set_content(ready ? "ok\n" : "not serving\n", kText);
    });
  }

  node::Node& node_;
  const std::function<bool()> serving_;
  const std::function<std::string()> more_metrics_;
  httplib::Server server_;
  std::uint16_t port_ = 0;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

HttpStatusServer::HttpStatusServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpStatusServer::~HttpStatusServer() = default;

Result<std::unique_ptr<HttpStatusServer>> HttpStatusServer::Start(
    const std::string& listen, node::Node& node, std::function<bool()> serving,
    std::function<std::string()> more_metrics) {
  auto impl = std::make_unique<Impl>(node, std::move(serving), std::move(more_metrics));
  RUTILE_RETURN_IF_ERROR(impl->Listen(listen));
  return std::unique_ptr<HttpStatusServer>(new HttpStatusServer(std::move(impl)));
}

std::uint16_t HttpStatusServer::port() const { return impl_->port(); }

}  // namespace rutile::rpc
