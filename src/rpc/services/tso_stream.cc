#include "rpc/services/tso_stream.h"

#include <atomic>
#include <deque>
#include <string>
#include <utility>

#include "base/mutex.h"
#include "proto/pdpb.pb.h"
#include "rpc/services/placement_call.h"

namespace rutile::rpc {
namespace {

// No client has more than a few requests under way; this many are a fault or an attack.
constexpr std::size_t kMaxWaiting = 10'000;

// The requests of a stream. Shared with the one under way, which may outlive the stream.
//
// One request at a time is with the source: two at once could get their timestamps in either order,
// and a client stops for good when it sees time go back.
class Requests : public std::enable_shared_from_this<Requests> {
 public:
  Requests(TimestampSource source, ClusterId cluster, std::shared_ptr<StreamSender> sender)
      : source_(std::move(source)), cluster_(cluster), sender_(std::move(sender)) {}

  void Push(std::uint32_t count) {
    bool full = false;
    {
      MutexLock lock(mutex_);
      full = waiting_.size() == kMaxWaiting;
      if (!full) waiting_.push_back(count);
      if (!full && std::exchange(busy_, true)) return;
    }
    if (full) return Refuse(Status(Code::kResourceExhausted, "too many requests wait"));
    Pump();
  }

  void OnHalfClosed() {
    {
      MutexLock lock(mutex_);
      half_closed_ = true;
      if (busy_) return;
    }
    sender_->Finish(Status());
  }

  // Ends the stream; what waits gets no answer.
  void Refuse(Status status) {
    {
      MutexLock lock(mutex_);
      ended_ = true;
      waiting_.clear();
    }
    sender_->Finish(std::move(status));
  }

 private:
  // Hands requests to the source until one has to wait there, or none is left.
  void Pump() {
    while (const std::optional<std::uint32_t> count = Next()) {
      // The source may answer during the call or later; whoever is second goes on.
      auto first_is_through = std::make_shared<std::atomic<bool>>(false);
      source_(*count, [self = shared_from_this(), count = *count,
                       first_is_through](Result<placement::Timestamp> result) {
        self->Answer(count, std::move(result));
        if (first_is_through->exchange(true)) self->Pump();
      });
      if (!first_is_through->exchange(true)) return;
    }
  }

  // Nothing: the pump stops.
  std::optional<std::uint32_t> Next() {
    bool finish = false;
    {
      MutexLock lock(mutex_);
      if (!waiting_.empty() && !ended_) {
        const std::uint32_t count = waiting_.front();
        waiting_.pop_front();
        return count;
      }
      busy_ = false;
      finish = half_closed_ && !ended_;
    }
    if (finish) sender_->Finish(Status());
    return std::nullopt;
  }

  void Answer(std::uint32_t count, Result<placement::Timestamp> result) {
    if (!result.ok()) return Refuse(result.status());
    pdpb::TsoResponse response;
    response.mutable_header()->set_cluster_id(cluster_.value());
    response.set_count(count);
    response.mutable_timestamp()->set_physical(
        static_cast<std::int64_t>(result.value().physical_ms));
    response.mutable_timestamp()->set_logical(static_cast<std::int64_t>(result.value().logical));
    sender_->Send(response);
  }

  const TimestampSource source_;
  const ClusterId cluster_;
  const std::shared_ptr<StreamSender> sender_;
  Mutex mutex_;
  std::deque<std::uint32_t> waiting_ GUARDED_BY(mutex_);  // Counts.
  bool busy_ GUARDED_BY(mutex_) = false;                  // Somebody pumps, or will.
  bool half_closed_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;
};

class TsoStream final : public TypedStreamHandler<pdpb::TsoRequest> {
 public:
  TsoStream(TimestampSource source, ClusterId cluster, std::shared_ptr<StreamSender> sender)
      : cluster_(cluster),
        requests_(std::make_shared<Requests>(std::move(source), cluster, std::move(sender))) {}

  void OnTyped(const pdpb::TsoRequest& request) override {
    if (Status status = CheckCluster(request.header().cluster_id(), cluster_); !status.ok()) {
      return requests_->Refuse(std::move(status));
    }
    if (!request.dc_location().empty() && request.dc_location() != "global") {
      return requests_->Refuse(
          Status(Code::kInvalidArgument, "timestamps of location '" + request.dc_location() +
                                             "' are not served; there are global ones only"));
    }
    requests_->Push(request.count());
  }
  void OnHalfClosed() override { requests_->OnHalfClosed(); }
  void OnClosed(const Status& status) override { requests_->Refuse(status); }

 private:
  const ClusterId cluster_;
  const std::shared_ptr<Requests> requests_;
};

}  // namespace

std::unique_ptr<StreamHandler> NewTsoStream(TimestampSource source, ClusterId cluster,
                                            std::shared_ptr<StreamSender> sender) {
  return std::make_unique<TsoStream>(std::move(source), cluster, std::move(sender));
}

}  // namespace rutile::rpc
