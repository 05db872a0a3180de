#pragma once

#include <cstddef>
#include <cstdint>

#include "raft/ring_queue.h"

namespace rutile::raft {

// Bytes that were given to somebody who works them off in order (the log writer, apply), and are
// not done. Empty it owns nothing.
class Backlog {
 public:
  // Numbers rise; of one number are all bytes of one piece of work.
  void Add(std::uint64_t number, std::size_t bytes) {
    if (bytes == 0) return;
    pieces_.emplace_back(number, bytes);
    bytes_ += bytes;
  }
  // Everything up to `number` is done.
  void DoneUpTo(std::uint64_t number) {
    while (!pieces_.empty() && pieces_.front().number <= number) {
      bytes_ -= pieces_.front().bytes;
      pieces_.pop_front();
    }
  }
  void Clear() { *this = Backlog(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Piece {
    std::uint64_t number = 0;
    std::size_t bytes = 0;
  };

  RingQueue<Piece, 1> pieces_ = {};
  std::size_t bytes_ = 0;
};

}  // namespace rutile::raft
