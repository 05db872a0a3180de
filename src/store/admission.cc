#include "store/admission.h"

#include <utility>

namespace rutile::store {
namespace {

std::string Full(const char* what, const MemoryQuota& quota) {
  return std::string(what) + " (the limit is " + std::to_string(quota.limit_bytes()) + ")";
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
  std::optional<QuotaCharge> shared;
  if (node_ != nullptr) {
    shared = QuotaCharge::Try(*node_, bytes);
    if (!shared) {
      *reason = Full("writes of too many bytes wait in the node", *node_);
      return std::nullopt;
    }
  }
  Admitted admitted{.count = std::move(*count), .bytes = std::move(*own)};
  if (shared) admitted.node_bytes = std::move(*shared);
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
