#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "env/env.h"
#include "mvcc/garbage.h"
#include "mvcc/types.h"
#include "store/region_error.h"
#include "store/store.h"
#include "store/txn_scheduler.h"

namespace rutile::store {

// Collects the garbage of one region: raises its safe point, from when on compactions leave garbage
// out (GarbageFilter); and unless that is all that is wanted, looks through its records, some at a
// time, and has removed what is garbage among them.
//
// Removals are commands of transactions, with the keys' latches: a rollback that found an old
// record and marks it would otherwise bring it back. Nothing needs to be looked at again under the
// latch: what is garbage stays so, since nobody who starts below the safe point is let in any more.
//
// Owns itself until `done` has run, once, on the executor. Everything else outlives that.
class RegionCollection : public std::enable_shared_from_this<RegionCollection> {
 public:
  struct Options {
    std::size_t look_records = 4096;   // At once.
    std::size_t remove_records = 512;  // By one command.
    Duration pause = Milliseconds(1);  // After what was looked at is removed.
  };
  struct Order {
    RegionId region = {};
    mvcc::Timestamp safe_point = {};
    bool only_raises = false;
  };
  struct Progress {
    std::size_t looked_at = 0;  // Records,
    std::size_t above = 0;      // and of those what is at the safe point or above.
    std::size_t removed = 0;
  };
  struct Ending {
    Progress progress = {};
    // Finished: through to the region's end.
    TxnScheduler::Ending how = TxnScheduler::Finished();
  };
  using Done = UniqueFunction<void(const Ending&)>;

  static void Run(Store& store, TxnScheduler& scheduler, Executor& executor, Order order,
                  Options options, Done done);

 private:
  RegionCollection(Store& store, TxnScheduler& scheduler, Executor& executor, Order order,
                   Options options, Done done)
      : store_(store),
        scheduler_(scheduler),
        executor_(executor),
        header_({.region = order.region}),
        order_(order),
        options_(options),
        done_(std::move(done)) {}

  void RaiseSafePoint();
  void Look();
  void OnFound(mvcc::GarbageFound found);
  void Remove();
  void End(TxnScheduler::Ending how);

  Store& store_;
  TxnScheduler& scheduler_;
  Executor& executor_;
  const RequestHeader header_;
  const Order order_;
  const Options options_;
  Done done_;
  std::string next_;  // Keys below are done with.
  bool at_end_ = false;
  std::vector<mvcc::KeyGarbage> found_;  // The last is removed first.
  Progress progress_;
};

}  // namespace rutile::store
