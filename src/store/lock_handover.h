#pragma once

#include "base/ids.h"
#include "base/task.h"
#include "env/env.h"
#include "store/store.h"
#include "store/txn_scheduler.h"

namespace rutile::store {

// To be called before the region's leader here hands its office over: has the locks that stand in
// its memory written to the log, so that whoever leads next has them, and then runs `then`; also
// where they cannot be written, at the latest after a second. For some seconds no more locks are
// taken in memory.
//
// All but the executor outlive this and what it has begun.
void HandLocksOver(Store& store, TxnScheduler& scheduler, Executor& executor, RegionId region,
                   Task then);

}  // namespace rutile::store
