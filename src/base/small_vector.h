#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace rutile {
namespace internal {

// Where a SmallVector has its values, and how many. Constructs and destroys none of them.
template <class T, std::size_t Inline>
class SmallVectorMemory {
 public:
  // The memory of values is left as it is until there are some.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init,modernize-use-equals-default)
  SmallVectorMemory() {}
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  bool IsInline() const { return capacity_ == Inline; }  // Memory of its own is always larger.
  T* data() { return IsInline() ? std::launder(reinterpret_cast<T*>(inline_)) : heap_; }
  void set_size(std::size_t size) { size_ = static_cast<std::uint32_t>(size); }

  // Memory for more than Inline values, which is nobody's yet.
  static T* Allocate(std::size_t capacity) { return std::allocator<T>().allocate(capacity); }
  // Takes over what Allocate(capacity) has given, in place of what it had.
  void Replace(T* memory, std::size_t capacity) {
    if (!IsInline()) std::allocator<T>().deallocate(heap_, capacity_);
    heap_ = memory;
    capacity_ = static_cast<std::uint32_t>(capacity);
  }
  // Requires this to have no memory of its own, and `other` to have some.
  void TakeFrom(SmallVectorMemory& other) {
    heap_ = other.heap_;
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, std::uint32_t{Inline});
  }
  void Free() {
    if (IsInline()) return;
    std::allocator<T>().deallocate(heap_, capacity_);
    capacity_ = Inline;
  }

 private:
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = Inline;
  union {
    T* heap_;
    alignas(T) std::byte inline_[std::max(Inline * sizeof(T), sizeof(T*))];
  };
};

// Of none in itself: one pointer, to the counts and the values behind them.
template <class T>
class SmallVectorMemory<T, 0> {
 public:
  std::size_t size() const { return counts_ == nullptr ? 0 : counts_->size; }
  std::size_t capacity() const { return counts_ == nullptr ? 0 : counts_->capacity; }
  bool IsInline() const { return counts_ == nullptr; }
  T* data() { return counts_ == nullptr ? nullptr : ValuesOf(counts_); }
  void set_size(std::size_t size) {
    if (counts_ != nullptr) counts_->size = static_cast<std::uint32_t>(size);
  }

  static T* Allocate(std::size_t capacity) {
    void* const block = ::operator new(kOffset + capacity * sizeof(T));
    return ValuesOf(::new (block) Counts{.capacity = static_cast<std::uint32_t>(capacity)});
  }
  void Replace(T* memory, std::size_t /*capacity*/) {
    Counts* const counts =
        reinterpret_cast<Counts*>(reinterpret_cast<std::byte*>(memory) - kOffset);
    counts->size = static_cast<std::uint32_t>(size());
    Free();
    counts_ = counts;
  }
  void TakeFrom(SmallVectorMemory& other) { counts_ = std::exchange(other.counts_, nullptr); }
  void Free() { ::operator delete(std::exchange(counts_, nullptr)); }

 private:
  struct Counts {
    std::uint32_t size = 0;
    std::uint32_t capacity = 0;
  };
  static_assert(alignof(T) <= alignof(std::max_align_t));
  static constexpr std::size_t kOffset = std::max(sizeof(Counts), alignof(T));

  static T* ValuesOf(Counts* counts) {
    return std::launder(reinterpret_cast<T*>(reinterpret_cast<std::byte*>(counts) + kOffset));
  }

  Counts* counts_ = nullptr;
};

}  // namespace internal

// A std::vector that keeps up to `Inline` values in itself and allocates for more: for lists that
// nearly always have one or two values and are made and moved a million times a second. With none
// in itself it is one pointer: for lists that are nearly always empty, of things that are many.
//
// Unlike with std::vector, moving one moves the values that it keeps in itself, so references to
// them and iterators do not outlive a move. Bounds are checked in every build. Not thread-safe.
template <class T, std::size_t Inline>
class SmallVector {
 public:
  using value_type = T;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;
  using reference = T&;
  using const_reference = const T&;
  using iterator = T*;
  using const_iterator = const T*;

  // The memory of values is left as it is until there are some.
  // NOLINTBEGIN(cppcoreguidelines-pro-type-member-init,modernize-use-equals-default)
  SmallVector() {}
  SmallVector(std::initializer_list<T> values) : SmallVector(values.begin(), values.end()) {}
  template <std::input_iterator Iterator>
  SmallVector(Iterator first, Iterator last) {
    insert(end(), first, last);
  }
  SmallVector(const SmallVector& other) : SmallVector(other.begin(), other.end()) {}
  SmallVector(SmallVector&& other) noexcept { TakeFrom(other); }
  // NOLINTEND(cppcoreguidelines-pro-type-member-init,modernize-use-equals-default)
  SmallVector& operator=(const SmallVector& other) {
    if (this != &other) *this = SmallVector(other);
    return *this;
  }
  SmallVector& operator=(SmallVector&& other) noexcept {
    if (this == &other) return *this;
    LetGo();
    TakeFrom(other);
    return *this;
  }
  ~SmallVector() { LetGo(); }

  bool empty() const { return size() == 0; }
  std::size_t size() const { return memory_.size(); }
  std::size_t capacity() const { return memory_.capacity(); }
  T* data() { return memory_.data(); }
  const T* data() const { return const_cast<SmallVector*>(this)->data(); }
  iterator begin() { return data(); }
  iterator end() { return data() + size(); }
  const_iterator begin() const { return data(); }
  const_iterator end() const { return data() + size(); }
  std::reverse_iterator<const_iterator> rbegin() const { return std::reverse_iterator(end()); }
  std::reverse_iterator<const_iterator> rend() const { return std::reverse_iterator(begin()); }

  T& operator[](std::size_t i) {
    RUTILE_CHECK(i < size());
    return data()[i];
  }
  const T& operator[](std::size_t i) const { return const_cast<SmallVector&>(*this)[i]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size() - 1]; }
  const T& back() const { return (*this)[size() - 1]; }

  void reserve(std::size_t wanted) {
    if (wanted > capacity()) Grow(wanted);
  }
  void push_back(const T& value) { emplace_back(value); }
  void push_back(T&& value) { emplace_back(std::move(value)); }
  // Aggregates too: from the values of their fields.
  template <class... Arguments>
  T& emplace_back(Arguments&&... arguments) {
    const std::size_t before = size();
    if (before == capacity()) return EmplaceBeyond(std::forward<Arguments>(arguments)...);
    void* const place = data() + before;
    memory_.set_size(before + 1);
    // Without the clearing of all its memory first that `T{}` would be.
    if constexpr (sizeof...(arguments) == 0) return *::new (place) T;
    return *::new (place) T{std::forward<Arguments>(arguments)...};
  }
  void pop_back() {
    RUTILE_CHECK(!empty());
    memory_.set_size(size() - 1);
    std::destroy_at(data() + size());
  }
  // Keeps the memory.
  void clear() {
    std::destroy_n(data(), size());
    memory_.set_size(0);
  }
  void resize(std::size_t wanted) {
    while (size() > wanted) pop_back();
    reserve(wanted);
    while (size() < wanted) emplace_back();
  }

  // Requires [first, last) to be no part of this.
  template <std::input_iterator Iterator>
  iterator insert(const_iterator at, Iterator first, Iterator last) {
    const auto place = at - begin();
    const auto count = static_cast<std::size_t>(std::distance(first, last));
    const std::size_t before = size();
    reserve(before + count);
    std::uninitialized_copy(first, last, end());
    memory_.set_size(before + count);
    std::rotate(begin() + place, begin() + before, end());
    return begin() + place;
  }
  iterator insert(const_iterator at, T value) {
    return insert(at, std::make_move_iterator(&value), std::make_move_iterator(&value + 1));
  }
  iterator erase(const_iterator first, const_iterator last) {
    T* const from = begin() + (first - begin());
    T* const kept = std::move(begin() + (last - begin()), end(), from);
    std::destroy(kept, end());
    memory_.set_size(static_cast<std::size_t>(kept - begin()));
    return from;
  }
  iterator erase(const_iterator at) { return erase(at, at + 1); }

  // Returns how many went.
  template <class Predicate>
  friend std::size_t erase_if(SmallVector& values, Predicate goes) {
    const std::size_t before = values.size();
    values.erase(std::remove_if(values.begin(), values.end(), goes), values.end());
    return before - values.size();
  }
  friend bool operator==(const SmallVector& a, const SmallVector& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  static_assert(std::is_nothrow_move_constructible_v<T>);

  // With growing first. The arguments may be in what is moved by it.
  template <class... Arguments>
  [[gnu::noinline]] T& EmplaceBeyond(Arguments&&... arguments) {
    T value{std::forward<Arguments>(arguments)...};
    const std::size_t before = size();
    Grow(before + 1);
    memory_.set_size(before + 1);
    return *::new (static_cast<void*>(data() + before)) T(std::move(value));
  }
  // To at least `wanted` values, and by half at least.
  void Grow(std::size_t wanted) {
    const std::size_t larger = std::max(wanted, capacity() + capacity() / 2 + 1);
    RUTILE_CHECK(larger <= UINT32_MAX);
    T* const memory = memory_.Allocate(larger);
    std::uninitialized_move_n(data(), size(), memory);
    std::destroy_n(data(), size());
    memory_.Replace(memory, larger);
  }
  // Requires this to own nothing. `other` does not either, afterwards.
  void TakeFrom(SmallVector& other) noexcept {
    if (!other.memory_.IsInline()) return memory_.TakeFrom(other.memory_);
    T* const from = other.data();
    for (std::size_t i = 0; i < other.size(); ++i) {
      ::new (static_cast<void*>(data() + i)) T(std::move(from[i]));
      std::destroy_at(from + i);
    }
    memory_.set_size(other.size());
    other.memory_.set_size(0);
  }
  void LetGo() noexcept {
    clear();
    memory_.Free();
  }

  internal::SmallVectorMemory<T, Inline> memory_;
};

}  // namespace rutile
