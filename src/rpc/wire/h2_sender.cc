#include "rpc/wire/h2_sender.h"

#include <google/protobuf/message_lite.h>

#include <utility>

#include "rpc/wire/grpc_framing.h"

namespace rutile::rpc {

std::size_t H2Sender::Send(const Message& message) {
  bool move = false;
  std::size_t waiting = 0;
  {
    MutexLock lock(mutex_);
    if (closed_ || finished_) return 0;
    Status encoded = AppendFramed(message, &pending_);
    waiting = pending_.size() + in_stream_;
    if (encoded.ok() && waiting > limit_bytes_) {
      encoded = Status(Code::kResourceExhausted, std::to_string(waiting) +
                                                     " bytes wait on a stream that takes " +
                                                     std::to_string(limit_bytes_));
    }
    if (!encoded.ok()) {
      pending_.clear();
      finished_ = true;
      finish_ = std::move(encoded);
      waiting = 0;
    }
    move = Schedule();
  }
  if (move) Move();
  return waiting;
}

void H2Sender::Finish(Status status) {
  bool move = false;
  {
    MutexLock lock(mutex_);
    if (closed_ || finished_) return;
    finished_ = true;
    finish_ = std::move(status);
    move = Schedule();
  }
  if (move) Move();
}

// Under the lock, so that the loop is there: Close comes before it goes.
bool H2Sender::Schedule() {
  if (!open_) return false;
  if (loop_.IsOwner()) return true;
  if (scheduled_) return false;
  scheduled_ = true;
  loop_.Post([self = shared_from_this()] { self->Move(); });
  return false;
}

void H2Sender::OnDrained() {
  MutexLock lock(mutex_);
  in_stream_ = 0;
}

void H2Sender::Open(std::weak_ptr<H2Stream> stream, Finisher finisher) {
  stream_ = std::move(stream);
  finisher_ = std::move(finisher);
  {
    MutexLock lock(mutex_);
    open_ = true;
  }
  Move();
}

void H2Sender::Move() {
  std::string pending;
  std::optional<Status> finish;
  const std::shared_ptr<H2Stream> stream = stream_.lock();
  {
    MutexLock lock(mutex_);
    scheduled_ = false;
    if (closed_) return;
    pending.swap(pending_);
    finish.swap(finish_);
    if (stream != nullptr) in_stream_ = stream->unsent() + pending.size();
  }
  if (stream == nullptr) return;
  if (!pending.empty()) stream->Write(std::move(pending));
  if (finish) finisher_(*finish);
}

void H2Sender::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  pending_.clear();
  finish_.reset();
}

void H2Sender::Abort(const Status& status) {
  {
    MutexLock lock(mutex_);
    if (closed_) return;
    pending_.clear();
    finish_.reset();
    finished_ = true;
  }
  if (finisher_) finisher_(status);
}

std::size_t H2Sender::waiting() const {
  const std::shared_ptr<H2Stream> stream = stream_.lock();
  MutexLock lock(mutex_);
  return pending_.size() + (stream == nullptr ? 0 : stream->unsent());
}

}  // namespace rutile::rpc
