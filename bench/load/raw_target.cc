#include <map>
#include <optional>
#include <utility>

#include "bench/load/pending.h"
#include "bench/load/routes.h"
#include "bench/load/target.h"
#include "proto/tikvpb.pb.h"

namespace rutile::bench {
namespace {

constexpr Duration kBackoff = Milliseconds(10);

void FillContext(const Route& route, kvrpcpb::Context* context) {
  const Route::Peer& peer = route.peers[route.target];
  context->set_region_id(route.region);
  context->mutable_region_epoch()->set_conf_ver(route.conf_ver);
  context->mutable_region_epoch()->set_version(route.version);
  context->mutable_peer()->set_id(peer.id);
  context->mutable_peer()->set_store_id(peer.store);
}

void Fill(const PendingOp& op, const Route& route, kvrpcpb::RawPutRequest* request) {
  FillContext(route, request->mutable_context());
  request->set_key(op.key);
  request->set_value(op.value);
}

void Fill(const PendingOp& op, const Route& route, kvrpcpb::RawGetRequest* request) {
  FillContext(route, request->mutable_context());
  request->set_key(op.key);
}

void Fill(const PendingOp& op, const Route& route, kvrpcpb::RawScanRequest* request) {
  FillContext(route, request->mutable_context());
  request->set_start_key(op.key);
  request->set_limit(op.limit);
}

// What an answer says, whatever was asked.
struct Answer {
  const errorpb::Error* region_error = nullptr;
  std::string error = {};
  bool found = true;
};

template <class Response>
const errorpb::Error* RegionError(const Response& response) {
  return response.has_region_error() ? &response.region_error() : nullptr;
}

Answer ToAnswer(const kvrpcpb::RawPutResponse& response) {
  return {.region_error = RegionError(response), .error = response.error()};
}

Answer ToAnswer(const kvrpcpb::RawGetResponse& response) {
  return {.region_error = RegionError(response),
          .error = response.error(),
          .found = !response.not_found()};
}

Answer ToAnswer(const kvrpcpb::RawScanResponse& response) {
  Answer answer{.region_error = RegionError(response), .found = response.kvs_size() > 0};
  if (answer.found) answer.error = response.kvs(0).error().abort();
  return answer;
}

// Routing and trying again; how requests travel is left to the derived classes.
class RawTarget : public Target {
 public:
  RawTarget(const TargetOptions& options, H2Client& client)
      : options_(options), client_(client), routes_(client, options.endpoints) {}

  Status Connect() override {
    const Instant deadline = client_.Now() + options_.op_timeout;
    while (true) {
      std::optional<Status> result;
      routes_.Refresh([&](const Status& status) { result = status; });
      while (!result) client_.Poll(Seconds(1));
      if (result->ok() || client_.Now() >= deadline) return *result;
      bool waited = false;
      client_.RunAfter(kBackoff, [&waited] { waited = true; });
      while (!waited) client_.Poll(kBackoff);
    }
  }

  void Start(const Op& op, OpDone done) override {
    Route(pending_.Take(op, std::move(done), client_.Now() + options_.op_timeout));
  }

  std::uint64_t retries() const override { return retries_; }

 protected:
  virtual void Send(PendingOp* op, const bench::Route& route, std::uint64_t store,
                    H2Peer& peer) = 0;

  // The request may or may not have been carried out.
  void OnLost(PendingOp* op, const Status& why) {
    const bool elsewhere =
        why.code() == Code::kUnavailable || why.code() == Code::kDeadlineExceeded;
    if (!elsewhere) return pending_.Finish(op, why, false);
    Redirect(op, 0);
    RetryLater(op, why);
  }

  void OnAnswer(PendingOp* op, const Answer& answer) {
    if (answer.region_error != nullptr) return OnRegionError(op, *answer.region_error);
    if (!answer.error.empty()) {
      return pending_.Finish(op, Status(Code::kInternal, answer.error), false);
    }
    pending_.Finish(op, {}, answer.found);
  }

  H2Client& client() { return client_; }
  const TargetOptions& options() const { return options_; }

 private:
  void Route(PendingOp* op) {
    bench::Route* route = routes_.Find(op->key);
    if (route == nullptr) return RetryWithNewRoutes(op, Status(Code::kUnavailable, "no region"));
    const bench::Route::Peer& to = route->peers[route->target];
    H2Peer* peer = routes_.StoreAt(to.store);
    if (peer == nullptr) return RetryWithNewRoutes(op, Status(Code::kUnavailable, "no store"));
    op->sent_to = to.id;
    op->sent = client_.Now();
    Send(op, *route, to.store, *peer);
  }

  // Asks `leader` from now on, or, when that is 0 and nobody has moved on yet, the next peer.
  void Redirect(PendingOp* op, std::uint64_t leader) {
    bench::Route* route = routes_.Find(op->key);
    if (route == nullptr) return;
    if (leader == 0) {
      if (route->peers[route->target].id != op->sent_to) return;
      route->target = (route->target + 1) % route->peers.size();
      return;
    }
    for (std::size_t i = 0; i < route->peers.size(); ++i) {
      if (route->peers[i].id == leader) route->target = i;
    }
  }

  void OnRegionError(PendingOp* op, const errorpb::Error& error) {
    const Status why(Code::kUnavailable, "region error: " + error.message());
    if (error.has_not_leader()) {
      const std::uint64_t leader = error.not_leader().leader().id();
      Redirect(op, leader);
      return RetryLater(op, why, leader == 0 ? kBackoff : Duration(0));
    }
    if (error.has_epoch_not_match() || error.has_region_not_found() ||
        error.has_key_not_in_region() || error.has_store_not_match()) {
      return RetryWithNewRoutes(op, why);
    }
    const bool later = error.has_server_is_busy() || error.has_stale_command() ||
                       error.has_read_index_not_ready() || error.has_data_is_not_ready() ||
                       error.has_region_not_initialized() || error.has_undetermined_result() ||
                       error.has_proposal_in_merging_mode();
    if (!later) return pending_.Finish(op, Status(Code::kInternal, why.message()), false);
    RetryLater(op, why);
  }

  void RetryLater(PendingOp* op, const Status& why, Duration backoff = kBackoff) {
    if (client_.Now() >= op->deadline) return pending_.Finish(op, why, false);
    ++retries_;
    client_.RunAfter(backoff, [this, op] { Route(op); });
  }

  void RetryWithNewRoutes(PendingOp* op, const Status& why) {
    if (client_.Now() >= op->deadline) return pending_.Finish(op, why, false);
    ++retries_;
    routes_.Refresh(
        [this, op](const Status&) { client_.RunAfter(kBackoff, [this, op] { Route(op); }); });
  }

  const TargetOptions options_;
  H2Client& client_;
  Routes routes_;
  PendingOps pending_;
  std::uint64_t retries_ = 0;
};

class UnaryTarget final : public RawTarget {
 public:
  using RawTarget::RawTarget;

 private:
  void Send(PendingOp* op, const bench::Route& route, std::uint64_t, H2Peer& peer) override {
    switch (op->kind) {
      case OpKind::kPut: return Call(op, route, peer, "/tikvpb.Tikv/RawPut", puts_);
      case OpKind::kGet: return Call(op, route, peer, "/tikvpb.Tikv/RawGet", gets_);
      case OpKind::kScan: return Call(op, route, peer, "/tikvpb.Tikv/RawScan", scans_);
    }
  }

  // Messages of one kind of call, used again and again.
  template <class Request, class Response>
  struct Messages {
    UnaryTarget* target = nullptr;
    Request request = {};
    Response response = {};
  };

  template <class Request, class Response>
  void Call(PendingOp* op, const bench::Route& route, H2Peer& peer, std::string_view path,
            Messages<Request, Response>& messages) {
    Fill(*op, route, &messages.request);
    messages.request.SerializeToString(&buffer_);
    // Two words are captured, not three: std::function keeps them without an allocation.
    peer.Call(path, buffer_, [&messages, op](const Status& status, std::string_view bytes) {
      UnaryTarget& self = *messages.target;
      if (!status.ok()) return self.OnLost(op, status);
      if (!messages.response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return self.OnLost(op, Status(Code::kCorruption, "the answer cannot be read"));
      }
      self.OnAnswer(op, ToAnswer(messages.response));
    });
  }

  Messages<kvrpcpb::RawPutRequest, kvrpcpb::RawPutResponse> puts_{.target = this};
  Messages<kvrpcpb::RawGetRequest, kvrpcpb::RawGetResponse> gets_{.target = this};
  Messages<kvrpcpb::RawScanRequest, kvrpcpb::RawScanResponse> scans_{.target = this};
  std::string buffer_;
};

// A stream to each store. What gathers within one turn of the client leaves in messages of at most
// `batch` requests.
class BatchTarget final : public RawTarget {
 public:
  BatchTarget(const TargetOptions& options, H2Client& client) : RawTarget(options, client) {
    Sweep();
  }

 private:
  struct Link final : H2StreamEvents {
    explicit Link(BatchTarget& owner) : target(owner) {}
    void OnMessage(std::string_view message) override { target.OnMessage(*this, message); }
    void OnClosed(const Status& status) override { target.OnClosed(*this, status); }

    BatchTarget& target;
    H2Stream stream = {};
    tikvpb::BatchCommandsRequest gathered = {};
    std::map<std::uint64_t, PendingOp*> waiting = {};  // By request id.
  };

  void Send(PendingOp* op, const bench::Route& route, std::uint64_t store, H2Peer& peer) override {
    std::unique_ptr<Link>& link = links_[store];
    if (!link) link = std::make_unique<Link>(*this);
    if (!link->stream) link->stream = peer.OpenStream("/tikvpb.Tikv/BatchCommands", link.get());
    tikvpb::BatchCommandsRequest::Request* request = link->gathered.add_requests();
    switch (op->kind) {
      case OpKind::kPut: Fill(*op, route, request->mutable_rawput()); break;
      case OpKind::kGet: Fill(*op, route, request->mutable_rawget()); break;
      case OpKind::kScan: Fill(*op, route, request->mutable_rawscan()); break;
    }
    link->gathered.add_request_ids(++last_id_);
    link->waiting.emplace(last_id_, op);
    if (static_cast<std::size_t>(link->gathered.requests_size()) >= options().batch) {
      return Flush(*link);
    }
    if (flush_planned_) return;
    flush_planned_ = true;
    client().RunAfter(Duration(0), [this] {
      flush_planned_ = false;
      for (const auto& [id, gathering] : links_) Flush(*gathering);
    });
  }

  void Flush(Link& link) {
    if (link.gathered.requests_size() == 0) return;
    link.gathered.SerializeToString(&buffer_);
    link.gathered.Clear();
    if (link.stream) link.stream.Send(buffer_);
  }

  void OnMessage(Link& link, std::string_view message) {
    if (!answers_.ParseFromArray(message.data(), static_cast<int>(message.size())) ||
        answers_.responses_size() != answers_.request_ids_size()) {
      return;  // Whoever waits for it runs into the timeout.
    }
    for (int i = 0; i < answers_.responses_size(); ++i) {
      const auto found = link.waiting.find(answers_.request_ids(i));
      if (found == link.waiting.end()) continue;  // Given up meanwhile.
      PendingOp* op = found->second;
      link.waiting.erase(found);
      const tikvpb::BatchCommandsResponse::Response& response = answers_.responses(i);
      if (response.has_rawput()) {
        OnAnswer(op, ToAnswer(response.rawput()));
      } else if (response.has_rawget()) {
        OnAnswer(op, ToAnswer(response.rawget()));
      } else if (response.has_rawscan()) {
        OnAnswer(op, ToAnswer(response.rawscan()));
      } else {
        OnLost(op, Status(Code::kUnimplemented, "the server does not know the command"));
      }
    }
  }

  void OnClosed(Link& link, const Status& status) {
    link.stream = {};
    link.gathered.Clear();
    std::map<std::uint64_t, PendingOp*> lost;
    lost.swap(link.waiting);
    for (const auto& [id, op] : lost) OnLost(op, status);
  }

  // Gives up requests without an answer, as the client does for unary calls.
  void Sweep() {
    const Instant oldest = client().Now() - client().options().call_timeout;
    for (const auto& [store, link] : links_) {
      while (!link->waiting.empty() && link->waiting.begin()->second->sent < oldest) {
        PendingOp* op = link->waiting.begin()->second;
        link->waiting.erase(link->waiting.begin());
        OnLost(op, Status(Code::kDeadlineExceeded, "no answer in time"));
      }
    }
    client().RunAfter(Milliseconds(100), [this] { Sweep(); });
  }

  std::map<std::uint64_t, std::unique_ptr<Link>> links_;
  bool flush_planned_ = false;
  std::uint64_t last_id_ = 0;
  tikvpb::BatchCommandsResponse answers_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Target> NewRawTarget(const TargetOptions& options, H2Client& client) {
  if (options.kind == TargetKind::kRawBatch) return std::make_unique<BatchTarget>(options, client);
  return std::make_unique<UnaryTarget>(options, client);
}

}  // namespace rutile::bench
