#include "rpc/testing/grpc_server.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message_lite.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "rpc/testing/completion_queue.h"
#include "rpc/testing/grpc_wire.h"
#include "rpc/testing/send_queue.h"
#include "rpc/wire/listen_address.h"

namespace rutile::rpc {

namespace {

// Counts what may still start operations: gRPC ends the process for one that is started on a queue
// that was shut down.
class Census {
 public:
  class Presence {
   public:
    explicit Presence(Census* census) : census_(census) { census_->Add(1); }
    ~Presence() { census_->Add(-1); }
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;

   private:
    Census* const census_;
  };

  void WaitUntilNobodyIsPresent() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return present_ == 0; });
  }

 private:
  void Add(int difference) {
    const std::lock_guard lock(mutex_);
    present_ += difference;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int present_ = 0;  // Guarded by mutex_.
};

// gRPC's side of a call, or of one that is waited for.
struct Incoming {
  explicit Incoming(Census* census) : presence(census) {}
  const Census::Presence presence;  // Ends after all below.
  grpc::GenericServerContext context;
  grpc::GenericServerAsyncReaderWriter wire{&context};
};

// A call that is answered with `status`, whatever it asks.
class RefusedCall final : public Event {
 public:
  static void Refuse(std::unique_ptr<Incoming> incoming, const Status& status) {
    auto* call = new RefusedCall(std::move(incoming));
    call->incoming_->wire.Finish(ToGrpc(status), call);
  }
  void OnEvent(bool /*ok*/) override { delete this; }

 private:
  explicit RefusedCall(std::unique_ptr<Incoming> incoming) : incoming_(std::move(incoming)) {}
  const std::unique_ptr<Incoming> incoming_;
};

class UnaryCall;

// The unary calls that are not finished yet.
class OpenCalls {
 public:
  // False once stopped.
  bool Add(UnaryCall* call) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return false;
    calls_.insert(call);
    return true;
  }
  void Remove(UnaryCall* call) {
    const std::lock_guard lock(mutex_);
    calls_.erase(call);
    if (stopped_ && calls_.empty()) empty_.notify_all();
  }
  // Takes no new ones, waits up to `grace` for those under way, and abandons the rest.
  void Stop(Duration grace);

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  bool stopped_ = false;  // Guarded by mutex_, as is the next.
  std::set<UnaryCall*> calls_;
};

// One unary call: gRPC sees a stream of one message either way, of which the answer and the status
// go out in one operation.
//
// gRPC's side ends with the finish; the rest lives until the handler has completed the call too, so
// that a slow handler holds up nothing.
class UnaryCall final : public Done::Call {
 public:
  static void Start(const Methods::Unary& method, std::unique_ptr<Incoming> incoming,
                    OpenCalls& open) {
    auto* call = new UnaryCall(method, std::move(incoming), open);
    if (open.Add(call)) {
      call->incoming_->wire.Read(&call->received_, &call->read_);
    } else {
      call->FinishOnce(Status(Code::kUnavailable, "the server is stopping"));
      call->Release();
    }
  }

  void Complete(Status status) override {
    if (!finished_.exchange(true)) {
      if (status.ok()) status = Encode(*response_, &sent_);
      if (status.ok()) {
        incoming_->wire.WriteAndFinish(sent_, grpc::WriteOptions(), grpc::Status::OK, &finish_);
      } else {
        incoming_->wire.Finish(ToGrpc(status), &finish_);
      }
    }
    Release();
  }

  // Ends gRPC's side without the handler.
  void Abandon() { FinishOnce(Status(Code::kUnavailable, "the server is stopping")); }

 private:
  // Small requests and their answers are decoded and built without a further allocation.
  static constexpr std::size_t kArenaBytes = 1024;

  // The arena writes its block before it reads it.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
  UnaryCall(const Methods::Unary& method, std::unique_ptr<Incoming> incoming, OpenCalls& open)
      : method_(method), open_(open), incoming_(std::move(incoming)) {}

  void OnRead(bool ok) {
    Status status;
    if (!ok) status = Status(Code::kInvalidArgument, "a call without a message");
    Message* request = method_.request->New(&arena_);
    if (status.ok()) status = Decode(&received_, request);
    if (!status.ok()) {
      FinishOnce(status);
      return Release();
    }
    received_.Clear();
    response_ = method_.response->New(&arena_);
    method_.handle(*request, response_, Done(this));
  }

  void OnFinished(bool /*ok*/) {
    open_.Remove(this);
    incoming_.reset();
    Release();
  }

  void FinishOnce(const Status& status) {
    if (!finished_.exchange(true)) incoming_->wire.Finish(ToGrpc(status), &finish_);
  }

  // acq_rel: what one owner wrote happens before the other destroys it.
  void Release() {
    if (owners_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  // Neither is used once gRPC's side has ended: the server may be gone then.
  const Methods::Unary& method_;
  OpenCalls& open_;
  std::unique_ptr<Incoming> incoming_;
  EventOf<UnaryCall> read_{this, &UnaryCall::OnRead};
  EventOf<UnaryCall> finish_{this, &UnaryCall::OnFinished};
  std::atomic<int> owners_{2};  // gRPC's side; the read, which passes its share to the handler.
  std::atomic<bool> finished_{false};  // Who sets it starts the finish.
  grpc::ByteBuffer received_;
  grpc::ByteBuffer sent_;
  Message* response_ = nullptr;  // In arena_.
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};
};

void OpenCalls::Stop(Duration grace) {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  if (empty_.wait_for(lock, grace, [this] { return calls_.empty(); })) return;
  // Under the lock: what is in the set is not finished, so it lives.
  for (UnaryCall* call : calls_) call->Abandon();
}

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

// One stream. Lives until all operations that were started have ended; the finish, which only
// queue_ starts, counts as one from the beginning.
class StreamCall final : public SendQueue::Wire {
 public:
  static void Start(const Methods::Stream& method, std::unique_ptr<Incoming> incoming,
                    const ServerOptions& options, OpenStreams& streams) {
    auto* call = new StreamCall(method, std::move(incoming), options, streams);
    if (!streams.Add(call, call->queue_)) {
      call->queue_->Finish(Status(Code::kUnavailable, "the server is stopping"));
    } else {
      call->handler_ = method.open(call->incoming_->context.peer(), call->queue_);
      call->StartRead();
    }
    call->End();  // Of this function, which counts as an operation.
  }

  void StartWrite(const grpc::ByteBuffer* buffer) override {
    Begin();
    incoming_->wire.Write(*buffer, &write_);
  }
  void StartFinish(const Status& status) override {
    closed_ = status;
    incoming_->wire.Finish(ToGrpc(status), &finish_);
  }

 private:
  static constexpr std::size_t kArenaBytes = 4096;

  // The arena writes its block before it reads it.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
  StreamCall(const Methods::Stream& method, std::unique_ptr<Incoming> incoming,
             const ServerOptions& options, OpenStreams& streams)
      : method_(method),
        pause_bytes_(options.stream_pause_bytes),
        streams_(streams),
        incoming_(std::move(incoming)),
        queue_(std::make_shared<SendQueue>(this, options.stream_limit_bytes)) {}

  void StartRead() {
    Begin();
    incoming_->wire.Read(&received_, &read_);
  }

  void OnRead(bool ok) {
    if (ok) {
      TakeMessage();
    } else {
      handler_->OnHalfClosed();
    }
    End();
  }

  void TakeMessage() {
    Message* message = method_.received->New(&arena_);
    if (Status decoded = Decode(&received_, message); !decoded.ok()) {
      return queue_->Abort(std::move(decoded));
    }
    received_.Clear();
    handler_->OnMessage(*message);
    arena_.Reset();
    if (!queue_->PauseReading(pause_bytes_)) StartRead();
  }

  void OnWritten(bool ok) {
    const SendQueue::Written written = queue_->OnWritten(ok);
    if (written.resume_reading) StartRead();
    if (written.drained) handler_->OnDrained();
    End();
  }

  void OnFinished(bool ok) {
    if (!ok && closed_.ok()) closed_ = Status(Code::kUnavailable, "the client is gone");
    End();
  }

  void Begin() { under_way_.fetch_add(1, std::memory_order_relaxed); }
  void End() {
    if (under_way_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    if (handler_ != nullptr) handler_->OnClosed(closed_);
    streams_.Remove(this);
    delete this;
  }

  const Methods::Stream& method_;
  const std::size_t pause_bytes_;
  OpenStreams& streams_;
  const std::unique_ptr<Incoming> incoming_;
  const std::shared_ptr<SendQueue> queue_;
  std::unique_ptr<StreamHandler> handler_;
  EventOf<StreamCall> read_{this, &StreamCall::OnRead};
  EventOf<StreamCall> write_{this, &StreamCall::OnWritten};
  EventOf<StreamCall> finish_{this, &StreamCall::OnFinished};
  std::atomic<int> under_way_{2};  // The finish to come, and Start.
  Status closed_;                  // Written before the finish is started, read at the end.
  grpc::ByteBuffer received_;
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};  // Of the message being handled.
};

// Takes calls in and gives them to their methods.
class Dispatcher {
 public:
  Dispatcher(const ServerOptions& options, Methods methods)
      : options_(options), methods_(std::move(methods)) {}

  grpc::AsyncGenericService* service() { return &service_; }

  // Waits for one call on `queue`, and after it for the next, until the server shuts down.
  void Accept(grpc::ServerCompletionQueue* queue) { (new Slot(this, queue))->Request(); }

  void StopStreams() { streams_.Stop(); }
  void StopCalls(Duration grace) { calls_.Stop(grace); }
  // Nothing is started on a queue after this; the server has shut down.
  void WaitForTheLast() { census_.WaitUntilNobodyIsPresent(); }

 private:
  class Slot final : public Event {
   public:
    Slot(Dispatcher* dispatcher, grpc::ServerCompletionQueue* queue)
        : dispatcher_(dispatcher), queue_(queue) {}

    void Request() {
      incoming_ = std::make_unique<Incoming>(&dispatcher_->census_);
      dispatcher_->service_.RequestCall(&incoming_->context, &incoming_->wire, queue_, queue_,
                                        this);
    }
    void OnEvent(bool ok) override {
      if (!ok) {
        delete this;
        return;
      }
      std::unique_ptr<Incoming> incoming = std::move(incoming_);
      Request();
      dispatcher_->Dispatch(std::move(incoming));
    }

   private:
    Dispatcher* const dispatcher_;
    grpc::ServerCompletionQueue* const queue_;
    std::unique_ptr<Incoming> incoming_;
  };

  void Dispatch(std::unique_ptr<Incoming> incoming) {
    const std::string& name = incoming->context.method();
    const Methods::Method* method = methods_.Find(name);
    if (method == nullptr) {
      const Status unknown(Code::kUnimplemented, "the call " + name + " is not served");
      return RefusedCall::Refuse(std::move(incoming), unknown);
    }
    if (const auto* unary = std::get_if<Methods::Unary>(method)) {
      return UnaryCall::Start(*unary, std::move(incoming), calls_);
    }
    StreamCall::Start(std::get<Methods::Stream>(*method), std::move(incoming), options_, streams_);
  }

  const ServerOptions options_;
  const Methods methods_;
  grpc::AsyncGenericService service_;
  Census census_;
  OpenStreams streams_;
  OpenCalls calls_;
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
    builder.RegisterAsyncGenericService(dispatcher_.service());
    queues_.push_back(builder.AddCompletionQueue());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      ShutDownQueues();
      return ExplainBindFailure(options.listen);
    }
    for (const auto& queue : queues_) {
      for (int i = 0; i < kSlots; ++i) dispatcher_.Accept(queue.get());
      threads_.emplace_back(PollEvents, queue.get());
    }
    return Status();
  }

  std::uint16_t port() const override { return static_cast<std::uint16_t>(port_); }

  void Stop(Duration grace) override {
    if (server_ == nullptr) return;
    dispatcher_.StopStreams();
    dispatcher_.StopCalls(grace);
    // By now every call is ending by itself; this cancels those whose clients do not listen.
    server_->Shutdown(std::chrono::system_clock::now());
    dispatcher_.WaitForTheLast();
    ShutDownQueues();
    for (std::thread& thread : threads_) thread.join();
    server_.reset();
  }

 private:
  // How many calls can arrive at once, on each queue, before the first of them is looked at.
  static constexpr int kSlots = 64;

  void ShutDownQueues() {
    for (const auto& queue : queues_) queue->Shutdown();
    if (!threads_.empty()) return;
    for (const auto& queue : queues_) PollEvents(queue.get());  // gRPC wants them empty.
  }

  Dispatcher dispatcher_;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::unique_ptr<grpc::Server> server_;  // Null after Stop.
  std::vector<std::thread> threads_;
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
