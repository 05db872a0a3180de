#include "rpc/garbage_report.h"

#include <string_view>

namespace rutile::rpc {
namespace {

// How often it is said that rounds still fail for the same kind of reason.
constexpr Duration kReminder = Seconds(600);

constexpr std::string_view kRounds = "rutile_gc_rounds_total";
constexpr std::string_view kRoundsHelp = "Rounds of collection that this node made, by outcome.";

}  // namespace

GarbageReport::GarbageReport(Logger& logger, const Clock& clock)
    : logger_(logger),
      clock_(clock),
      raised_(registry_.AddCounter(kRounds, kRoundsHelp, {{"outcome", "raised"}})),
      idle_(registry_.AddCounter(kRounds, kRoundsHelp, {{"outcome", "nothing"}})),
      failed_(registry_.AddCounter(kRounds, kRoundsHelp, {{"outcome", "failed"}})),
      locks_(registry_.AddCounter("rutile_gc_locks_resolved_total",
                                  "Locks of silent transactions that these rounds resolved.")) {}

void GarbageReport::OnRound(const Result<client::GarbageRound>& round) {
  if (!round.ok()) {
    failed_.Add();
    if (!IsNews(round.status().code())) return;
    RUTILE_LOG(logger_, kWarn,
               "a round of collection failed, old versions are kept until one succeeds",
               {"error", round.status().ToString()});
    return;
  }
  {
    MutexLock lock(mutex_);
    failure_.reset();
  }
  const client::GarbageRound& outcome = round.value();
  (outcome.is_raised ? raised_ : idle_).Add();
  locks_.Add(outcome.locks_resolved);
  if (!outcome.is_raised) return;
  RUTILE_LOG(logger_, kInfo, "the safe point was raised",
             {"safe_point", ToString(outcome.safe_point)},
             {"locks_resolved", std::to_string(outcome.locks_resolved)},
             {"regions", std::to_string(outcome.regions)}, {"held_by", outcome.held_by});
}

bool GarbageReport::IsNews(Code code) {
  MutexLock lock(mutex_);
  const Instant now = clock_.Now();
  if (failure_ == code && now - logged_ < kReminder) return false;
  failure_ = code;
  logged_ = now;
  return true;
}

}  // namespace rutile::rpc
