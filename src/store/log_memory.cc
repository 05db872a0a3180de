#include "store/log_memory.h"

#include <algorithm>
#include <utility>

#include "base/log_slice.h"
#include "base/probe.h"

namespace rutile::store {
namespace {

constexpr Duration kLongestPause = Milliseconds(100);

// Payload with its charge. The quota outlives the charge, whoever is the last to hold it.
struct Counted {
  Counted(std::shared_ptr<MemoryQuota> of, QuotaCharge counted, std::string bytes)
      : quota(std::move(of)), charge(std::move(counted)), data(std::move(bytes)) {}

  const std::shared_ptr<MemoryQuota> quota;
  const QuotaCharge charge;
  const std::string data;
};

Bytes BytesOf(std::shared_ptr<const Counted> counted) {
  const std::string_view data = counted->data;
  return Bytes(std::move(counted), data);
}

}  // namespace

LogMemory::LogMemory(std::size_t limit_bytes)
    : quota_(std::make_shared<MemoryQuota>(std::max<std::size_t>(1, limit_bytes))) {}

std::optional<QuotaCharge> LogMemory::TryReserve(std::size_t payload_bytes) {
  const std::size_t bytes = Entry::kOverheadBytes + payload_bytes;
  std::optional<QuotaCharge> charge = QuotaCharge::Try(*quota_, bytes);
  if (charge) {
    NoteCounted(bytes);
    return charge;
  }
  refused_.fetch_add(1, std::memory_order_relaxed);
  std::size_t wanted = wanted_.load(std::memory_order_relaxed);
  while (wanted < bytes && !wanted_.compare_exchange_weak(wanted, bytes)) {
  }
  AskForRelief();
  return std::nullopt;
}

Bytes LogMemory::Keep(std::string payload, QuotaCharge reserved) {
  if (reserved.bytes() == 0) {
    const std::size_t bytes = Entry::kOverheadBytes + payload.size();
    reserved = QuotaCharge::Force(*quota_, bytes);
    NoteCounted(bytes);
  }
  return BytesOf(std::make_shared<Counted>(quota_, std::move(reserved), std::move(payload)));
}

Bytes LogMemory::Copy(std::string_view shared, std::size_t entries) {
  const std::size_t bytes = shared.size() + entries * Entry::kOverheadBytes;
  QuotaCharge charge = QuotaCharge::Force(*quota_, bytes);
  NoteCounted(bytes);
  return BytesOf(std::make_shared<Counted>(quota_, std::move(charge), std::string(shared)));
}

void LogMemory::NoteCounted(std::size_t bytes) {
  age_.fetch_add(bytes, std::memory_order_relaxed);
  if (!needs_relief()) return;
  if (!scarce() && used_bytes() > plenty_bytes()) {
    RUTILE_SOMETIMES(true, "store: the memory of the log is scarce");
    scarce_.store(true, std::memory_order_relaxed);
  }
  AskForRelief();
}

void LogMemory::AskForRelief() {
  if (relieving_.exchange(true)) return;
  if (on_pressure_) on_pressure_();
}

bool LogMemory::needs_relief() const {
  const std::size_t limit = limit_bytes();
  const std::size_t wanted = std::min(limit, wanted_.load(std::memory_order_relaxed));
  return used_bytes() > std::min(limit / 4 * 3, limit - wanted);
}

Duration LogMemory::Pause() const {
  const std::size_t used = std::min(used_bytes(), limit_bytes());
  const std::size_t plenty = plenty_bytes();
  if (used <= plenty) return {};
  const double part =
      static_cast<double>(used - plenty) / static_cast<double>(limit_bytes() - plenty);
  return std::chrono::duration_cast<Duration>(kLongestPause * part);
}

std::uint64_t LogMemory::old_age() const {
  const std::uint64_t now = age();
  return now - std::min<std::uint64_t>(now, limit_bytes() / 2);
}

void LogMemory::NoteEvicted(std::size_t entry_bytes) {
  evicted_.fetch_add(entry_bytes, std::memory_order_relaxed);
}

void LogMemory::EndRelief() {
  wanted_.store(0, std::memory_order_relaxed);
  relieving_.store(false);
  scarce_.store(false, std::memory_order_relaxed);
  // Whoever counted meanwhile has asked in vain.
  if (needs_relief()) AskForRelief();
}

}  // namespace rutile::store
