#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "base/status.h"
#include "rpc/seam/stream.h"

namespace grpc {
class ByteBuffer;
}  // namespace grpc

namespace rutile::rpc {

// What waits to be written to a stream of gRPC, which takes one message at a time.
//
//   (1) At most one of the wire's operations is under way, a write or the finish, and the finish is
//       started once and last. So the wire's object lives whenever one is started.
//   (2) Nothing is written after a write has failed or Abort was called.
//
// Safe from any thread. The wire's operations are started with no lock held.
class SendQueue final : public StreamSender {
 public:
  class Wire {
   public:
    virtual ~Wire() = default;
    // `buffer` stays until the wire calls OnWritten.
    virtual void StartWrite(const grpc::ByteBuffer* buffer) = 0;
    virtual void StartFinish(const Status& status) = 0;
  };

  // `wire` must live until it was told to finish.
  SendQueue(Wire* wire, std::size_t limit_bytes);
  ~SendQueue() override;

  std::size_t Send(const Message& message) override;
  void Finish(Status status) override;

  // Drops what waits and finishes as soon as no write is under way. A Finish that has not started
  // gives way to it.
  void Abort(Status status);

  struct Written {
    bool drained = false;         // Nothing waits, and the stream is open.
    bool resume_reading = false;  // The caller had paused: it may read on.
  };
  // The write that was started has ended.
  Written OnWritten(bool ok);

  // True when more than `limit` bytes wait; then OnWritten will tell when at most half of it does.
  bool PauseReading(std::size_t limit);

 private:
  // Starts what is due, if anything. Called with the lock held; releases it.
  void Advance() RUTILE_ATTRIBUTE(release_capability(mutex_));
  void DropWaiting() REQUIRES(mutex_);

  Wire* const wire_;
  const std::size_t limit_bytes_;

  Mutex mutex_;
  std::deque<std::unique_ptr<grpc::ByteBuffer>> waiting_ GUARDED_BY(mutex_);
  std::unique_ptr<grpc::ByteBuffer> writing_ GUARDED_BY(mutex_);  // Null: no write under way.
  std::size_t bytes_ GUARDED_BY(mutex_) = 0;                      // Of both.
  std::size_t resume_below_ GUARDED_BY(mutex_) = 0;               // 0: reading is not paused.
  std::optional<Status> finish_ GUARDED_BY(mutex_);               // Asked for; not started yet.
  bool aborted_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;  // The finish has been started.
};

}  // namespace rutile::rpc
