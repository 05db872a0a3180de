#include "rpc/testing/send_queue.h"

#include <grpcpp/support/byte_buffer.h>

#include <utility>

#include "base/check.h"
#include "rpc/testing/grpc_wire.h"

namespace rutile::rpc {

SendQueue::SendQueue(Wire* wire, std::size_t limit_bytes)
    : wire_(wire), limit_bytes_(limit_bytes) {}

SendQueue::~SendQueue() = default;

std::size_t SendQueue::Send(const Message& message) {
  auto buffer = std::make_unique<grpc::ByteBuffer>();
  if (Status encoded = Encode(message, buffer.get()); !encoded.ok()) {
    Abort(std::move(encoded));
    return 0;
  }
  const std::size_t size = buffer->Length();
  mutex_.Lock();
  if (finish_ || aborted_ || finished_) {
    mutex_.Unlock();
    return 0;
  }
  if (bytes_ + size > limit_bytes_ && bytes_ > 0) {
    mutex_.Unlock();
    Abort(Status(Code::kResourceExhausted, "the receiver of the stream is too slow"));
    return 0;
  }
  bytes_ += size;
  waiting_.push_back(std::move(buffer));
  const std::size_t backlog = bytes_;
  Advance();
  return backlog;
}

void SendQueue::Finish(Status status) {
  mutex_.Lock();
  if (finish_ || aborted_ || finished_) {
    mutex_.Unlock();
    return;
  }
  finish_ = std::move(status);
  Advance();
}

void SendQueue::Abort(Status status) {
  mutex_.Lock();
  if (aborted_ || finished_) {
    mutex_.Unlock();
    return;
  }
  aborted_ = true;
  finish_ = std::move(status);
  DropWaiting();
  Advance();
}

SendQueue::Written SendQueue::OnWritten(bool ok) {
  Written result;
  mutex_.Lock();
  RUTILE_CHECK(writing_ != nullptr, "a write ends that was not started");
  bytes_ -= writing_->Length();
  writing_.reset();
  if (!ok && !aborted_ && !finished_) {
    aborted_ = true;
    finish_ = Status(Code::kUnavailable, "the connection is lost");
    DropWaiting();
  }
  result.drained = waiting_.empty() && !finish_ && !finished_;
  if (resume_below_ > 0 && bytes_ < resume_below_) {
    resume_below_ = 0;
    result.resume_reading = true;
  }
  Advance();
  return result;
}

bool SendQueue::PauseReading(std::size_t limit) {
  MutexLock lock(mutex_);
  if (bytes_ <= limit) return false;
  resume_below_ = limit / 2 + 1;
  return true;
}

void SendQueue::Advance() {
  if (writing_ != nullptr || finished_) {
    mutex_.Unlock();
    return;
  }
  if (!waiting_.empty()) {
    writing_ = std::move(waiting_.front());
    waiting_.pop_front();
    const grpc::ByteBuffer* buffer = writing_.get();
    mutex_.Unlock();
    wire_->StartWrite(buffer);
    return;
  }
  if (finish_) {
    finished_ = true;
    const Status status = std::move(*finish_);
    finish_.reset();
    mutex_.Unlock();
    wire_->StartFinish(status);
    return;
  }
  mutex_.Unlock();
}

void SendQueue::DropWaiting() {
  for (const auto& buffer : waiting_) bytes_ -= buffer->Length();
  waiting_.clear();
}

}  // namespace rutile::rpc
