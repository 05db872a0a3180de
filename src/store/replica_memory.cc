// How a replica deals with memory for its log: what it lets go of, and when it takes no more.

#include <algorithm>

#include "base/probe.h"
#include "store/replica.h"

namespace rutile::store {
namespace {

// A follower that may hold this much of what it has not worked off holds nothing when it takes
// more. So it always goes on, by what is on its way to it at a time.
constexpr std::size_t kScarceBacklogBytes = 1;

}  // namespace

void Replica::EvictLog(const Eviction& eviction) {
  parts_.executor.Post(WhileAlive([this, eviction] { EvictNow(eviction); }));
}

// Entries that are handed out and not applied are held by apply as well, so there is nothing to be
// got for them.
void Replica::EvictNow(const Eviction& eviction) {
  const raft::LogTail& tail = raft_.tail();
  Index to = std::min({tail.applied(), tail.durable(), log_ages_.OlderThan(eviction.age)});
  if (!eviction.for_followers) {
    for (const raft::PeerStatus& peer : raft_.Peers()) {
      if (peer.state == "replicate") to = std::min(to, peer.match);
    }
  }
  if (to < tail.first_resident()) return;
  const std::size_t keep = tail.BytesBetween(to, tail.last().index);
  RUTILE_SOMETIMES(eviction.for_followers && raft_.is_leader(),
                   "store: entries that followers need are evicted for want of memory");
  parts_.log_memory.NoteEvicted(raft_.Evict(keep));
  NoteCachedLog();
}

void Replica::NoteCachedLog() {
  const raft::LogTail& tail = raft_.tail();
  const LogMemory& memory = parts_.log_memory;
  cached_log_bytes_.store(tail.resident_bytes(), std::memory_order_relaxed);
  const std::uint64_t ahead =
      tail.applied() > tail.durable() ? tail.applied().DistanceFrom(tail.durable()) : 0;
  ahead_entries_.store(ahead, std::memory_order_relaxed);
  log_ages_.Note(tail.first_resident(), tail.last().index, memory.age(), memory.age_grain(),
                 memory.limit_bytes());
}

Replica::LogHint Replica::log_hint() const {
  return {.cached_bytes = cached_log_bytes_.load(std::memory_order_relaxed),
          .ahead_entries = ahead_entries_.load(std::memory_order_relaxed),
          .poisoned = poisoned_.load(std::memory_order_relaxed),
          .impaired = impaired_.load(std::memory_order_relaxed)};
}

// A leader is held back where writes are admitted. Called whenever entries come, and with every
// tick: a replica whose clock is stopped holds nothing that it has not worked off.
void Replica::HeedLogMemory() {
  const bool hold_back = parts_.log_memory.scarce() && !raft_.is_leader();
  if (hold_back == held_back_ || retired_) return;
  held_back_ = hold_back;
  RUTILE_SOMETIMES(hold_back, "store: a follower takes less for want of memory");
  raft::Limits limits = raft_.limits();
  limits.max_backlog_bytes = hold_back ? kScarceBacklogBytes : options_.max_backlog_bytes;
  Handle(raft_.SetLimits(parts_.clock.Now(), limits));
}

}  // namespace rutile::store
