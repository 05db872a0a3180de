#include "txn/flashback.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "mvcc/keys.h"
#include "txn/commit_record.h"
#include "txn/rollback.h"

namespace rutile::txn {
namespace {

using mvcc::Version;
using mvcc::Write;

Status FlashbackKey(mvcc::Reader& reader, const FlashbackRequest& request, const std::string& key,
                    Outcome* outcome) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<Version> newest,
                          reader.NewestVersion(key, mvcc::kMaxTimestamp));
  if (newest && newest->commit == request.commit) return {};
  RUTILE_ASSIGN_OR_RETURN(const std::optional<Version> old,
                          reader.NewestVersion(key, request.version));
  Write write = {.kind = Write::Kind::kDelete, .start = request.start};
  if (old && old->write.kind == Write::Kind::kPut) {
    write.kind = Write::Kind::kPut;
    write.short_value = old->write.short_value;
    if (!write.short_value) {
      RUTILE_ASSIGN_OR_RETURN(std::string value, reader.LoadValue(key, old->write));
      outcome->changes.Put(engine::Family::kDefault, mvcc::VersionKey(key, request.start),
                           std::move(value));
    }
  }
  return AddCommitRecord(reader, key, request.commit, std::move(write), outcome);
}

}  // namespace

Result<FlashbackOutcome> Flashback(mvcc::Reader& reader, const FlashbackRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys(request.keys, "flashback"));
  FlashbackOutcome result;
  for (const std::string& key : request.keys) {
    if (result.done > 0 && result.outcome.changes.size_bytes() >= request.max_bytes) break;
    RUTILE_RETURN_IF_ERROR(FlashbackKey(reader, request, key, &result.outcome));
    ++result.done;
  }
  return result;
}

Result<Outcome> RollBackLocks(mvcc::Reader& reader, const std::vector<std::string>& keys) {
  RUTILE_RETURN_IF_ERROR(CheckKeys(keys, "rollback"));
  Outcome outcome;
  for (const std::string& key : keys) {
    RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Lock> lock, reader.LoadLock(key));
    if (!lock) continue;
    RUTILE_ASSIGN_OR_RETURN(const Outcome one,
                            Rollback(reader, {.keys = {key}, .start = lock->start}));
    RUTILE_CHECK(one.errors.empty(), "a lock of what is committed");
    for (const engine::WriteBatch::Change& change : one.changes.changes()) {
      if (change.kind == engine::WriteBatch::Kind::kPut) {
        outcome.changes.Put(change.family, change.key, change.value);
      } else {
        outcome.changes.Delete(change.family, change.key);
      }
    }
  }
  return outcome;
}

}  // namespace rutile::txn
