#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/quota.h"
#include "base/task.h"
#include "base/time.h"

namespace rutile::store {

// Bounds what the log path of one store holds in memory: writes from their arrival, entries in the
// tails of all replicas, on their way to the log's disk, and on their way to apply.
//
// These share entries by reference, and let go of them in any order. So the charge goes with the
// memory and not with those who hold it: whatever keeps the payload of an entry alive keeps it
// counted, once, and the last to let go gives it back. Nobody has to tell when a log is cut,
// compacted, evicted, replaced by a snapshot or destroyed. An entry that a client wrote counts its
// payload and Entry::kOverheadBytes; those that came in one message share its memory and count it
// as a whole until the last of them is gone. Entries that the core makes itself (the empty one of a
// new leader, changes of members) are few and small and not counted.
//
// Whoever wants to write is refused at the limit. What exists already (messages of a leader, what a
// restart reads) can only be counted, and may exceed it by what is on its way; followers that are
// told that memory is scarce take no more from their leaders than they have worked off.
//
// Safe from any thread. What it has counted may outlive it.
class LogMemory {
 public:
  explicit LogMemory(std::size_t limit_bytes);

  // Runs when payloads should be evicted, on the thread of whoever needs memory; it should only
  // post. It runs again after EndRelief(), when it must. To be set before all else.
  void SetOnPressure(Task on_pressure) { on_pressure_ = std::move(on_pressure); }

  // For a write of `payload_bytes`. Nothing when memory is full, and then room for it is made.
  std::optional<QuotaCharge> TryReserve(std::size_t payload_bytes);
  // `payload`, counted as what was reserved for it; beyond the limit if that is nothing.
  Bytes Keep(std::string payload, QuotaCharge reserved);
  // A copy of what `entries` entries share. Beyond the limit, if it must be.
  Bytes Copy(std::string_view shared, std::size_t entries);

  // Outlives this object as long as something is counted.
  std::shared_ptr<const MemoryQuota> quota() const { return quota_; }
  std::size_t used_bytes() const { return quota_->used_bytes(); }
  std::size_t limit_bytes() const { return quota_->limit_bytes(); }
  // All bytes that were ever counted: the time by which payloads are told to be older than others.
  std::uint64_t age() const { return age_.load(std::memory_order_relaxed); }
  // How far apart in age() two payloads are at most that need not be told apart.
  std::uint64_t age_grain() const { return limit_bytes() / 64 + 1; }

  // --- Relief, one at a time: from on_pressure to EndRelief().

  // Whether payloads should be evicted: more than three quarters are used, or a write was refused
  // and would not fit yet.
  bool needs_relief() const;
  // What is older leaves no more than the younger half of what may be held.
  std::uint64_t old_age() const;
  void NoteEvicted(std::size_t entry_bytes);
  void EndRelief();

  // For how long a region should gather writes before it proposes them: while less than an eighth
  // is free, the longer the less there is, up to 100 ms at the limit. Clients that wait for answers
  // write less then, so that what is slow may catch up before anything is refused.
  Duration Pause() const;

  // From when less than an eighth was free until relief ends: see Replica::HeedLogMemory().
  bool scarce() const { return scarce_.load(std::memory_order_relaxed); }

  // --- For metrics.

  std::uint64_t refused_writes() const { return refused_.load(std::memory_order_relaxed); }
  // How often writes had to gather for a while.
  std::uint64_t pauses() const { return pauses_.load(std::memory_order_relaxed); }
  void NotePause() { pauses_.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t evicted_bytes() const { return evicted_.load(std::memory_order_relaxed); }

 private:
  // More than this makes it scarce.
  std::size_t plenty_bytes() const { return limit_bytes() / 8 * 7; }
  void NoteCounted(std::size_t bytes);
  void AskForRelief();

  const std::shared_ptr<MemoryQuota> quota_;
  Task on_pressure_;
  std::atomic<std::uint64_t> age_ = 0;
  std::atomic<std::size_t> wanted_ = 0;  // The largest that was refused since the last relief.
  std::atomic<bool> relieving_ = false;
  std::atomic<bool> scarce_ = false;
  std::atomic<std::uint64_t> refused_ = 0;
  std::atomic<std::uint64_t> pauses_ = 0;
  std::atomic<std::uint64_t> evicted_ = 0;
};

}  // namespace rutile::store
