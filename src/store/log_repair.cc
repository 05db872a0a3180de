#include "store/log_repair.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/probe.h"
#include "store/peer_message.h"
#include "wal/finding.h"

namespace rutile::store {
namespace {

std::optional<Term> TermAt(const wal::RegionLog& log, Index index) {
  if (index < log.base.index || index > log.last.index) return std::nullopt;
  std::optional<Term> term;
  if (index == log.base.index) term = log.base.term;
  for (const wal::TermRun& run : log.runs) {
    if (run.start <= index) term = run.term;
  }
  return term;
}

void BeginBehind(wal::RegionLog* log, LogId base) {
  const auto behind = [&](const wal::TermRun& run) { return run.start <= base.index.Next(); };
  const auto first = std::find_if_not(log->runs.begin(), log->runs.end(), behind);
  // The last that begins there or before goes on behind it, if anything does.
  log->runs.erase(log->runs.begin(), first == log->runs.begin() ? first : std::prev(first));
  if (!log->runs.empty())
    log->runs.front().start = std::max(log->runs.front().start, base.index.Next());
  if (base.index == log->last.index) log->runs.clear();
  log->base = base;
}

void CutBehind(wal::RegionLog* log, LogId last) {
  std::erase_if(log->runs, [&](const wal::TermRun& run) { return run.start > last.index; });
  log->last = last;
}

std::string LostOf(RegionId region, const wal::LostEntries& lost) {
  return "entries of region " + ToString(region) + " from " + ToString(lost.first) + " to " +
         ToString(lost.last) + " do not verify";
}

}  // namespace

LogRepair PlanLogRepair(RegionId region, LogId applied, wal::RegionLog* log) {
  LogRepair repair{.lost = *std::exchange(log->lost, std::nullopt)};
  const LogId before = log->last;
  raft::HardState state{.term = before.term};  // As of a replica that has stored none.
  if (!log->state.empty()) {
    Result<raft::HardState> stored = DecodeHardState(log->state);
    RUTILE_CHECK(stored.ok(), stored.status().ToString());
    state = std::move(stored).value();
  }
  wal::RegionWrite& write = repair.write;
  write.region = region;
  write.peer = log->peer;
  write.term = state.term;
  const bool has_applied = TermAt(*log, applied.index) == std::optional(applied.term);
  if (has_applied && applied.index >= repair.lost.last.index) {
    RUTILE_SOMETIMES(true, "store: lost entries were applied long ago");
    BeginBehind(log, repair.lost.last);
    write.compact = log->base;
    write.slice.prev = log->last;
  } else if (!has_applied || applied.index >= repair.lost.first.index) {
    // Without the entry that was applied nothing on this disk follows it: see LogTail::Recover.
    RUTILE_SOMETIMES(has_applied, "store: some of the lost entries were applied");
    log->base = log->last = applied;
    log->runs.clear();
    write.reset = true;
    write.slice.prev = applied;
  } else {
    const Index end = repair.lost.first.index.Prev();
    CutBehind(log, {.term = *TermAt(*log, end), .index = end});
    write.cut = true;
    write.slice.prev = log->last;
  }
  repair.now_ends = log->last;
  repair.impaired = log->last < before;
  if (repair.impaired) {
    state.commit = std::min(state.commit, log->last.index);
    state.impaired_until = state.impaired_until ? std::max(*state.impaired_until, before) : before;
  }
  write.state = log->state = EncodeHardState(state);
  return repair;
}

Status CheckPeersCanRepair(RegionId region, const LogRepair& repair, const raft::Raft& raft) {
  const raft::Configuration& all = raft.configuration();
  const bool alone = !all.IsJoint() && all.voters.size() == 1 && all.IsVoter(raft.id());
  if (!repair.impaired || !alone) return Status();
  return wal::CorruptionAt(repair.lost.path, repair.lost.offset,
                           LostOf(region, repair.lost) +
                               ", and the region has no other voter that could bring them back");
}

void Report(Logger& logger, const LogRepair& repair) {
  RUTILE_LOG(logger, kWarn, "the disk has lost entries of a log",
             {"region", ToString(repair.write.region)}, {"peer", ToString(repair.write.peer)},
             {"from", ToString(repair.lost.first)}, {"to", ToString(repair.lost.last)},
             {"file", repair.lost.path}, {"offset", std::to_string(repair.lost.offset)},
             {"log_ends", ToString(repair.now_ends)},
             {"follows", repair.impaired
                             ? "the region's other peers bring them back; until then this replica "
                               "does not vote"
                             : "nothing: they are applied, and the log begins behind them"},
             {"do", "check the disk"});
}

}  // namespace rutile::store
