#include "rpc/grpc_channel.h"

#include <google/protobuf/message_lite.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/client_callback.h>

#include <atomic>
#include <utility>
#include <vector>

#include "rpc/grpc_wire.h"
#include "rpc/send_queue.h"

namespace rutile::rpc {

namespace {

int Millis(Duration duration) { return static_cast<int>(ToMilliseconds(duration)); }

// A unary call under way; destroys itself when it has completed.
struct ClientCall {
  grpc::ClientContext context;
  grpc::ByteBuffer request;
  grpc::ByteBuffer response;
  std::string what;  // For messages.
};

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

// A stream under way. Owns itself until OnDone, which gRPC calls when the stream has ended and
// queue_ has given up its right to write, which is the hold.
class ClientStream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                           public SendQueue::Wire {
 public:
  ClientStream(std::string what, const Message& received, std::unique_ptr<StreamHandler> handler,
               std::size_t limit_bytes)
      : what_(std::move(what)),
        prototype_(received),
        handler_(std::move(handler)),
        queue_(std::make_shared<SendQueue>(this, limit_bytes)) {}

  std::shared_ptr<SendQueue> Start(grpc::GenericStub& stub, const std::string& method) {
    std::shared_ptr<SendQueue> queue = queue_;  // `this` may be gone when StartCall returns.
    stub.PrepareBidiStreamingCall(&context_, method, {}, this);
    AddHold();
    StartRead(&received_);
    StartCall();
    return queue;
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      ended_.store(true, std::memory_order_relaxed);
      queue_->Abort(Status(Code::kUnavailable, "the stream has ended"));
      return;
    }
    Message* message = prototype_.New(&arena_);
    if (Status decoded = Decode(&received_, message); !decoded.ok()) {
      failure_ = decoded;
      return queue_->Abort(std::move(decoded));
    }
    received_.Clear();
    handler_->OnMessage(*message);
    arena_.Reset();
    StartRead(&received_);
  }

  void OnWriteDone(bool ok) override {
    if (queue_->OnWritten(ok).drained) handler_->OnDrained();
  }

  void OnDone(const grpc::Status& status) override {
    handler_->OnClosed(failure_.ok() ? FromGrpc(status, what_) : failure_);
    delete this;
  }

  void StartWrite(const grpc::ByteBuffer* buffer) override {
    grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>::StartWrite(buffer);
  }
  void StartFinish(const Status& status) override {
    if (status.ok()) {
      StartWritesDone();
    } else if (!ended_.load(std::memory_order_relaxed)) {
      context_.TryCancel();
    }
    RemoveHold();
  }

 private:
  static constexpr std::size_t kArenaBytes = 4096;

  const std::string what_;
  const Message& prototype_;
  const std::unique_ptr<StreamHandler> handler_;
  const std::shared_ptr<SendQueue> queue_;
  grpc::ClientContext context_;
  std::atomic<bool> ended_{false};  // By the other side, whose status must not be overridden.
  Status failure_;                  // Ours. Written by a reaction, read by OnDone.
  grpc::ByteBuffer received_;
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};  // Of the message being handled.
};

// gRPC runs callbacks on threads that it keeps while any channel or server uses them, and the last
// one that lets go joins them: forever while a stream is open, and even if it is itself such a
// thread, which a channel dropped by a handler is. So there is one call, prepared and never
// started, that holds on to them until the process ends.
void KeepCallbackThreads() {
  struct Holder {
    grpc::GenericStub stub{
        grpc::CreateChannel("ipv4:127.0.0.1:0", grpc::InsecureChannelCredentials())};
    grpc::ClientContext context;
    grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> reactor;
  };
  // Volatile, so that it is really stored, where leak checkers find it.
  static const Holder* volatile const holder = [] {
    auto* made = new Holder;
    made->stub.PrepareBidiStreamingCall(&made->context, "/", {}, &made->reactor);
    return made;
  }();
  static_cast<void>(holder);
}

class GrpcChannel final : public Channel {
 public:
  GrpcChannel(std::string address, const ChannelOptions& options)
      : address_(std::move(address)),
        options_(options),
        stub_(grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(),
                                        Arguments(options))) {}

  void Call(std::string method, std::string request, Duration timeout, Callback done) override {
    const grpc::Slice slice(request);
    auto call = NewCall(method, timeout);
    grpc::ByteBuffer encoded(&slice, 1);
    call->request.Swap(&encoded);
    Start(std::move(call), method, [done = std::move(done)](Status status, ClientCall& ended) {
      done(std::move(status), ToString(ended.response));
    });
  }

  void CallMessage(const std::string& method, const Message& request, Message* response,
                   Duration timeout, std::function<void(Status)> done) override {
    auto call = NewCall(method, timeout);
    if (Status encoded = Encode(request, &call->request); !encoded.ok()) return done(encoded);
    Start(std::move(call), method,
          [response, done = std::move(done)](Status status, ClientCall& ended) {
            if (status.ok()) status = Decode(&ended.response, response);
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

  std::unique_ptr<ClientCall> NewCall(const std::string& method, Duration timeout) const {
    auto call = std::make_unique<ClientCall>();
    call->context.set_deadline(gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN));
    call->what = What(method);
    return call;
  }

  template <class Completion>
  void Start(std::unique_ptr<ClientCall> owned, const std::string& method, Completion completion) {
    ClientCall* call = owned.release();
    stub_.UnaryCall(&call->context, method, {}, &call->request, &call->response,
                    [call, completion = std::move(completion)](const grpc::Status& status) {
                      const std::unique_ptr<ClientCall> ended(call);
                      completion(FromGrpc(status, ended->what), *ended);
                    });
  }

  const std::string address_;
  const ChannelOptions options_;
  grpc::GenericStub stub_;
};

}  // namespace

std::unique_ptr<Channel> NewGrpcChannel(const std::string& address, const ChannelOptions& options) {
  InitializeGrpc();
  KeepCallbackThreads();
  return std::make_unique<GrpcChannel>(address, options);
}

}  // namespace rutile::rpc
