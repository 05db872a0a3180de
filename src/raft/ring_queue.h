#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/check.h"

namespace rutile::raft {

// A queue in one piece of memory that grows by half, for values that can be made without
// arguments. Unlike std::deque it owns nothing while it was never used, and little when it has run
// empty: a process has many thousands of idle groups, each with several of these.
//
// Iterators do not exist and references are valid until the next push. Not thread-safe.
template <class T>
class RingQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  // Requires i < size().
  const T& operator[](std::size_t i) const { return slots_[Slot(i)]; }
  const T& front() const { return (*this)[0]; }
  const T& back() const { return (*this)[size_ - 1]; }
  T& front() { return slots_[head_]; }
  T& back() { return slots_[Slot(size_ - 1)]; }

  void push_back(T value) {
    if (size_ == slots_.size()) Grow();
    slots_[Slot(size_)] = std::move(value);
    ++size_;
  }
  void pop_front() {
    RUTILE_CHECK(size_ > 0);
    slots_[head_] = T();
    head_ = Slot(1);
    --size_;
    if (size_ == 0) LetGo();
  }
  void pop_back() {
    RUTILE_CHECK(size_ > 0);
    slots_[Slot(size_ - 1)] = T();
    --size_;
    if (size_ == 0) LetGo();
  }
  void clear() { *this = RingQueue(); }

 private:
  static constexpr std::size_t kFirstBytes = 64;
  static constexpr std::size_t kKeptBytes = 256;

  // Requires i <= size().
  std::size_t Slot(std::size_t i) const {
    const std::size_t slot = head_ + i;
    return slot < slots_.size() ? slot : slot - slots_.size();
  }

  void Grow() {
    std::vector<T> larger(std::max(kFirstBytes / sizeof(T), slots_.size() + slots_.size() / 2 + 1));
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move(slots_[Slot(i)]);
    slots_ = std::move(larger);
    head_ = 0;
  }

  // A few slots stay, so that a queue that holds now one value and now none does not allocate.
  void LetGo() {
    if (slots_.size() * sizeof(T) > kKeptBytes) clear();
  }

  std::vector<T> slots_ = {};
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace rutile::raft
