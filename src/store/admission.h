#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/quota.h"
#include "store/log_memory.h"
#include "store/priority.h"

namespace rutile::store {

// What one request holds of the bounds below until it has been answered. Move-only; goes with the
// request through every queue, and gives back on destruction.
struct Admitted {
  QuotaCharge count = {};
  QuotaCharge bytes = {};
  QuotaCharge log_memory = {};  // Until the log keeps it, and then as long as anybody does.
};

// Bounds what waits for an answer in one replica: writes from their arrival until they are applied
// (queued, parked, proposed, committed), and reads that wait for a round or for apply. Without it a
// disk or an engine that is slower than its clients would fill the memory.
//
// Safe from any thread. Outlives what it has admitted.
class Admission {
 public:
  struct Limits {
    std::size_t writes = 0;
    std::size_t write_bytes = 0;
    std::size_t reads = 0;
  };
  // `log_memory`, if any, is what the writes of all replicas of the store take their memory from,
  // and outlives this.
  Admission(const Limits& limits, LogMemory* log_memory)
      : writes_(limits.writes),
        write_bytes_(limits.write_bytes),
        reads_(limits.reads),
        log_memory_(log_memory) {}

  // Nothing when a bound is reached, as it is for the priority; `reason` then says which, for a
  // person. Where nothing waits, a write of any size is admitted. The log's memory, of which most
  // is in use as a rule, is the same for all.
  std::optional<Admitted> AdmitWrite(std::size_t bytes, Priority priority, std::string* reason);
  std::optional<Admitted> AdmitRead(Priority priority, std::string* reason);

  std::size_t writes() const { return writes_.used_bytes(); }
  std::size_t write_bytes() const { return write_bytes_.used_bytes(); }
  std::size_t reads() const { return reads_.used_bytes(); }

 private:
  MemoryQuota writes_;  // Counts requests, not bytes.
  MemoryQuota write_bytes_;
  MemoryQuota reads_;  // Likewise.
  LogMemory* const log_memory_;
};

}  // namespace rutile::store
