#include "store/deadlock_judge.h"

#include "base/probe.h"

namespace rutile::store {

std::vector<DeadlockVerdict> DeadlockJudge::OnReport(StoreId from, const DeadlockReport& report,
                                                     Term term, Instant now) {
  std::vector<DeadlockVerdict> verdicts;
  MutexLock lock(mutex_);
  if (term != term_) {
    term_ = term;
    for (const auto& [store, reporter] : reporters_) detector_.RemoveStore(store);
    reporters_.clear();
  }
  ForgetTheSilent(now);
  if (!Accept(from, report, now)) return verdicts;
  if (report.is_all) detector_.RemoveStore(from);
  for (const WaitId id : report.ended) detector_.Remove({.store = from, .number = id.value()});
  for (const auto& [id, wait] : report.waits) {
    auto deadlock = detector_.Add({.store = from, .number = id.value()}, wait, now);
    if (deadlock) verdicts.push_back({.id = id, .deadlock = *std::move(deadlock)});
  }
  RUTILE_SOMETIMES(!verdicts.empty(), "store: a deadlock between stores is found");
  return verdicts;
}

bool DeadlockJudge::Accept(StoreId from, const DeadlockReport& report, Instant now) {
  const auto known = reporters_.find(from);
  if (known == reporters_.end()) {
    if (!report.is_all) return false;
    reporters_[from] = {.number = report.number, .heard = now};
    return true;
  }
  const std::uint64_t last = known->second.number;
  // After a gap the next one with everything counts again.
  const bool counts = report.is_all ? report.number > last : report.number == last + 1;
  RUTILE_SOMETIMES(!counts, "store: a report of waits is late, or another is missing");
  if (counts) known->second = {.number = report.number, .heard = now};
  return counts;
}

void DeadlockJudge::ForgetTheSilent(Instant now) {
  for (auto at = reporters_.begin(); at != reporters_.end();) {
    if (now - at->second.heard < options_.timeout) {
      ++at;
      continue;
    }
    detector_.RemoveStore(at->first);
    at = reporters_.erase(at);
  }
}

}  // namespace rutile::store
