#include "rpc/h2_server.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message_lite.h>

#include <condition_variable>
#include <cstddef>
#include <future>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/mutex.h"
#include "rpc/listener.h"
#include "rpc/wire/grpc_framing.h"
#include "rpc/wire/h2_connection.h"
#include "rpc/wire/h2_sender.h"
#include "rpc/wire/listen_address.h"

namespace rutile::rpc {

namespace {

Status Stopping() { return Status(Code::kUnavailable, "the server is stopping"); }

Status Decode(std::string_view bytes, Message* message) {
  if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return Status();
  return Status(Code::kInvalidArgument,
                std::to_string(bytes.size()) + " bytes that are not a " + message->GetTypeName());
}

// The unary calls that wait for their answers.
class OpenCalls {
 public:
  void Add() {
    const std::lock_guard lock(mutex_);
    ++count_;
  }
  void Remove() {
    const std::lock_guard lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  void WaitForNone(Duration most) {
    std::unique_lock lock(mutex_);
    none_.wait_for(lock, most, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  std::size_t count_ = 0;  // Guarded by mutex_.
};

// What the calls of one server share. Lives until the server has stopped.
struct Shared {
  ServerOptions options;
  Methods methods;
  OpenCalls calls;
  std::atomic<bool> stopping{false};
};

// One unary call between its request and its answer. The stream and the duty to answer share it.
class UnaryCall final : public Done::Call, public std::enable_shared_from_this<UnaryCall> {
 public:
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): block_ is the arena's to fill.
  UnaryCall(H2Stream& stream, posix::EventLoop& loop, OpenCalls& open)
      : stream_(&stream), loop_(loop), open_(&open) {}

  // Owner. `bytes` is the request.
  void Run(const Methods::Unary& method, std::string_view bytes) {
    Message* request = method.request->New(&arena_);
    if (Status status = Decode(bytes, request); !status.ok()) return stream_->EndWithStatus(status);
    response_ = method.response->New(&arena_);
    open_->Add();
    self_ = shared_from_this();
    method.handle(*request, response_, Done(this));
  }

  void Complete(Status status) override {
    const std::shared_ptr<UnaryCall> stay = std::move(self_);
    if (status.ok()) status = AppendFramed(*response_, &answer_);
    status_ = std::move(status);
    {
      // Under the lock, so that the loop is there: the stream ends before it goes.
      MutexLock lock(mutex_);
      if (closed_) return;
      if (!loop_.IsOwner()) {
        loop_.Post([stay] { stay->Answer(); });
        return;
      }
    }
    Answer();
  }

  // Owner. The stream is over, or given up: whatever the handler says comes too late.
  void Close() {
    {
      MutexLock lock(mutex_);
      if (closed_) return;
      closed_ = true;
    }
    stream_ = nullptr;
    if (response_ != nullptr) open_->Remove();
  }

 private:
  // Small requests and their answers are decoded and built without a further allocation.
  static constexpr std::size_t kArenaBytes = 1024;

  void Answer() {
    H2Stream* stream = stream_;
    if (stream == nullptr) return;
    Close();
    if (status_.ok()) {
      stream->StartResponse();
      stream->Write(std::move(answer_));
    }
    stream->EndWithStatus(status_);
  }

  H2Stream* stream_;  // Owner. Null once closed.
  posix::EventLoop& loop_;
  OpenCalls* const open_;
  std::shared_ptr<UnaryCall> self_;  // Of the duty to answer.
  Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;
  Status status_;  // Written by who completes, read by the owner afterwards; as is answer_.
  std::string answer_;
  Message* response_ = nullptr;  // In arena_.
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};
};

// A stream of messages that is open.
struct OpenStream {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): block is the arena's to fill.
  OpenStream(const Methods::Stream& method_in, posix::EventLoop& loop, std::size_t limit)
      : method(method_in), sender(std::make_shared<H2Sender>(loop, limit)) {}

  static constexpr std::size_t kArenaBytes = 4096;

  const Methods::Stream& method;
  const std::shared_ptr<H2Sender> sender;
  std::unique_ptr<StreamHandler> handler = {};
  Status closed = {};  // What the handler hears in the end.
  alignas(std::max_align_t) char block[kArenaBytes];
  google::protobuf::Arena arena{block, kArenaBytes};  // Of the message being handled.
};

// A call as it comes in: first its headers, which say what it is.
class ServerStream final : public H2Stream {
 public:
  ServerStream(Shared& shared, H2Connection& connection)
      : shared_(shared), loop_(connection.loop()), peer_(connection.peer()) {}

  // Ends it because the server stops: streams at once, unary calls when `abandon`.
  void Stop(bool abandon) {
    if (stream_ != nullptr) stream_->sender->Finish(Stopping());
    if (unary_ == nullptr || !abandon || !is_open()) return;
    unary_->Close();
    EndWithStatus(Stopping());
  }

 private:
  void OnHeader(std::string_view name, std::string_view value) override {
    if (name == ":path") {
      path_ = value;
    } else if (name == ":method") {
      is_post_ = value == "POST";
    } else if (name == "content-type") {
      is_grpc_ = value.starts_with("application/grpc");
    }
  }

  void OnHeaders() override {
    if (known_) return;  // Trailers, which say nothing to us.
    known_ = true;
    if (!is_post_ || !is_grpc_) return Refuse(Status(Code::kInvalidArgument, "not a call of gRPC"));
    if (shared_.stopping.load(std::memory_order_relaxed)) return Refuse(Stopping());
    method_ = shared_.methods.Find(path_);
    if (method_ == nullptr) {
      return Refuse(Status(Code::kUnimplemented, "the call " + path_ + " is not served"));
    }
    const auto* method = std::get_if<Methods::Stream>(method_);
    if (method == nullptr) return;
    StartResponse();
    stream_ = std::make_unique<OpenStream>(*method, loop_, shared_.options.stream_limit_bytes);
    stream_->sender->Open(weak_from_this(), [this](const Status& status) {
      stream_->closed = status;
      EndWithStatus(status);
    });
    stream_->handler = method->open(peer_, stream_->sender);
  }

  void OnMessage(std::string_view bytes) override {
    if (stream_ != nullptr) return TakeMessage(bytes);
    if (unary_ != nullptr || refused_) return;
    unary_ = std::make_shared<UnaryCall>(*this, loop_, shared_.calls);
    unary_->Run(std::get<Methods::Unary>(*method_), bytes);
  }

  void TakeMessage(std::string_view bytes) {
    Message* message = stream_->method.received->New(&stream_->arena);
    if (Status decoded = Decode(bytes, message); !decoded.ok()) return OnBadMessage(decoded);
    stream_->handler->OnMessage(*message);
    stream_->arena.Reset();
    if (stream_->sender->waiting() > shared_.options.stream_pause_bytes) PauseReading();
  }

  void OnBadMessage(Status why) override {
    refused_ = true;
    if (stream_ != nullptr) {
      stream_->sender->Abort(why);
    } else {
      EndWithStatus(why);
    }
  }

  void OnEnd() override {
    if (stream_ != nullptr) return stream_->handler->OnHalfClosed();
    if (unary_ == nullptr && !refused_) {
      Refuse(Status(Code::kInvalidArgument, "a call without a message"));
    }
  }

  void OnDrained() override {
    if (stream_ == nullptr) return;
    stream_->sender->OnDrained();
    stream_->handler->OnDrained();
    ResumeReading();
  }

  void OnClosed(const Status& lost) override {
    if (unary_ != nullptr) unary_->Close();
    if (stream_ == nullptr) return;
    stream_->sender->Close();
    if (!lost.ok() && stream_->closed.ok()) {
      stream_->closed = Status(Code::kUnavailable, "the client is gone");
    }
    const std::unique_ptr<StreamHandler> handler = std::move(stream_->handler);
    if (handler != nullptr) handler->OnClosed(stream_->closed);
  }

  void Refuse(const Status& status) {
    refused_ = true;
    EndWithStatus(status);
  }

  Shared& shared_;
  posix::EventLoop& loop_;
  const std::string& peer_;  // Of the connection, which outlives its streams.
  std::string path_;
  bool is_post_ = false;
  bool is_grpc_ = false;
  bool known_ = false;    // The headers have been dealt with.
  bool refused_ = false;  // What else comes is not looked at.
  const Methods::Method* method_ = nullptr;
  std::shared_ptr<UnaryCall> unary_;
  std::unique_ptr<OpenStream> stream_;
};

// The connections of one loop. Owner only, apart from its construction.
class Connections {
 public:
  Connections(Shared& shared, posix::EventLoop& loop) : shared_(shared), loop_(loop) {}

  posix::EventLoop& loop() { return loop_; }
  void Take(int fd, std::string peer);
  // In the steps of a server's stop.
  void RefuseMore() {
    for (const auto& connection : All()) connection->GoAway();
    StopCalls(false);
  }
  void StopCalls(bool abandon);
  void CloseAll() {
    for (const auto& connection : All()) connection->Close(Stopping());
  }
  bool empty() const { return open_.empty(); }

 private:
  class Connection;

  std::vector<std::shared_ptr<H2Connection>> All() const { return {open_.begin(), open_.end()}; }

  Shared& shared_;
  posix::EventLoop& loop_;
  std::set<std::shared_ptr<H2Connection>> open_;
};

class Connections::Connection final : public H2Connection {
 public:
  Connection(Connections& all, posix::EventLoop& loop, const Options& options)
      : H2Connection(loop, options, true), all_(all) {}

 private:
  std::shared_ptr<H2Stream> OnStream() override {
    return std::make_shared<ServerStream>(all_.shared_, *this);
  }
  void OnLost(const Status&) override { all_.open_.erase(shared_from_this()); }

  Connections& all_;
};

void Connections::Take(int fd, std::string peer) {
  auto connection = std::make_shared<Connection>(
      *this, loop_,
      H2Connection::Options{.max_receive_bytes = shared_.options.max_receive_bytes,
                            .tls = shared_.options.tls});
  open_.insert(connection);
  connection->Start(fd, std::move(peer));
  if (shared_.stopping.load(std::memory_order_relaxed)) connection->Close(Stopping());
}

void Connections::StopCalls(bool abandon) {
  for (const auto& connection : All()) {
    connection->ForEachStream(
        [abandon](H2Stream& stream) { static_cast<ServerStream&>(stream).Stop(abandon); });
  }
}

class H2Server final : public Server {
 public:
  H2Server(const ServerOptions& options, Methods methods,
           const std::vector<posix::EventLoop*>& loops)
      : shared_{.options = options, .methods = std::move(methods), .calls = {}} {
    for (posix::EventLoop* loop : loops) {
      shards_.push_back(std::make_unique<Connections>(shared_, *loop));
    }
  }
  ~H2Server() override { Stop(Duration::zero()); }

  Status Start() {
    RUTILE_ASSIGN_OR_RETURN(listener_, Listener::Start(shared_.options.listen, shards_[0]->loop(),
                                                       [this](int fd, std::string peer) {
                                                         Deal(fd, std::move(peer));
                                                       }));
    return Status();
  }

  std::uint16_t port() const override { return listener_->port(); }

  void Stop(Duration grace) override {
    if (listener_ == nullptr || stopped_) return;
    stopped_ = true;
    shared_.stopping.store(true, std::memory_order_relaxed);
    OnLoop(*shards_[0], [this](Connections&) { listener_->Close(); });
    OnAllLoops([](Connections& shard) { shard.RefuseMore(); });
    shared_.calls.WaitForNone(grace);
    OnAllLoops([](Connections& shard) { shard.StopCalls(true); });
    OnAllLoops([](Connections& shard) { shard.CloseAll(); });
    // Connections end at the end of that round. What they still had to say is on its way.
    OnAllLoops([](Connections&) {});
    for (const auto& shard : shards_) RUTILE_CHECK(shard->empty(), "a connection did not close");
  }

 private:
  using Step = std::function<void(Connections&)>;

  void Deal(int fd, std::string peer) {
    Connections& shard = *shards_[next_++ % shards_.size()];
    if (&shard == shards_[0].get()) return shard.Take(fd, std::move(peer));
    shard.loop().Post(
        [&shard, fd, peer = std::move(peer)]() mutable { shard.Take(fd, std::move(peer)); });
  }

  // Runs `step` as the owner of the loop, and returns when its round is over.
  static void OnLoop(Connections& shard, const Step& step) {
    class Latch final : public posix::EventLoop::Flusher {
     public:
      void Flush() override { done.set_value(); }
      std::promise<void> done;
    };
    const auto latch = std::make_shared<Latch>();
    std::future<void> done = latch->done.get_future();
    shard.loop().Post([&shard, &step, latch] {
      step(shard);
      shard.loop().FlushLater(latch);
    });
    done.wait();
  }
  void OnAllLoops(const Step& step) {
    for (const auto& shard : shards_) OnLoop(*shard, step);
  }

  Shared shared_;
  std::vector<std::unique_ptr<Connections>> shards_;
  std::unique_ptr<Listener> listener_;
  std::size_t next_ = 0;  // Owner of the first loop.
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Server>> StartH2Server(const ServerOptions& options, Methods methods,
                                              const std::vector<posix::EventLoop*>& loops) {
  RUTILE_CHECK(!loops.empty(), "a server needs a loop");
  RUTILE_RETURN_IF_ERROR(CheckListenAddress(options.listen));
  auto server = std::make_unique<H2Server>(options, std::move(methods), loops);
  RUTILE_RETURN_IF_ERROR(server->Start());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace rutile::rpc
