#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

#include "base/check.h"

namespace rutile::raft {

// A queue in one piece of memory that grows by half. Unlike std::deque it owns nothing while it was
// never used, and little when it has run empty: a process has many thousands of idle groups, each
// with several of these. The first `Inline` values are kept in the queue itself.
//
// Iterators do not exist and references are valid until the next push. Not thread-safe.
template <class T, std::size_t Inline = 0>
class RingQueue {
 public:
  // The memory of values is left as it is until there are some.
  // NOLINTBEGIN(cppcoreguidelines-pro-type-member-init,modernize-use-equals-default)
  RingQueue() {}
  RingQueue(const RingQueue& other) {
    for (std::size_t i = 0; i < other.size(); ++i) push_back(other[i]);
  }
  RingQueue(RingQueue&& other) noexcept { TakeFrom(other); }
  // NOLINTEND(cppcoreguidelines-pro-type-member-init,modernize-use-equals-default)
  RingQueue& operator=(const RingQueue& other) {
    if (this != &other) *this = RingQueue(other);
    return *this;
  }
  RingQueue& operator=(RingQueue&& other) noexcept {
    if (this == &other) return *this;
    clear();
    TakeFrom(other);
    return *this;
  }
  ~RingQueue() { clear(); }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  const T& operator[](std::size_t i) const {
    RUTILE_CHECK(i < size_);
    return slots()[Slot(i)];
  }
  T& operator[](std::size_t i) { return const_cast<T&>(std::as_const(*this)[i]); }
  const T& front() const { return (*this)[0]; }
  const T& back() const { return (*this)[std::size_t{size_} - 1]; }
  T& front() { return (*this)[0]; }
  T& back() { return (*this)[std::size_t{size_} - 1]; }

  void push_back(T value) { emplace_back(std::move(value)); }
  // Aggregates too: from the values of their fields. These must not lie in this queue.
  template <class... Arguments>
  T& emplace_back(Arguments&&... arguments) {
    if (size_ == capacity_) Grow();
    T* const slot = slots() + Slot(size_);
    ::new (static_cast<void*>(slot)) T{std::forward<Arguments>(arguments)...};
    ++size_;
    return *slot;
  }
  void pop_front() {
    RUTILE_CHECK(size_ > 0);
    std::destroy_at(slots() + head_);
    head_ = static_cast<std::uint32_t>(Slot(1));
    if (--size_ == 0) RunEmpty();
  }
  void pop_back() {
    RUTILE_CHECK(size_ > 0);
    std::destroy_at(slots() + Slot(std::size_t{size_} - 1));
    if (--size_ == 0) RunEmpty();
  }
  void clear() {
    for (std::size_t i = 0; i < size_; ++i) std::destroy_at(slots() + Slot(i));
    size_ = 0;
    LetGo();
  }

 private:
  static constexpr std::size_t kFirstBytes = 64;
  static constexpr std::size_t kKeptBytes = 256;

  bool IsInline() const { return capacity_ == Inline; }
  T* slots() { return IsInline() ? std::launder(reinterpret_cast<T*>(inline_)) : heap_; }
  const T* slots() const { return const_cast<RingQueue*>(this)->slots(); }
  // Requires i <= size().
  std::size_t Slot(std::size_t i) const {
    const std::size_t slot = head_ + i;
    return slot < capacity_ ? slot : slot - capacity_;
  }

  void Grow() {
    const std::size_t larger = std::max(std::max<std::size_t>(kFirstBytes / sizeof(T), Inline + 1),
                                        std::size_t{capacity_} + capacity_ / 2 + 1);
    RUTILE_CHECK(larger <= UINT32_MAX);
    T* const memory = std::allocator<T>().allocate(larger);
    const std::uint32_t size = size_;
    for (std::size_t i = 0; i < size; ++i) {
      T& from = slots()[Slot(i)];
      ::new (static_cast<void*>(memory + i)) T(std::move(from));
      std::destroy_at(&from);
    }
    LetGo();
    heap_ = memory;
    capacity_ = static_cast<std::uint32_t>(larger);
    head_ = 0;
  }

  // A few slots stay, so that a queue that holds now one value and now none does not allocate.
  void RunEmpty() {
    head_ = 0;
    if (!IsInline() && capacity_ * sizeof(T) > kKeptBytes) LetGo();
  }
  // Requires that no value is left.
  void LetGo() noexcept {
    if (!IsInline()) std::allocator<T>().deallocate(heap_, capacity_);
    capacity_ = Inline;
    head_ = 0;
  }
  // Requires this to own nothing. `other` does not either, afterwards.
  void TakeFrom(RingQueue& other) noexcept {
    if (other.IsInline()) {
      for (std::size_t i = 0; i < other.size_; ++i) emplace_back(std::move(other[i]));
      other.clear();
      return;
    }
    heap_ = other.heap_;
    capacity_ = std::exchange(other.capacity_, std::uint32_t{Inline});
    head_ = std::exchange(other.head_, 0);
    size_ = std::exchange(other.size_, 0);
  }

  std::uint32_t capacity_ = Inline;  // That of memory of its own is always larger.
  std::uint32_t head_ = 0;
  std::uint32_t size_ = 0;
  union {
    T* heap_;
    alignas(T) std::byte inline_[std::max(Inline * sizeof(T), sizeof(T*))];
  };
};

}  // namespace rutile::raft
