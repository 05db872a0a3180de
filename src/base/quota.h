#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/check.h"

namespace rutile {

// Bounds the bytes that something may hold: what is acquired is released to the byte. Safe from any
// thread; never blocks, so that the caller decides what "full" means (refuse, slow down, wait).
class MemoryQuota {
 public:
  explicit MemoryQuota(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  ~MemoryQuota() { RUTILE_CHECK(used_bytes() == 0, "bytes were never released"); }
  MemoryQuota(const MemoryQuota&) = delete;
  MemoryQuota& operator=(const MemoryQuota&) = delete;

  // Takes all of `bytes` or nothing. An empty quota grants one request of any size, or what is
  // larger than the limit could never be served.
  bool TryAcquire(std::size_t bytes) { return TryAcquire(bytes, limit_bytes()); }
  // For one to whom another limit applies.
  bool TryAcquire(std::size_t bytes, std::size_t limit) {
    std::size_t used = used_bytes_.load(std::memory_order_relaxed);
    do {
      if (used != 0 && (used >= limit || bytes > limit - used)) return false;
    } while (!used_bytes_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  // Takes `bytes` even beyond the limit: for what exists already and can only be counted.
  void Acquire(std::size_t bytes) { used_bytes_.fetch_add(bytes, std::memory_order_relaxed); }
  // Requires that much to be held.
  void Release(std::size_t bytes) {
    const std::size_t before = used_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
    RUTILE_CHECK(before >= bytes, "more was released than acquired");
  }

  std::size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  std::size_t limit_bytes() const { return limit_bytes_.load(std::memory_order_relaxed); }
  // Applies to what is acquired from now on.
  void set_limit_bytes(std::size_t limit) { limit_bytes_.store(limit, std::memory_order_relaxed); }

 private:
  std::atomic<std::size_t> limit_bytes_;
  std::atomic<std::size_t> used_bytes_ = 0;
};

// Bytes of a quota, given back on destruction. Move-only; the quota outlives it. Holding nothing
// is a value like others.
class QuotaCharge {
 public:
  QuotaCharge() = default;
  // Nothing when the quota is full.
  static std::optional<QuotaCharge> Try(MemoryQuota& quota, std::size_t bytes) {
    return Try(quota, bytes, quota.limit_bytes());
  }
  static std::optional<QuotaCharge> Try(MemoryQuota& quota, std::size_t bytes, std::size_t limit) {
    if (!quota.TryAcquire(bytes, limit)) return std::nullopt;
    return QuotaCharge(&quota, bytes);
  }
  // Even beyond the limit.
  static QuotaCharge Force(MemoryQuota& quota, std::size_t bytes) {
    quota.Acquire(bytes);
    return QuotaCharge(&quota, bytes);
  }
  QuotaCharge(QuotaCharge&& other) noexcept
      : quota_(std::exchange(other.quota_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  QuotaCharge& operator=(QuotaCharge&& other) noexcept {
    if (this == &other) return *this;
    Reset();
    quota_ = std::exchange(other.quota_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~QuotaCharge() { Reset(); }

  std::size_t bytes() const { return bytes_; }
  // Gives the bytes back now.
  void Reset() {
    if (quota_ != nullptr) quota_->Release(bytes_);
    quota_ = nullptr;
    bytes_ = 0;
  }

 private:
  QuotaCharge(MemoryQuota* quota, std::size_t bytes) : quota_(quota), bytes_(bytes) {}

  MemoryQuota* quota_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace rutile
