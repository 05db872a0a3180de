#include "rpc/grpc_server.h"

#include <google/protobuf/message_lite.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/mutex.h"
#include "rpc/grpc_wire.h"
#include "rpc/listen_address.h"
#include "rpc/send_queue.h"

namespace rutile::rpc {

namespace {

// A call that is answered with `status`, whatever it asks.
class RefusedCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit RefusedCall(const Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

// One unary call: gRPC sees a stream of one message either way, of which the answer and the status
// go out in one operation.
//
// Lives until gRPC is done with it and the handler has completed it, in either order: a client that
// goes away ends the call for gRPC at once, so that a slow handler cannot hold up a stop.
class UnaryCall final : public grpc::ServerGenericBidiReactor, public Done::Call {
 public:
  explicit UnaryCall(const Methods::Unary& method) : method_(method) { StartRead(&received_); }

  void OnReadDone(bool ok) override {
    if (!ok) return FinishOnce(Status(Code::kInvalidArgument, "a call without a message"));
    Message* request = method_.request->New(&arena_);
    if (Status decoded = Decode(&received_, request); !decoded.ok()) return FinishOnce(decoded);
    received_.Clear();
    response_ = method_.response->New(&arena_);
    owners_.store(2, std::memory_order_relaxed);  // Before anybody else can see the call.
    method_.handle(*request, response_, Done(this));
  }

  void OnCancel() override { FinishOnce(Status(Code::kUnavailable, "the caller is gone")); }
  void OnDone() override { Release(); }

  void Complete(Status status) override {
    if (!finished_.exchange(true)) {
      if (status.ok()) status = Encode(*response_, &sent_);
      if (status.ok()) {
        StartWriteAndFinish(&sent_, grpc::WriteOptions(), grpc::Status::OK);
      } else {
        grpc::ServerGenericBidiReactor::Finish(ToGrpc(status));
      }
    }
    Release();
  }

 private:
  // Small requests and their answers are decoded and built without a further allocation.
  static constexpr std::size_t kArenaBytes = 1024;

  void FinishOnce(const Status& status) {
    if (!finished_.exchange(true)) grpc::ServerGenericBidiReactor::Finish(ToGrpc(status));
  }

  // acq_rel: what one owner wrote happens before the other destroys it.
  void Release() {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const Methods::Unary& method_;  // Not used once the handler runs: the server may be gone then.
  std::atomic<int> owners_{1};
  std::atomic<bool> finished_{false};  // Who sets it calls Finish.
  grpc::ByteBuffer received_;
  grpc::ByteBuffer sent_;
  Message* response_ = nullptr;  // In arena_.
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};
};

class StreamCall;

// The streams that are open.
class OpenStreams {
 public:
  // False once stopped.
  bool Add(StreamCall* call, std::shared_ptr<SendQueue> queue) {
    MutexLock lock(mutex_);
    if (stopped_) return false;
    streams_.emplace(call, std::move(queue));
    return true;
  }
  void Remove(StreamCall* call) {
    MutexLock lock(mutex_);
    streams_.erase(call);
  }
  void Stop() {
    std::map<StreamCall*, std::shared_ptr<SendQueue>> streams;
    {
      MutexLock lock(mutex_);
      stopped_ = true;
      streams = streams_;
    }
    for (const auto& [call, queue] : streams) {
      queue->Finish(Status(Code::kUnavailable, "the server is stopping"));
    }
  }

 private:
  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::map<StreamCall*, std::shared_ptr<SendQueue>> streams_ GUARDED_BY(mutex_);
};

// One stream. gRPC owns it until OnDone, which comes after everything else and after the finish
// that only queue_ starts.
class StreamCall final : public grpc::ServerGenericBidiReactor, public SendQueue::Wire {
 public:
  // `context` lives until OnDone.
  StreamCall(const Methods::Stream& method, const grpc::GenericCallbackServerContext& context,
             const ServerOptions& options, OpenStreams& streams)
      : method_(method),
        context_(context),
        pause_bytes_(options.stream_pause_bytes),
        streams_(streams),
        queue_(std::make_shared<SendQueue>(this, options.stream_limit_bytes)) {
    if (!streams_.Add(this, queue_)) {
      queue_->Finish(Status(Code::kUnavailable, "the server is stopping"));
      return;
    }
    handler_ = method_.open(context_.peer(), queue_);
    StartRead(&received_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      if (!context_.IsCancelled()) handler_->OnHalfClosed();
      return;
    }
    Message* message = method_.received->New(&arena_);
    if (Status decoded = Decode(&received_, message); !decoded.ok()) {
      return queue_->Abort(std::move(decoded));
    }
    received_.Clear();
    handler_->OnMessage(*message);
    arena_.Reset();
    if (!queue_->PauseReading(pause_bytes_)) StartRead(&received_);
  }

  void OnWriteDone(bool ok) override {
    const SendQueue::Written written = queue_->OnWritten(ok);
    if (written.resume_reading) StartRead(&received_);
    if (written.drained) handler_->OnDrained();
  }

  void OnCancel() override { queue_->Abort(Status(Code::kUnavailable, "the client is gone")); }

  void OnDone() override {
    if (handler_ != nullptr) handler_->OnClosed(closed_);
    streams_.Remove(this);
    delete this;
  }

  void StartWrite(const grpc::ByteBuffer* buffer) override {
    grpc::ServerGenericBidiReactor::StartWrite(buffer);
  }
  void StartFinish(const Status& status) override {
    closed_ = status;
    Finish(ToGrpc(status));
  }

 private:
  static constexpr std::size_t kArenaBytes = 4096;

  const Methods::Stream& method_;
  const grpc::GenericCallbackServerContext& context_;
  const std::size_t pause_bytes_;
  OpenStreams& streams_;
  const std::shared_ptr<SendQueue> queue_;
  std::unique_ptr<StreamHandler> handler_;
  Status closed_;  // Written before Finish, read in OnDone.
  grpc::ByteBuffer received_;
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};  // Of the message being handled.
};

class Dispatcher final : public grpc::CallbackGenericService {
 public:
  Dispatcher(const ServerOptions& options, Methods methods)
      : options_(options), methods_(std::move(methods)) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    const Methods::Method* method = methods_.Find(context->method());
    if (method == nullptr) {
      return new RefusedCall(
          Status(Code::kUnimplemented, "the call " + context->method() + " is not served"));
    }
    if (const auto* unary = std::get_if<Methods::Unary>(method)) return new UnaryCall(*unary);
    return new StreamCall(std::get<Methods::Stream>(*method), *context, options_, streams_);
  }

  void StopStreams() { streams_.Stop(); }

 private:
  const ServerOptions options_;
  const Methods methods_;
  OpenStreams streams_;
};

class GrpcServer final : public Server {
 public:
  GrpcServer(const ServerOptions& options, Methods methods)
      : dispatcher_(options, std::move(methods)) {}
  ~GrpcServer() override { Stop(Duration::zero()); }

  Status Start(const ServerOptions& options) {
    grpc::ServerBuilder builder;
    // Two processes must not share a port without knowing of each other.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    // Clients ping idle connections; refusing that would cut them off.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    // A connection whose other end is silently gone is given up.
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
    // A window that is large from the start, instead of one that is probed for.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 2 << 20);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_receive_bytes));
    builder.AddListeningPort(options.listen, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterCallbackGenericService(&dispatcher_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) return ExplainBindFailure(options.listen);
    return Status();
  }

  std::uint16_t port() const override { return static_cast<std::uint16_t>(port_); }

  void Stop(Duration grace) override {
    if (server_ == nullptr) return;
    dispatcher_.StopStreams();
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(grace));
    server_->Wait();
    server_.reset();
  }

 private:
  Dispatcher dispatcher_;
  std::unique_ptr<grpc::Server> server_;  // Null after Stop.
  int port_ = 0;
};

}  // namespace

Result<std::unique_ptr<Server>> StartGrpcServer(const ServerOptions& options, Methods methods) {
  InitializeGrpc();
  RUTILE_RETURN_IF_ERROR(CheckListenAddress(options.listen));
  auto server = std::make_unique<GrpcServer>(options, std::move(methods));
  RUTILE_RETURN_IF_ERROR(server->Start(options));
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace rutile::rpc
