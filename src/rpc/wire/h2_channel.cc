#include "rpc/wire/h2_channel.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "env/posix/posix_clock.h"
#include "rpc/wire/connector.h"
#include "rpc/wire/grpc_framing.h"
#include "rpc/wire/h2_connection.h"
#include "rpc/wire/h2_sender.h"
#include "rpc/wire/listen_address.h"

namespace rutile::rpc {

namespace {

// How long one attempt to connect may take, and how soon a failed one is made again.
constexpr Duration kConnectTime = Seconds(3);
constexpr Duration kBackoffMin = Milliseconds(100);
constexpr Duration kBackoffMax = Seconds(1);

// Without brackets.
std::string HostOf(const std::string& address) {
  const Result<HostAndPort> parts = SplitAddress(address);
  return parts.ok() ? parts.value().host : address;
}

Instant Now() { return posix::PosixClock().Now(); }

class Core;

// A call of either kind, as its channel sees it. Owner.
class ClientCall : public H2Stream {
 public:
  ClientCall(std::string path, std::string what, Duration timeout)
      : path_(std::move(path)), what_(std::move(what)), timeout_(timeout) {}

  const std::string& path() const { return path_; }
  Duration timeout() const { return timeout_; }
  void SetCore(std::shared_ptr<Core> core) { core_ = std::move(core); }
  // The request has been made on a connection.
  virtual void OnOpened() = 0;
  // It never got that far.
  void Fail(const Status& why) { OnClosed(why); }

 protected:
  // The status from the server, or else why there is none.
  Status FinalStatus(const Status& lost) const {
    if (grpc_status_) return FromGrpcCode(*grpc_status_, grpc_message_, what_);
    if (!lost.ok()) return Status(lost).WithContext(what_);
    return Status(Code::kUnavailable,
                  "answered without a status of gRPC; HTTP status " + std::to_string(http_status_))
        .WithContext(what_);
  }
  const std::string& what() const { return what_; }
  // At the end of OnClosed.
  void Leave();

 private:
  void OnHeader(std::string_view name, std::string_view value) override {
    const auto number = [value] {
      int parsed = -1;
      std::from_chars(value.data(), value.data() + value.size(), parsed);
      return parsed;
    };
    if (name == ":status") {
      http_status_ = number();
    } else if (name == "grpc-status") {
      grpc_status_ = number();
    } else if (name == "grpc-message") {
      grpc_message_ = PercentDecode(value);
    }
  }
  void OnHeaders() override {}
  void OnEnd() override {
    if (unsent() > 0 || !is_open()) Reset();  // What we still had to say is not wanted.
    HalfClose();
  }

  const std::string path_;
  const std::string what_;  // For messages.
  const Duration timeout_;
  std::shared_ptr<Core> core_;
  int http_status_ = 0;
  std::optional<int> grpc_status_;
  std::string grpc_message_;
};

// A unary call under way.
class ClientUnary final : public ClientCall {
 public:
  using Completion = std::function<void(Status, std::string_view response)>;

  ClientUnary(std::string path, std::string what, Duration timeout, std::string framed,
              Completion completion)
      : ClientCall(std::move(path), std::move(what), timeout),
        deadline_(Now() + timeout),
        request_(std::move(framed)),
        completion_(std::move(completion)) {}
  // Not completed only if the loop has thrown it away.
  ~ClientUnary() override { Complete(Status(Code::kUnavailable, "the process is stopping"), {}); }

  Instant deadline() const { return deadline_; }
  void Expire() {
    if (completion_ == nullptr) return;
    Complete(Status(Code::kDeadlineExceeded,
                    "no answer within " + std::to_string(ToMilliseconds(timeout())) + " ms")
                 .WithContext(what()),
             {});
    Reset();
  }

 private:
  void OnOpened() override {
    Write(std::move(request_));
    HalfClose();
  }
  void OnMessage(std::string_view message) override { response_ = message; }
  void OnBadMessage(Status why) override {
    Complete(std::move(why).WithContext(what()), {});
    Reset();
  }
  void OnClosed(const Status& lost) override {
    Status status = FinalStatus(lost);
    if (status.ok() && !response_) {
      status = Status(Code::kCorruption, "OK without an answer").WithContext(what());
    }
    Complete(std::move(status), response_ ? *response_ : std::string_view());
    Leave();
  }
  void Complete(Status status, std::string_view response) {
    if (completion_ == nullptr) return;
    const Completion completion = std::exchange(completion_, nullptr);
    completion(std::move(status), response);
  }

  const Instant deadline_;
  std::string request_;
  Completion completion_;  // Null once called.
  std::optional<std::string> response_;
};

// A stream under way.
class ClientStream final : public ClientCall {
 public:
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): block_ is the arena's to fill.
  ClientStream(std::string path, std::string what, const Message& received,
               std::unique_ptr<StreamHandler> handler, std::shared_ptr<H2Sender> sender)
      : ClientCall(std::move(path), std::move(what), Duration::zero()),
        prototype_(received),
        handler_(std::move(handler)),
        sender_(std::move(sender)) {}
  // Not closed only if the loop has thrown it away.
  ~ClientStream() override { Close(Status(Code::kUnavailable, "the process is stopping")); }

 private:
  static constexpr std::size_t kArenaBytes = 4096;

  void OnOpened() override {
    sender_->Open(weak_from_this(), [this](const Status& status) {
      if (status.ok()) return HalfClose();
      GiveUp(status);
    });
  }
  void OnMessage(std::string_view bytes) override {
    Message* message = prototype_.New(&arena_);
    if (!message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return OnBadMessage(
          Status(Code::kInvalidArgument,
                 std::to_string(bytes.size()) + " bytes that are not a " + message->GetTypeName()));
    }
    if (failure_.ok()) handler_->OnMessage(*message);
    arena_.Reset();
  }
  void OnBadMessage(Status why) override { GiveUp(std::move(why).WithContext(what())); }
  void OnDrained() override {
    sender_->OnDrained();
    handler_->OnDrained();
  }
  void OnClosed(const Status& lost) override {
    Close(failure_.ok() ? FinalStatus(lost) : failure_);
    Leave();
  }
  void GiveUp(Status why) {
    if (failure_.ok()) failure_ = std::move(why);
    Reset();
  }
  void Close(const Status& status) {
    sender_->Close();
    const std::unique_ptr<StreamHandler> handler = std::move(handler_);
    if (handler != nullptr) handler->OnClosed(status);
  }

  const Message& prototype_;
  std::unique_ptr<StreamHandler> handler_;  // Null once closed.
  const std::shared_ptr<H2Sender> sender_;
  Status failure_;  // Ours, which the server's status does not override.
  alignas(std::max_align_t) char block_[kArenaBytes];
  google::protobuf::Arena arena_{block_, kArenaBytes};  // Of the message being handled.
};

// What a channel and its calls share: the connection, and the way to it. Owner only.
class Core final : public std::enable_shared_from_this<Core> {
 public:
  Core(std::string address, posix::EventLoop& loop, const ChannelOptions& options)
      : address_(std::move(address)), loop_(loop), options_(options) {}

  const std::string& address() const { return address_; }
  posix::EventLoop& loop() { return loop_; }
  const ChannelOptions& options() const { return options_; }

  void Start(std::shared_ptr<ClientCall> call);
  // Ends `call` when it is not over by then.
  void Watch(const std::shared_ptr<ClientUnary>& call);
  // The channel is gone: the connection ends with its last call.
  void Abandon() {
    abandoned_ = true;
    OnCallEnded();
  }
  void OnCallEnded();

 private:
  class Connection;

  void Connect();
  void TryNextAddress();
  void OnConnected();
  void OnLost(const Connection* connection, const Status& why);
  void FailWaiting(const Status& why);
  void WatchTime();

  const std::string address_;
  posix::EventLoop& loop_;
  const ChannelOptions options_;
  std::shared_ptr<Connection> connection_;            // Being connected, or open for new calls.
  bool connecting_ = false;                           // From the first look-up on.
  std::vector<SocketAddress> addresses_;              // Not tried yet; the next one last.
  std::vector<std::shared_ptr<ClientCall>> waiting_;  // For the connection.
  int failures_ = 0;                                  // Attempts in a row.
  Instant retry_at_ = {};
  Status last_failure_;
  std::multimap<Instant, std::weak_ptr<ClientUnary>> deadlines_;
  Instant next_look_ = Instant::max();  // At deadlines_.
  bool abandoned_ = false;
};

class Core::Connection final : public H2Connection {
 public:
  Connection(std::shared_ptr<Core> core, const Options& options)
      : H2Connection(core->loop(), options, false), core_(std::move(core)) {}
  bool was_connected() const { return was_connected_; }

 private:
  void OnConnected() override {
    was_connected_ = true;
    core_->OnConnected();
  }
  // Calls that are under way go on here; new ones find another connection.
  void OnGoAway() override {
    if (core_->connection_.get() == this) core_->connection_ = nullptr;
  }
  void OnLost(const Status& why) override { core_->OnLost(this, why); }

  const std::shared_ptr<Core> core_;
  bool was_connected_ = false;
};

void Core::OnCallEnded() {
  if (abandoned_ && waiting_.empty() && connection_ != nullptr &&
      connection_->stream_count() == 0) {
    connection_->Close(Status(Code::kUnavailable, "the channel is closed"));
  }
}

void ClientCall::Leave() {
  if (core_ != nullptr) core_->OnCallEnded();
  core_ = nullptr;
}

void Core::Start(std::shared_ptr<ClientCall> call) {
  call->SetCore(shared_from_this());
  if (!connecting_ && connection_ != nullptr && connection_->is_open()) {
    connection_->Request(address_, call->path(), call->timeout(), call);
    if (call->is_open()) call->OnOpened();
    return;
  }
  if (!connecting_ && Now() < retry_at_) return call->Fail(last_failure_);
  waiting_.push_back(std::move(call));
  if (!connecting_) Connect();
}

void Core::Connect() {
  connecting_ = true;
  Resolve(address_, loop_, [core = shared_from_this()](Result<std::vector<SocketAddress>> found) {
    if (!found.ok()) {
      core->last_failure_ = found.status();
    } else {
      core->addresses_ = std::move(found).value();
      std::reverse(core->addresses_.begin(), core->addresses_.end());
      core->last_failure_ = Status(Code::kUnavailable, core->address_ + ": no address");
    }
    core->TryNextAddress();
  });
}

void Core::TryNextAddress() {
  while (!addresses_.empty()) {
    const SocketAddress address = std::move(addresses_.back());
    addresses_.pop_back();
    const Result<int> socket = BeginConnect(address);
    if (!socket.ok()) {
      last_failure_ = socket.status().WithContext(address_);
      continue;
    }
    connection_ = std::make_shared<Connection>(
        shared_from_this(), H2Connection::Options{.max_receive_bytes = options_.max_receive_bytes,
                                                  .keepalive_interval = options_.keepalive_interval,
                                                  .keepalive_timeout = options_.keepalive_timeout,
                                                  .tls = options_.tls,
                                                  .host = HostOf(address_)});
    connection_->Start(socket.value(), address_);
    loop_.PostAfter(kConnectTime, [weak = std::weak_ptr<Connection>(connection_)] {
      const std::shared_ptr<Connection> connection = weak.lock();
      if (connection != nullptr && !connection->was_connected()) {
        connection->Close(
            Status(Code::kUnavailable,
                   "no connection within " + std::to_string(ToMilliseconds(kConnectTime)) + " ms")
                .WithContext(connection->peer()));
      }
    });
    return;
  }
  connecting_ = false;
  retry_at_ = Now() + std::min(kBackoffMax, kBackoffMin * (1 << std::min(failures_++, 10)));
  FailWaiting(last_failure_);
}

void Core::OnConnected() {
  connecting_ = false;
  failures_ = 0;
  addresses_.clear();
  std::vector<std::shared_ptr<ClientCall>> waiting;
  waiting.swap(waiting_);
  for (std::shared_ptr<ClientCall>& call : waiting) Start(std::move(call));
  OnCallEnded();
}

void Core::OnLost(const Connection* connection, const Status& why) {
  if (connection_.get() != connection) return;
  const std::shared_ptr<Connection> stay = std::move(connection_);
  if (stay->was_connected()) return;
  last_failure_ = why;
  if (loop_.HasEnded()) addresses_.clear();
  TryNextAddress();
}

void Core::FailWaiting(const Status& why) {
  std::vector<std::shared_ptr<ClientCall>> waiting;
  waiting.swap(waiting_);
  for (const std::shared_ptr<ClientCall>& call : waiting) call->Fail(why);
}

void Core::Watch(const std::shared_ptr<ClientUnary>& call) {
  deadlines_.emplace(call->deadline(), call);
  if (call->deadline() < next_look_) WatchTime();
}

void Core::WatchTime() {
  while (!deadlines_.empty() && deadlines_.begin()->second.expired()) {
    deadlines_.erase(deadlines_.begin());
  }
  next_look_ = deadlines_.empty() ? Instant::max() : deadlines_.begin()->first;
  if (deadlines_.empty()) return;
  loop_.PostAfter(next_look_ - Now(), [core = shared_from_this(), due = next_look_] {
    if (core->next_look_ != due) return;  // Another look has been taken.
    while (!core->deadlines_.empty() && core->deadlines_.begin()->first <= due) {
      const std::shared_ptr<ClientUnary> call = core->deadlines_.begin()->second.lock();
      core->deadlines_.erase(core->deadlines_.begin());
      if (call != nullptr) call->Expire();
    }
    core->WatchTime();
  });
}

class H2Channel final : public Channel {
 public:
  H2Channel(const std::string& address, posix::EventLoop& loop, const ChannelOptions& options)
      : core_(std::make_shared<Core>(address, loop, options)) {}
  ~H2Channel() override {
    Run([core = core_] { core->Abandon(); });
  }

  void Call(std::string method, std::string request, Duration timeout, Callback done) override {
    std::string framed;
    AppendFramed(request, &framed);
    Start(std::move(method), std::move(framed), timeout,
          [done = std::move(done)](Status status, std::string_view response) {
            done(std::move(status), std::string(response));
          });
  }

  void CallMessage(const std::string& method, const Message& request, Message* response,
                   Duration timeout, std::function<void(Status)> done) override {
    std::string framed;
    if (Status status = AppendFramed(request, &framed); !status.ok()) return done(status);
    Start(method, std::move(framed), timeout,
          [response, done = std::move(done)](Status status, std::string_view bytes) {
            if (status.ok() &&
                !response->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
              status = Status(Code::kInvalidArgument, std::to_string(bytes.size()) +
                                                          " bytes that are not a " +
                                                          response->GetTypeName());
            }
            done(std::move(status));
          });
  }

  std::shared_ptr<StreamSender> OpenStream(const std::string& method, const Message& received,
                                           std::unique_ptr<StreamHandler> handler) override {
    auto sender = std::make_shared<H2Sender>(core_->loop(), core_->options().stream_limit_bytes);
    auto stream =
        std::make_shared<ClientStream>(method, What(method), received, std::move(handler), sender);
    Run([core = core_, stream = std::move(stream)]() mutable { core->Start(std::move(stream)); });
    return sender;
  }

 private:
  std::string What(const std::string& method) const { return method + " at " + core_->address(); }

  // As owner: in the order of the calls, and not from within one of them.
  void Run(Task task) { core_->loop().Post(std::move(task)); }

  void Start(std::string method, std::string framed, Duration timeout,
             ClientUnary::Completion completion) {
    std::string what = What(method);
    auto call = std::make_shared<ClientUnary>(std::move(method), std::move(what), timeout,
                                              std::move(framed), std::move(completion));
    Run([core = core_, call = std::move(call)]() mutable {
      core->Watch(call);
      core->Start(std::move(call));
    });
  }

  const std::shared_ptr<Core> core_;
};

}  // namespace

std::unique_ptr<Channel> NewH2Channel(const std::string& address, posix::EventLoop& loop,
                                      const ChannelOptions& options) {
  return std::make_unique<H2Channel>(address, loop, options);
}

posix::EventLoop& SharedClientLoop() {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one for the process.
  static auto* const loop = new posix::EventLoop("client");
  return *loop;
}

}  // namespace rutile::rpc
