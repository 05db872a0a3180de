#include "mvcc/backward_scanner.h"

#include <utility>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::mvcc {
namespace {

bool IsVersion(const Write& write) {
  return write.kind == Write::Kind::kPut || write.kind == Write::Kind::kDelete;
}

}  // namespace

BackwardScanner::BackwardScanner(const engine::Snapshot& snapshot, Options options)
    : Scanner(snapshot, std::move(options), Direction::kBackward) {}

Result<std::optional<Version>> BackwardScanner::FindVersion(std::string_view lock_key) {
  std::optional<Version> newest;
  Timestamp seen;
  for (int steps = 0;; ++steps) {
    const std::optional<Timestamp> commit = RecordOf(lock_key);
    if (!commit || *commit > view().at) break;
    if (steps == kStepsBeforeSeek) return FindFromNewest(lock_key, seen, std::move(newest));
    RUTILE_ASSIGN_OR_RETURN(Write write, DecodeWrite(writes().value()));
    if (IsVersion(write)) newest = Version{.commit = *commit, .write = std::move(write)};
    seen = *commit;
    writes().Prev();
  }
  // A failed step may have hidden a newer one.
  if (!writes().Valid()) RUTILE_RETURN_IF_ERROR(writes().status());
  return newest;
}

Result<std::optional<Version>> BackwardScanner::FindFromNewest(std::string_view lock_key,
                                                               Timestamp seen,
                                                               std::optional<Version> newest_seen) {
  writes().Seek(VersionOfLockKey(lock_key, view().at));
  while (const std::optional<Timestamp> commit = RecordOf(lock_key)) {
    if (*commit <= seen) return newest_seen;
    RUTILE_ASSIGN_OR_RETURN(Write write, DecodeWrite(writes().value()));
    if (IsVersion(write)) {
      return std::optional(Version{.commit = *commit, .write = std::move(write)});
    }
    writes().Next();
  }
  // The record at `seen` ends the walk, unless reading fails.
  RUTILE_RETURN_IF_ERROR(writes().status());
  return Status(Code::kCorruption, "a write record is gone that was there in the same snapshot");
}

void BackwardScanner::SkipVersions(std::string_view lock_key) {
  for (int steps = 0; RecordOf(lock_key); ++steps) {
    if (steps == kStepsBeforeSeek) {
      writes().SeekBefore(lock_key);
      return;
    }
    writes().Prev();
  }
}

}  // namespace rutile::mvcc
