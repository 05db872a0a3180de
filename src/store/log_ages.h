#pragma once

#include <cstdint>

#include "base/ids.h"
#include "raft/ring_queue.h"

namespace rutile::store {

// How old the cached entries of one replica are, next to those of others of its store: up to which
// index its log reached at which LogMemory::age(). To a grain, so that a few dozen samples are
// enough; what is older than `horizon` is not told apart. Empty it owns nothing.
class LogAges {
 public:
  // The log, whose payloads before `first` are gone, ends at `last`.
  void Note(Index first, Index last, std::uint64_t age, std::uint64_t grain,
            std::uint64_t horizon) {
    // Cut, or gone.
    while (!samples_.empty() && samples_.back().last > last) samples_.pop_back();
    while (!samples_.empty() && samples_.front().last < first) samples_.pop_front();
    while (samples_.size() > 1 && age - samples_[1].age >= horizon) samples_.pop_front();
    if (last < first) return;
    if (samples_.empty() || (samples_.back().last < last && age - samples_.back().age >= grain)) {
      samples_.emplace_back(last, age);
    } else {
      samples_.back().last = last;
    }
  }
  // The last entry that is not younger than `age`; zero if there is none.
  Index OlderThan(std::uint64_t age) const {
    Index last;
    for (std::size_t i = 0; i < samples_.size() && samples_[i].age <= age; ++i) {
      last = samples_[i].last;
    }
    return last;
  }
  std::size_t size() const { return samples_.size(); }

 private:
  struct Sample {
    Index last = {};
    std::uint64_t age = 0;  // Of the oldest that it stands for.
  };

  raft::RingQueue<Sample> samples_ = {};
};

}  // namespace rutile::store
