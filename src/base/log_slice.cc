#include "base/log_slice.h"

namespace rutile {

bool LogSlice::Validate() const {
  LogId before = prev;
  for (const Entry& entry : entries) {
    if (entry.id.index != before.index.Next() || entry.id.term < before.term) return false;
    before = entry.id;
  }
  return true;
}

}  // namespace rutile
