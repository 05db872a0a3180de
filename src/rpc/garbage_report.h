#pragma once

#include <optional>
#include <string>

#include "base/log.h"
#include "base/metrics.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/time.h"
#include "client/garbage_rounds.h"
#include "env/env.h"

namespace rutile::rpc {

// What a node says of its rounds of collection: a line in the log for each that has raised the safe
// point, one for failures of a kind now and then, and numbers. Safe from any thread.
class GarbageReport {
 public:
  // Both outlive the object.
  GarbageReport(Logger& logger, const Clock& clock);

  void OnRound(const Result<client::GarbageRound>& round);
  // In Prometheus' text format.
  std::string Render() const { return registry_.Render(); }

 private:
  bool IsNews(Code code);

  Logger& logger_;
  const Clock& clock_;
  MetricRegistry registry_;
  Counter& raised_;
  Counter& idle_;
  Counter& failed_;
  Counter& locks_;
  Mutex mutex_;
  // Of the last round, if it failed: the kind, and when one of that kind was last logged.
  std::optional<Code> failure_ GUARDED_BY(mutex_);
  Instant logged_ GUARDED_BY(mutex_) = {};
};

}  // namespace rutile::rpc
