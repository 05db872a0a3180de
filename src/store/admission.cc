#include "store/admission.h"

#include <utility>

namespace rutile::store {
namespace {

std::string Limit(std::size_t limit) { return " (the limit is " + std::to_string(limit) + ")"; }

// Takes so much of it, if a request of this priority still may.
std::optional<QuotaCharge> Take(MemoryQuota& quota, std::size_t much, Priority priority,
                                const char* full, std::string* reason) {
  const std::size_t limit = LimitFor(priority, quota.limit_bytes());
  std::optional<QuotaCharge> charge = QuotaCharge::Try(quota, much, limit);
  if (!charge) {
    *reason = full;
    if (priority == Priority::kLow) *reason += " for one of low priority";
    *reason += Limit(limit);
  }
  return charge;
}

}  // namespace

std::optional<Admitted> Admission::AdmitWrite(std::size_t bytes, Priority priority,
                                              std::string* reason) {
  std::optional<QuotaCharge> count =
      Take(writes_, 1, priority, "too many writes wait in the region", reason);
  if (!count) return std::nullopt;
  std::optional<QuotaCharge> own =
      Take(write_bytes_, bytes, priority, "writes of too many bytes wait in the region", reason);
  if (!own) return std::nullopt;
  Admitted admitted{.count = std::move(*count), .bytes = std::move(*own)};
  if (log_memory_ == nullptr) return admitted;
  std::optional<QuotaCharge> kept = log_memory_->TryReserve(bytes);
  if (!kept) {
    *reason =
        "the log's memory on this node is full: " + std::to_string(log_memory_->used_bytes()) +
        " bytes of writes wait for the disk, for other nodes or to be applied" +
        Limit(log_memory_->limit_bytes());
    return std::nullopt;
  }
  admitted.log_memory = std::move(*kept);
  return admitted;
}

std::optional<Admitted> Admission::AdmitRead(Priority priority, std::string* reason) {
  std::optional<QuotaCharge> count =
      Take(reads_, 1, priority, "too many reads wait in the region", reason);
  if (!count) return std::nullopt;
  return Admitted{.count = std::move(*count)};
}

}  // namespace rutile::store
