#include "rpc/peer_transport.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"
#include "proto/rutile/node.pb.h"

namespace rutile::rpc {

namespace {

constexpr char kMethod[] = "/rutile.Node/Peer";
// The same complaint about the same store is logged once in this time.
constexpr Duration kLogInterval = Seconds(60);
// A store that has not been reached for so many attempts in a row is worth a line: about three
// seconds.
constexpr int kFailuresToTell = 5;
// Stores that are complained about; far more than a cluster has.
constexpr std::size_t kMaxComplaints = 1024;

void Bump(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) {
  counter.fetch_add(by, std::memory_order_relaxed);  // Only ever read as a figure.
}

}  // namespace

// What streams need, whether or not the transport is there still.
struct PeerTransport::Shared {
  Shared(PeerTransportOptions options_in, const Clock& clock_in, Executor& executor_in,
         std::unique_ptr<Random> random_in, ChannelFactory connect_in)
      : options(std::move(options_in)),
        clock(clock_in),
        executor(executor_in),
        connect(std::move(connect_in)),
        random(std::move(random_in)) {}

  // Half of `backoff`, and a part of the other half.
  Duration WithJitter(Duration backoff) {
    MutexLock lock(mutex);
    const Duration half = backoff / 2;
    return half + Duration(random->Below(static_cast<std::uint64_t>(half.count()) + 1));
  }

  // Logs `line` unless `about` was complained of lately.
  void Complain(StoreId about, const std::string& line) {
    {
      MutexLock lock(mutex);
      const Instant now = clock.Now();
      if (complaints.size() >= kMaxComplaints) complaints.clear();
      const auto [where, first] = complaints.emplace(about, now);
      if (!first && now - where->second < kLogInterval) return;
      where->second = now;
    }
    options.log(line);
  }

  const PeerTransportOptions options;
  const Clock& clock;
  Executor& executor;
  const ChannelFactory connect;

  Receiver receiver;                 // Set before `started`, constant afterwards.
  std::atomic<bool> started{false};  // Release and acquire: whoever sees it sees `receiver`.

  // Reports of streams that are being dealt with, and whether no more will be. Sequentially
  // consistent: a report sees `stopped`, or Stop sees the report.
  std::atomic<int> reports{0};
  std::atomic<bool> stopped{false};

  // After this, nothing of the outside (the receiver, the executor, the clock, the log) is used.
  void Stop() {
    stopped.store(true);
    for (int under_way = reports.load(); under_way != 0; under_way = reports.load()) {
      reports.wait(under_way);
    }
  }

  Mutex mutex;
  const std::unique_ptr<Random> random GUARDED_BY(mutex);
  std::map<StoreId, Instant> complaints GUARDED_BY(mutex);
  std::map<StoreId, std::shared_ptr<Peer>> peers GUARDED_BY(mutex);

  struct {
    std::atomic<std::uint64_t> sent{0}, batches{0}, received{0}, dropped_full{0},
        dropped_unknown{0}, dropped_lost{0}, streams_opened{0}, streams_refused{0};
  } counters;
};

// Held while a report of a stream is dealt with.
class PeerTransport::Report {
 public:
  explicit Report(Shared& shared) : shared_(shared) { shared_.reports.fetch_add(1); }
  ~Report() {
    if (shared_.reports.fetch_sub(1) == 1) shared_.reports.notify_all();
  }
  Report(const Report&) = delete;
  Report& operator=(const Report&) = delete;

  // Then there is nobody left to report to.
  bool too_late() const { return shared_.stopped.load(); }

 private:
  Shared& shared_;
};

// The road to one store.
//
//   (1) At most one stream is open or being opened, and at most one batch is with it.
//   (2) What a stream reports is heard only if it is the current one (generation_).
class PeerTransport::Peer {
 public:
  Peer(std::shared_ptr<Shared> shared, StoreId id) : shared_(std::move(shared)), id_(id) {}

  void SetAddress(std::string address) {
    MutexLock lock(mutex_);
    address_ = std::move(address);
  }

  static void Send(const std::shared_ptr<Peer>& peer, std::string message);
  static void OnDrained(const std::shared_ptr<Peer>& peer, std::uint64_t generation);
  static void OnClosed(const std::shared_ptr<Peer>& peer, std::uint64_t generation,
                       const Status& status);
  void Stop();

 private:
  enum class State { kIdle, kOpening, kOpen, kBackingOff, kStopped };

  static void Open(const std::shared_ptr<Peer>& peer, std::uint64_t generation,
                   const std::string& address);
  static void OnBackoffOver(const std::shared_ptr<Peer>& peer);

  // Sends what waits, if the stream is ready for it.
  static void SendBatch(const std::shared_ptr<Peer>& peer);
  // The next batch, if the stream is ready for one and anything waits.
  std::optional<PeerBatch> TakeBatch() REQUIRES(mutex_);

  const std::shared_ptr<Shared> shared_;
  const StoreId id_;

  Mutex mutex_;
  std::string address_ GUARDED_BY(mutex_);
  State state_ GUARDED_BY(mutex_) = State::kIdle;
  std::uint64_t generation_ GUARDED_BY(mutex_) = 0;  // Of the current stream, or the last.
  std::unique_ptr<Channel> channel_ GUARDED_BY(mutex_);
  std::shared_ptr<StreamSender> sender_ GUARDED_BY(mutex_);  // Null unless kOpen.
  bool writing_ GUARDED_BY(mutex_) = false;                  // A batch is with the stream.
  bool gathering_ GUARDED_BY(mutex_) = false;                // SendBatch is going to run.
  std::deque<std::string> waiting_ GUARDED_BY(mutex_);
  std::size_t waiting_bytes_ GUARDED_BY(mutex_) = 0;
  int failures_ GUARDED_BY(mutex_) = 0;  // Streams in a row that ended before writing anything.
};

// Our end of a stream to a store.
class PeerTransport::Outgoing final : public TypedStreamHandler<PeerDone> {
 public:
  Outgoing(std::shared_ptr<Peer> peer, std::uint64_t generation)
      : peer_(std::move(peer)), generation_(generation) {}
  void OnTyped(const PeerDone&) override {}
  void OnDrained() override { Peer::OnDrained(peer_, generation_); }
  void OnClosed(const Status& status) override { Peer::OnClosed(peer_, generation_, status); }

 private:
  const std::shared_ptr<Peer> peer_;
  const std::uint64_t generation_;
};

// Our end of a stream from a store.
class PeerTransport::Incoming final : public TypedStreamHandler<PeerBatch> {
 public:
  Incoming(std::shared_ptr<Shared> shared, std::string from, std::shared_ptr<StreamSender> sender)
      : shared_(std::move(shared)), from_(std::move(from)), sender_(std::move(sender)) {}

  void OnTyped(const PeerBatch& batch) override {
    const Report report(*shared_);
    if (report.too_late()) return;
    if (Status wrong = Check(batch); !wrong.ok()) {
      if (refused_) return;
      refused_ = true;
      Bump(shared_->counters.streams_refused);
      shared_->Complain(StoreId(batch.from_store()), std::string(wrong.message()));
      sender_->Finish(std::move(wrong));
      return;
    }
    const StoreId from(batch.from_store());
    for (const std::string& message : batch.messages()) shared_->receiver(from, message);
    Bump(shared_->counters.received, static_cast<std::uint64_t>(batch.messages_size()));
  }

  void OnHalfClosed() override {
    sender_->Send(PeerDone());
    sender_->Finish(Status());
  }
  void OnClosed(const Status&) override {}

 private:
  Status Check(const PeerBatch& batch) const {
    const PeerTransportOptions& options = shared_->options;
    const std::string who =
        "store " + std::to_string(batch.from_store()) + " at " + from_ + " sends messages ";
    if (batch.cluster_id() != options.cluster.value()) {
      return Status(Code::kFailedPrecondition,
                    who + "of cluster " + std::to_string(batch.cluster_id()) +
                        " to a node of cluster " + ToString(options.cluster));
    }
    if (batch.to_store() != options.self.value()) {
      return Status(Code::kFailedPrecondition, who + "for store " +
                                                   std::to_string(batch.to_store()) + " to store " +
                                                   ToString(options.self));
    }
    if (!shared_->started.load(std::memory_order_acquire)) {
      return Status(Code::kUnavailable, "the store does not take messages yet");
    }
    return Status();
  }

  const std::shared_ptr<Shared> shared_;
  const std::string from_;
  const std::shared_ptr<StreamSender> sender_;
  bool refused_ = false;
};

void PeerTransport::Peer::Send(const std::shared_ptr<Peer>& peer, std::string message) {
  Shared& shared = *peer->shared_;
  std::optional<std::string> open;
  std::uint64_t generation = 0;
  {
    MutexLock lock(peer->mutex_);
    if (peer->state_ == State::kStopped) return;
    if (peer->waiting_bytes_ + message.size() > shared.options.queue_bytes) {
      Bump(shared.counters.dropped_full);
      return;
    }
    peer->waiting_bytes_ += message.size();
    peer->waiting_.push_back(std::move(message));
    if (peer->state_ == State::kIdle) {
      peer->state_ = State::kOpening;
      generation = ++peer->generation_;
      open = peer->address_;
    } else {
      if (peer->state_ != State::kOpen || peer->writing_ || peer->gathering_) return;
      peer->gathering_ = true;
    }
  }
  if (open) return Open(peer, generation, *open);
  // Once the sender's task is done, which may have more to say.
  shared.executor.Post([peer] { SendBatch(peer); });
}

void PeerTransport::Peer::SendBatch(const std::shared_ptr<Peer>& peer) {
  std::shared_ptr<StreamSender> sender;
  std::optional<PeerBatch> batch;
  {
    MutexLock lock(peer->mutex_);
    peer->gathering_ = false;
    sender = peer->sender_;
    batch = peer->TakeBatch();
  }
  if (batch) sender->Send(*batch);
}

std::optional<PeerBatch> PeerTransport::Peer::TakeBatch() {
  if (state_ != State::kOpen || writing_ || waiting_.empty()) return std::nullopt;
  writing_ = true;
  PeerBatch batch;
  batch.set_cluster_id(shared_->options.cluster.value());
  batch.set_from_store(shared_->options.self.value());
  batch.set_to_store(id_.value());
  std::size_t bytes = 0;
  while (!waiting_.empty() &&
         (bytes == 0 || bytes + waiting_.front().size() <= shared_->options.batch_bytes)) {
    bytes += waiting_.front().size();
    batch.add_messages(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  waiting_bytes_ -= bytes;
  Bump(shared_->counters.batches);
  Bump(shared_->counters.sent, static_cast<std::uint64_t>(batch.messages_size()));
  return batch;
}

void PeerTransport::Peer::Open(const std::shared_ptr<Peer>& peer, std::uint64_t generation,
                               const std::string& address) {
  Bump(peer->shared_->counters.streams_opened);
  // A new channel each time: an old one would wait for a time of its own before it connects again.
  std::unique_ptr<Channel> channel = peer->shared_->connect(address);
  std::shared_ptr<StreamSender> sender = channel->OpenStream(
      kMethod, PeerDone::default_instance(), std::make_unique<Outgoing>(peer, generation));
  std::optional<PeerBatch> batch;
  bool current = false;
  {
    MutexLock lock(peer->mutex_);
    current = peer->generation_ == generation && peer->state_ == State::kOpening;
    if (current) {
      peer->state_ = State::kOpen;
      peer->channel_.swap(channel);
      peer->sender_ = sender;
      batch = peer->TakeBatch();
    }
  }
  if (batch) sender->Send(*batch);
  // It may have been closed, or we stopped, while it was being opened.
  if (!current) sender->Finish(Status(Code::kUnavailable, "not needed any more"));
}

void PeerTransport::Peer::OnDrained(const std::shared_ptr<Peer>& peer, std::uint64_t generation) {
  std::shared_ptr<StreamSender> sender;
  std::optional<PeerBatch> batch;
  {
    MutexLock lock(peer->mutex_);
    if (peer->generation_ != generation || peer->state_ != State::kOpen) return;
    peer->writing_ = false;
    peer->failures_ = 0;
    sender = peer->sender_;
    batch = peer->TakeBatch();
  }
  if (batch) sender->Send(*batch);
}

void PeerTransport::Peer::OnClosed(const std::shared_ptr<Peer>& peer, std::uint64_t generation,
                                   const Status& status) {
  Shared& shared = *peer->shared_;
  const Report report(shared);
  if (report.too_late()) return;
  Duration backoff = shared.options.backoff_max;
  std::unique_ptr<Channel> channel;
  bool is_out_of_reach = false;
  {
    MutexLock lock(peer->mutex_);
    if (peer->generation_ != generation || peer->state_ == State::kStopped) return;
    peer->state_ = State::kBackingOff;
    peer->sender_.reset();
    peer->channel_.swap(channel);
    peer->writing_ = false;
    Bump(shared.counters.dropped_lost, peer->waiting_.size());
    peer->waiting_.clear();
    peer->waiting_bytes_ = 0;
    // Who refuses us will go on to do so: no hurry then.
    if (status.code() != Code::kFailedPrecondition) {
      backoff =
          std::min(backoff, shared.options.backoff_min * (1 << std::min(peer->failures_, 10)));
    }
    is_out_of_reach = ++peer->failures_ >= kFailuresToTell;
  }
  if (status.code() == Code::kFailedPrecondition) {
    shared.Complain(peer->id_, "store " + ToString(peer->id_) +
                                   " refuses our messages: " + std::string(status.message()));
  } else if (is_out_of_reach) {
    shared.Complain(peer->id_, "store " + ToString(peer->id_) +
                                   " cannot be reached: " + std::string(status.message()));
  }
  shared.executor.PostAfter(shared.WithJitter(backoff), [peer] { OnBackoffOver(peer); });
}

void PeerTransport::Peer::OnBackoffOver(const std::shared_ptr<Peer>& peer) {
  std::string address;
  std::uint64_t generation = 0;
  {
    MutexLock lock(peer->mutex_);
    if (peer->state_ != State::kBackingOff) return;
    if (peer->waiting_.empty()) {
      peer->state_ = State::kIdle;  // The next message opens a stream.
      return;
    }
    peer->state_ = State::kOpening;
    generation = ++peer->generation_;
    address = peer->address_;
  }
  Open(peer, generation, address);
}

void PeerTransport::Peer::Stop() {
  std::unique_ptr<Channel> channel;
  std::shared_ptr<StreamSender> sender;
  {
    MutexLock lock(mutex_);
    state_ = State::kStopped;
    sender.swap(sender_);
    channel.swap(channel_);
    waiting_.clear();
    waiting_bytes_ = 0;
  }
  if (sender != nullptr) sender->Finish(Status(Code::kUnavailable, "the node is stopping"));
}

PeerTransport::PeerTransport(PeerTransportOptions options, const Clock& clock, Executor& executor,
                             std::unique_ptr<Random> random, ChannelFactory connect)
    : shared_(std::make_shared<Shared>(std::move(options), clock, executor, std::move(random),
                                       std::move(connect))) {}

PeerTransport::~PeerTransport() {
  shared_->Stop();
  std::map<StoreId, std::shared_ptr<Peer>> peers;
  {
    MutexLock lock(shared_->mutex);
    peers.swap(shared_->peers);
  }
  for (const auto& [id, peer] : peers) peer->Stop();
}

void PeerTransport::Register(Methods& methods) {
  methods.HandleStream<PeerBatch>(
      kMethod, [shared = shared_](const std::string& from, std::shared_ptr<StreamSender> sender) {
        return std::make_unique<Incoming>(shared, from, std::move(sender));
      });
}

void PeerTransport::SetAddress(StoreId store, std::string address) {
  std::shared_ptr<Peer> peer;
  {
    MutexLock lock(shared_->mutex);
    std::shared_ptr<Peer>& known = shared_->peers[store];
    if (known == nullptr) known = std::make_shared<Peer>(shared_, store);
    peer = known;
  }
  peer->SetAddress(std::move(address));
}

void PeerTransport::Start(Receiver receiver) {
  RUTILE_CHECK(!shared_->started.load(std::memory_order_relaxed), "started twice");
  shared_->receiver = std::move(receiver);
  shared_->started.store(true, std::memory_order_release);
}

void PeerTransport::Send(StoreId to, std::string message) {
  std::shared_ptr<Peer> peer;
  {
    MutexLock lock(shared_->mutex);
    const auto found = shared_->peers.find(to);
    if (found != shared_->peers.end()) peer = found->second;
  }
  if (peer == nullptr) return Bump(shared_->counters.dropped_unknown);
  Peer::Send(peer, std::move(message));
}

PeerTransport::Counters PeerTransport::counters() const {
  const auto read = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  const auto& from = shared_->counters;
  return Counters{.sent = read(from.sent),
                  .batches = read(from.batches),
                  .received = read(from.received),
                  .dropped_full = read(from.dropped_full),
                  .dropped_unknown = read(from.dropped_unknown),
                  .dropped_lost = read(from.dropped_lost),
                  .streams_opened = read(from.streams_opened),
                  .streams_refused = read(from.streams_refused)};
}

}  // namespace rutile::rpc
