#include "rpc/testing/grpc_channel.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "rpc/testing/completion_queue.h"
#include "rpc/testing/grpc_wire.h"
#include "rpc/testing/send_queue.h"

namespace rutile::rpc {

namespace {

int Millis(Duration duration) { return static_cast<int>(ToMilliseconds(duration)); }

// The queue that all channels of the process share, and the thread that polls it. Neither ends
// before the process does: a channel may be dropped by a callback, which runs on that very thread.
grpc::CompletionQueue* SharedQueue() {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables)
  static grpc::CompletionQueue* const queue = [] {
    auto* made = new grpc::CompletionQueue;
    std::thread(PollEvents, made).detach();
    return made;
  }();
  return queue;
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return bytes;
  bytes.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// A unary call under way; destroys itself when it has completed.
class ClientCall final : public Event {
 public:
  using Completion = std::function<void(Status, grpc::ByteBuffer* response)>;

  ClientCall(std::string what, Duration timeout) : what_(std::move(what)) {
    context_.set_deadline(gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN));
  }

  void Start(grpc::GenericStub& stub, const std::string& method, const grpc::ByteBuffer& request,
             Completion completion) {
    completion_ = std::move(completion);
    reader_ = stub.PrepareUnaryCall(&context_, method, request, SharedQueue());
    reader_->StartCall();
    reader_->Finish(&response_, &status_, this);
  }

  void OnEvent(bool /*ok*/) override {
    const std::unique_ptr<ClientCall> ended(this);
    completion_(FromGrpc(status_, what_), &response_);
  }

 private:
  const std::string what_;  // For messages.
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
  Completion completion_;
};

// A stream under way. Lives until all operations that were started have ended and queue_ has given
// up its right to write, which counts as one.
class ClientStream final : public SendQueue::Wire {
 public:
  // The arena writes its block before it reads it.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init)
  ClientStream(std::string what, const Message& received, std::unique_ptr<StreamHandler> handler,
               std::size_t limit_bytes)
      : what_(std::move(what)),
        prototype_(received),
        handler_(std::move(handler)),
        queue_(std::make_shared<SendQueue>(this, limit_bytes)) {}

  std::shared_ptr<SendQueue> Start(grpc::GenericStub& stub, const std::string& method) {
    std::shared_ptr<SendQueue> queue = queue_;  // `this` may be gone when this returns.
    wire_ = stub.PrepareCall(&context_, method, SharedQueue());
    under_way_ = 2;  // The start, and queue_'s right.
    wire_->StartCall(&started_);
    return queue;
  }

  // gRPC takes nothing to write before the call has started; what comes earlier waits for that.
  void StartWrite(const grpc::ByteBuffer* buffer) override {
    Begin();
    WhenStarted([this, buffer] { wire_->Write(*buffer, &write_); });
  }
  void StartFinish(const Status& status) override {
    if (status.ok()) {
      Begin();
      WhenStarted([this] { wire_->WritesDone(&no_more_writes_); });
    } else if (!ended_.load(std::memory_order_relaxed)) {
      context_.TryCancel();
    }
    End();
  }

 private:
  static constexpr std::size_t kArenaBytes = 4096;

  void WhenStarted(std::function<void()> operation) {
    {
      MutexLock lock(mutex_);
      if (!is_started_) {
        early_.push_back(std::move(operation));
        return;
      }
    }
    operation();
  }

  void OnStarted(bool /*ok*/) {
    // Fails at once if the call did not start, and then tells why.
    StartRead();
    std::vector<std::function<void()>> early;
    {
      MutexLock lock(mutex_);
      is_started_ = true;
      early.swap(early_);
    }
    for (const auto& operation : early) operation();
    End();
  }

  void StartRead() {
    Begin();
    wire_->Read(&received_, &read_);
  }

  void OnRead(bool ok) {
    if (ok) {
      TakeMessage();
    } else {
      ended_.store(true, std::memory_order_relaxed);
      queue_->Abort(Status(Code::kUnavailable, "the stream has ended"));
      Begin();
      wire_->Finish(&status_, &finish_);
    }
    End();
  }

  void TakeMessage() {
    Message* message = prototype_.New(&arena_);
    if (Status decoded = Decode(&received_, message); !decoded.ok()) {
      if (failure_.ok()) failure_ = decoded;
      queue_->Abort(std::move(decoded));
    } else if (failure_.ok()) {
      handler_->OnMessage(*message);
    }
    received_.Clear();
    arena_.Reset();
    StartRead();
  }

  void OnWritten(bool ok) {
    if (queue_->OnWritten(ok).drained) handler_->OnDrained();
    End();
  }

  void OnEnded(bool /*ok*/) { End(); }

  void Begin() { under_way_.fetch_add(1, std::memory_order_relaxed); }
  void End() {
    if (under_way_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    handler_->OnClosed(failure_.ok() ? FromGrpc(status_, what_) : failure_);
    delete this;
  }

  const std::string what_;
  const Message& prototype_;
  const std::unique_ptr<StreamHandler> handler_;
  const std::shared_ptr<SendQueue> queue_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> wire_;
  EventOf<ClientStream> started_{this, &ClientStream::OnStarted};
  EventOf<ClientStream> read_{this, &ClientStream::OnRead};
  EventOf<ClientStream> write_{this, &ClientStream::OnWritten};
  EventOf<ClientStream> no_more_writes_{this, &ClientStream::OnEnded};
  EventOf<ClientStream> finish_{this, &ClientStream::OnEnded};
  Mutex mutex_;
  bool is_started_ GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> early_ GUARDED_BY(mutex_);
  std::atomic<int> under_way_{0};
  std::atomic<bool> ended_{false};  // By the other side, whose status must not be overridden.
  Status failure_;                  // Ours. Written and read by events.
  grpc::Status status_;             // The server's.
  grpc::ByteBuffer received_;
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};  // Of the message being handled.
};

class GrpcChannel final : public Channel {
 public:
  GrpcChannel(std::string address, const ChannelOptions& options)
      : address_(std::move(address)),
        options_(options),
        stub_(grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(),
                                        Arguments(options))) {}

  void Call(std::string method, std::string request, Duration timeout, Callback done) override {
    const grpc::Slice slice(request);
    Start(method, grpc::ByteBuffer(&slice, 1), timeout,
          [done = std::move(done)](Status status, grpc::ByteBuffer* response) {
            done(std::move(status), ToString(*response));
          });
  }

  void CallMessage(const std::string& method, const Message& request, Message* response,
                   Duration timeout, std::function<void(Status)> done) override {
    grpc::ByteBuffer encoded;
    if (Status status = Encode(request, &encoded); !status.ok()) return done(status);
    Start(method, encoded, timeout,
          [response, done = std::move(done)](Status status, grpc::ByteBuffer* bytes) {
            if (status.ok()) status = Decode(bytes, response);
            done(std::move(status));
          });
  }

  std::shared_ptr<StreamSender> OpenStream(const std::string& method, const Message& received,
                                           std::unique_ptr<StreamHandler> handler) override {
    auto* stream =
        new ClientStream(What(method), received, std::move(handler), options_.stream_limit_bytes);
    return stream->Start(stub_, method);
  }

 private:
  static grpc::ChannelArguments Arguments(const ChannelOptions& options) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(static_cast<int>(options.max_receive_bytes));
    // A channel is a connection; and it goes where it says.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
    // How soon a lost connection is tried again, and how long one try may take.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 3'000);
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Millis(options.keepalive_interval));
    arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Millis(options.keepalive_timeout));
    arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // No limit.
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 2 << 20);
    return arguments;
  }

  std::string What(const std::string& method) const { return method + " at " + address_; }

  void Start(const std::string& method, const grpc::ByteBuffer& request, Duration timeout,
             ClientCall::Completion completion) {
    (new ClientCall(What(method), timeout))->Start(stub_, method, request, std::move(completion));
  }

  const std::string address_;
  const ChannelOptions options_;
  grpc::GenericStub stub_;
};

}  // namespace

std::unique_ptr<Channel> NewGrpcChannel(const std::string& address, const ChannelOptions& options) {
  InitializeGrpc();
  return std::make_unique<GrpcChannel>(address, options);
}

}  // namespace rutile::rpc
