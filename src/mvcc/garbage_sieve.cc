#include "mvcc/garbage_sieve.h"

namespace rutile::mvcc {

GarbageSieve::Verdict GarbageSieve::Judge(Timestamp commit, const Write& write) {
  if (commit > safe_point_) return Verdict::kNeeded;
  const bool is_put = write.kind == Write::Kind::kPut;
  const bool is_newest = !has_newest_ && (is_put || write.kind == Write::Kind::kDelete);
  has_newest_ = has_newest_ || is_newest;
  // What stands at the safe point itself may tell of the rollback of one that started there.
  if (commit == safe_point_) return Verdict::kNeeded;
  if (!is_newest) return Verdict::kGarbage;
  return is_put ? Verdict::kNeeded : Verdict::kLastDeletion;
}

bool HasLongValue(const Write& write) {
  return write.kind == Write::Kind::kPut && !write.short_value;
}

}  // namespace rutile::mvcc
