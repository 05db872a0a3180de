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

// A std::vector that keeps up to `Inline` values in itself and allocates for more: for lists that
// nearly always have one or two values and are made and moved a million times a second.
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

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  std::size_t capacity() const { return capacity_; }
  T* data() { return IsInline() ? inline_values() : heap_; }
  const T* data() const { return const_cast<SmallVector*>(this)->data(); }
  iterator begin() { return data(); }
  iterator end() { return data() + size_; }
  const_iterator begin() const { return data(); }
  const_iterator end() const { return data() + size_; }
  std::reverse_iterator<const_iterator> rbegin() const { return std::reverse_iterator(end()); }
  std::reverse_iterator<const_iterator> rend() const { return std::reverse_iterator(begin()); }

  T& operator[](std::size_t i) {
    RUTILE_CHECK(i < size_);
    return data()[i];
  }
  const T& operator[](std::size_t i) const { return const_cast<SmallVector&>(*this)[i]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[std::size_t{size_} - 1]; }
  const T& back() const { return (*this)[std::size_t{size_} - 1]; }

  void reserve(std::size_t wanted) {
    if (wanted > capacity_) Grow(wanted);
  }
  void push_back(const T& value) { emplace_back(value); }
  void push_back(T&& value) { emplace_back(std::move(value)); }
  // Aggregates too: from the values of their fields.
  template <class... Arguments>
  T& emplace_back(Arguments&&... arguments) {
    if (size_ == capacity_) return EmplaceBeyond(std::forward<Arguments>(arguments)...);
    void* const place = data() + size_++;
    // Without the clearing of all its memory first that `T{}` would be.
    if constexpr (sizeof...(arguments) == 0) return *::new (place) T;
    return *::new (place) T{std::forward<Arguments>(arguments)...};
  }
  void pop_back() {
    RUTILE_CHECK(size_ > 0);
    --size_;
    std::destroy_at(data() + size_);
  }
  // Keeps the memory.
  void clear() {
    std::destroy_n(data(), size_);
    size_ = 0;
  }
  void resize(std::size_t wanted) {
    while (size_ > wanted) pop_back();
    reserve(wanted);
    while (size_ < wanted) emplace_back();
  }

  // Requires [first, last) to be no part of this.
  template <std::input_iterator Iterator>
  iterator insert(const_iterator at, Iterator first, Iterator last) {
    const auto place = at - begin();
    const auto count = static_cast<std::size_t>(std::distance(first, last));
    const std::size_t before = size_;
    reserve(before + count);
    std::uninitialized_copy(first, last, end());
    size_ += static_cast<std::uint32_t>(count);
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
    size_ = static_cast<std::uint32_t>(kept - begin());
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

  bool IsInline() const { return capacity_ == Inline; }
  T* inline_values() { return std::launder(reinterpret_cast<T*>(inline_)); }

  // With growing first. The arguments may be in what is moved by it.
  template <class... Arguments>
  [[gnu::noinline]] T& EmplaceBeyond(Arguments&&... arguments) {
    T value{std::forward<Arguments>(arguments)...};
    Grow(std::size_t{size_} + 1);
    return *::new (static_cast<void*>(data() + size_++)) T(std::move(value));
  }
  // To at least `wanted` values, and by half at least.
  void Grow(std::size_t wanted) {
    const std::size_t larger = std::max(wanted, capacity_ + capacity_ / 2 + std::size_t{1});
    RUTILE_CHECK(larger <= UINT32_MAX);
    T* const memory = std::allocator<T>().allocate(larger);
    std::uninitialized_move_n(data(), size_, memory);
    std::destroy_n(data(), size_);
    if (!IsInline()) std::allocator<T>().deallocate(heap_, capacity_);
    heap_ = memory;
    capacity_ = static_cast<std::uint32_t>(larger);
  }
  // Requires this to own nothing. `other` does not either, afterwards.
  void TakeFrom(SmallVector& other) noexcept {
    if (other.IsInline()) {
      for (std::uint32_t i = 0; i < other.size_; ++i) {
        ::new (static_cast<void*>(inline_values() + i)) T(std::move(other.inline_values()[i]));
        std::destroy_at(other.inline_values() + i);
      }
    } else {
      heap_ = other.heap_;
      capacity_ = std::exchange(other.capacity_, std::uint32_t{Inline});
    }
    size_ = std::exchange(other.size_, 0);
  }
  void LetGo() noexcept {
    std::destroy_n(data(), size_);
    size_ = 0;
    if (IsInline()) return;
    std::allocator<T>().deallocate(heap_, capacity_);
    capacity_ = Inline;
  }

  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = Inline;  // That of memory of its own is always larger.
  union {
    T* heap_;
    alignas(T) std::byte inline_[std::max(Inline * sizeof(T), sizeof(T*))];
  };
};

}  // namespace rutile
