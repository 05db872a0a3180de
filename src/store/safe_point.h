#pragma once

#include "base/status.h"
#include "mvcc/types.h"
#include "store/region_marks.h"
#include "store/store.h"

namespace rutile::store {

// Up to where garbage may have been collected in a region. It is replicated with the region's data
// and raised before anything is removed, so whoever sees that something is gone sees this, too.
// Transactions that started below find no complete data, and may not lock anything.

// What a reader sees of it, and of what stands beside it. Zero: nothing was ever removed.
// kCorruption for what is none.
Result<RegionMarks> MarksOf(const ReadView& view);
Result<mvcc::Timestamp> SafePointOf(const ReadView& view);

}  // namespace rutile::store
