#include "store/garbage_filter.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include "base/probe.h"
#include "mvcc/garbage_sieve.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "store/safe_point.h"

namespace rutile::store {
namespace {

using mvcc::GarbageSieve;

// Safe points of a region that wait to count. They rise every few minutes; what waits longer than
// so many of them is replaced by the newest.
constexpr std::size_t kMostRaised = 8;

}  // namespace

class GarbageFilter::RegionWalk final : public engine::RecordFilter::Walk {
 public:
  // In the order of keys, and not overlapping.
  RegionWalk(std::shared_ptr<GarbageFilter> filter, std::vector<Range> ranges)
      : filter_(std::move(filter)), ranges_(std::move(ranges)) {}

  ~RegionWalk() override { filter_->dropped_.fetch_add(dropped_, std::memory_order_relaxed); }
  RegionWalk(const RegionWalk&) = delete;
  RegionWalk& operator=(const RegionWalk&) = delete;

  bool Drops(std::string_view key, std::string_view value) override {
    const auto parts = mvcc::SplitVersionKey(key);
    if (!parts) return false;
    if (!sieve_ || parts->lock_key != lock_key_) Enter(parts->lock_key);
    if (parts->timestamp > safe_point_) return false;
    const Result<mvcc::Write> write = mvcc::DecodeWrite(value);
    if (!write.ok()) return false;  // Who reads it says so.
    const bool is_garbage =
        sieve_->Judge(parts->timestamp, write.value()) == GarbageSieve::Verdict::kGarbage &&
        !mvcc::HasLongValue(write.value()) && !IsHeld();
    RUTILE_SOMETIMES(is_garbage, "store: a compaction leaves out an old version");
    if (is_garbage) ++dropped_;
    return is_garbage;
  }

 private:
  // The records of another key begin.
  void Enter(std::string_view lock_key) {
    lock_key_ = lock_key;
    is_held_.reset();
    const auto after = [](const engine::Bounds& within, std::string_view key) {
      return !within.upper.empty() && within.upper <= key;
    };
    while (next_ < ranges_.size() && after(ranges_[next_].within, lock_key)) ++next_;
    const bool is_inside = next_ < ranges_.size() && ranges_[next_].within.lower <= lock_key;
    safe_point_ = is_inside ? ranges_[next_].safe_point : mvcc::Timestamp();
    sieve_.emplace(safe_point_);
  }

  // Whether a transaction that is not over has a lock on the key: as for FindGarbage.
  bool IsHeld() {
    if (is_held_) return *is_held_;
    is_held_ = true;
    const auto stored = filter_->engine_.Get(engine::Family::kLock, lock_key_);
    if (!stored.ok()) return true;
    if (!stored.value()) {
      is_held_ = false;
    } else if (const auto lock = mvcc::DecodeLock(*stored.value()); lock.ok()) {
      is_held_ = lock.value().start < safe_point_;
      RUTILE_SOMETIMES(*is_held_, "store: a lock keeps a filter from old versions");
    }
    return *is_held_;
  }

  const std::shared_ptr<GarbageFilter> filter_;
  const std::vector<Range> ranges_;
  std::size_t next_ = 0;  // The range that the key is in or before.
  std::string lock_key_;
  mvcc::Timestamp safe_point_;  // Zero: outside of all.
  std::optional<GarbageSieve> sieve_;
  std::optional<bool> is_held_;
  std::uint64_t dropped_ = 0;
};

void GarbageFilter::Learn(const Region& region) {
  if (region.IsWaiting() || region.id < kFirstUserRegion) return;
  const auto snapshot = engine_.GetSnapshot();
  const Result<mvcc::Timestamp> stored = SafePointOf({.snapshot = *snapshot, .region = region});
  // Whoever serves from the engine says what is wrong with it; the filter knows of less then.
  if (!stored.ok() || stored.value().IsZero()) return;
  const mvcc::Timestamp safe_point = stored.value();
  const std::uint64_t sequence = engine_.WrittenSequence();
  MutexLock lock(mutex_);
  Known& known = regions_[region.id];
  known.within = BoundsOf(region);
  if (!known.raised.empty() && known.raised.back().safe_point >= safe_point) return;
  if (known.raised.size() == kMostRaised) known.raised.pop_back();
  known.raised.push_back({.sequence = sequence, .safe_point = safe_point});
}

void GarbageFilter::Forget(RegionId region) {
  MutexLock lock(mutex_);
  regions_.erase(region);
}

std::unique_ptr<engine::RecordFilter::Walk> GarbageFilter::Begin(engine::Family family,
                                                                 std::uint64_t seen) {
  if (family != engine::Family::kWrite) return nullptr;
  std::vector<Range> ranges;
  {
    MutexLock lock(mutex_);
    for (auto& [region, known] : regions_) {
      const auto waits = std::find_if(known.raised.begin(), known.raised.end(),
                                      [seen](const Raised& one) { return one.sequence > seen; });
      RUTILE_SOMETIMES(waits != known.raised.end(), "store: a safe point does not count yet");
      if (waits == known.raised.begin()) continue;
      known.raised.erase(known.raised.begin(), waits - 1);
      ranges.push_back({known.within, known.raised.front().safe_point});
    }
  }
  if (ranges.empty()) return nullptr;
  std::sort(ranges.begin(), ranges.end(), [](const Range& left, const Range& right) {
    return left.within.lower < right.within.lower;
  });
  return std::make_unique<RegionWalk>(shared_from_this(), std::move(ranges));
}

}  // namespace rutile::store
