#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "base/time.h"
#include "store/deadlock_report.h"
#include "txn/deadlock_detector.h"

namespace rutile::store {

// Looks for deadlocks between waits on different stores: of the one that leads a group which all
// know. What he knows he was told in this office; whoever finds that the office has moved tells the
// new one everything.
//
// Safe from any thread.
class DeadlockJudge {
 public:
  struct Options {
    std::size_t max_waits = 100'000;
    Duration timeout = Seconds(3);  // Who has not reported for so long has no waits any more.
  };

  explicit DeadlockJudge(Options options) : options_(options), detector_(options.max_waits) {}

  // `term` is that of the office. Returns who of `from` must not wait.
  std::vector<DeadlockVerdict> OnReport(StoreId from, const DeadlockReport& report, Term term,
                                        Instant now);

 private:
  struct Reporter {
    std::uint64_t number = 0;  // Of its last report.
    Instant heard = {};
  };

  // Whether the report is the next one that counts.
  bool Accept(StoreId from, const DeadlockReport& report, Instant now) REQUIRES(mutex_);
  void ForgetTheSilent(Instant now) REQUIRES(mutex_);

  const Options options_;
  Mutex mutex_;
  Term term_ GUARDED_BY(mutex_);
  txn::DeadlockDetector detector_ GUARDED_BY(mutex_);
  std::map<StoreId, Reporter> reporters_ GUARDED_BY(mutex_);
};

}  // namespace rutile::store
