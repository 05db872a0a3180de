#include "store/admission.h"

#include <utility>

namespace rutile::store {
namespace {

std::string Limit(std::size_t limit) { return " (the limit is " + std::to_string(limit) + ")"; }

std::string Full(const char* what, const MemoryQuota& quota) {
  return what + Limit(quota.limit_bytes());
}

}  // namespace

std::optional<Admitted> Admission::AdmitWrite(std::size_t bytes, std::string* reason) {
  std::optional<QuotaCharge> count = QuotaCharge::Try(writes_, 1);
  if (!count) {
    *reason = Full("too many writes wait in the region", writes_);
    return std::nullopt;
  }
  std::optional<QuotaCharge> own = QuotaCharge::Try(write_bytes_, bytes);
  if (!own) {
    *reason = Full("writes of too many bytes wait in the region", write_bytes_);
    return std::nullopt;
  }
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

std::optional<Admitted> Admission::AdmitRead(std::string* reason) {
  std::optional<QuotaCharge> count = QuotaCharge::Try(reads_, 1);
  if (!count) {
    *reason = Full("too many reads wait in the region", reads_);
    return std::nullopt;
  }
  return Admitted{.count = std::move(*count)};
}

}  // namespace rutile::store
