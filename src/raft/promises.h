#pragma once

#include <cstddef>

#include "raft/log_tail.h"
#include "raft/ring_queue.h"
#include "raft/types.h"

namespace rutile::raft {

// Messages that promise something, held until it is durable (rule 6 of the design): votes and
// requests for votes wait for the hard state, append replies also for the entries that they
// acknowledge.
//
// All of them are of the current term: a change of term makes each of them void.
class Promises {
 public:
  // `mark.write` is the write to wait for, never before that of an earlier call of the same kind.
  // `mark.index` is the last entry that the message acknowledges, zero for none; `mark.epoch` is
  // the tail's. What acknowledges an entry is a kAppendReply without anything but its `match`.
  void Hold(Message&& message, const Mark& mark);
  // Moves to `out`, in order and as of `from`, what the tail says is durable and still current;
  // what is durable but was cut since is dropped. Of several acknowledgements to one peer only the
  // last is sent.
  void Release(PeerId from, const LogTail& tail, Messages& out);
  void DropAll();
  std::size_t size() const { return of_state_.size() + of_log_.size(); }

 private:
  struct Held {
    Message message = {};
    WriteNumber write = {};
  };
  // Nearly all that is ever held, so without the rest of a message.
  struct Acknowledgement {
    PeerId to = {};
    Mark mark = {};  // Of the entry that it acknowledges, and of the message's term.
  };

  void HoldAcknowledgement(const Message& message, const Mark& mark);

  // Apart, because those that wait for the hard state must not queue behind a slow log write.
  RingQueue<Held> of_state_ = {};
  RingQueue<Acknowledgement, 1> of_log_ = {};
};

}  // namespace rutile::raft
