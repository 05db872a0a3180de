#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "base/status.h"
#include "env/posix/event_loop.h"
#include "rpc/seam/stream.h"
#include "rpc/wire/h2_connection.h"

namespace rutile::rpc {

// The sending side of a stream of HTTP/2: messages are encoded by who sends them and written by the
// loop of the connection, in their order.
class H2Sender final : public StreamSender, public std::enable_shared_from_this<H2Sender> {
 public:
  // What the stream does when asked to finish. Owner of the loop.
  using Finisher = std::function<void(const Status& status)>;

  H2Sender(posix::EventLoop& loop, std::size_t limit_bytes)
      : loop_(loop), limit_bytes_(limit_bytes) {}

  std::size_t Send(const Message& message) override;
  void Finish(Status status) override;

  // --- Owner of the loop.

  // All that was moved has been sent.
  void OnDrained();
  // Begins to write to `stream`; what was sent before waited for this.
  void Open(std::weak_ptr<H2Stream> stream, Finisher finisher);
  // The stream has ended. The loop is not used any more, and may go.
  void Close();
  // Drops what waits and finishes with `status` unless the stream is finishing already.
  void Abort(const Status& status);
  // What was sent and is not on its way.
  std::size_t waiting() const;

 private:
  // Sees to it that the owner moves what waits. Returns whether the caller is he.
  bool Schedule() REQUIRES(mutex_);
  // Gives to the stream what waits. Owner.
  void Move();

  posix::EventLoop& loop_;
  const std::size_t limit_bytes_;
  std::weak_ptr<H2Stream> stream_;  // Owner.
  Finisher finisher_;               // Owner.

  mutable Mutex mutex_;
  std::string pending_ GUARDED_BY(mutex_);  // Framed.
  std::optional<Status> finish_ GUARDED_BY(mutex_);
  std::size_t in_stream_ GUARDED_BY(mutex_) = 0;  // Given to the stream, as of the last look.
  bool finished_ GUARDED_BY(mutex_) = false;      // Asked to finish: nothing is taken any more.
  bool scheduled_ GUARDED_BY(mutex_) = false;
  bool open_ GUARDED_BY(mutex_) = false;
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace rutile::rpc
