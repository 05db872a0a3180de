#include "txn/resolve.h"

#include <optional>
#include <utility>

#include "mvcc/keys.h"
#include "txn/commit.h"
#include "txn/rollback.h"

namespace rutile::txn {

Result<Outcome> Resolve(mvcc::Reader& reader, const ResolveRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys(request.keys, "resolve"));
  std::vector<std::string> locked, not_prewritten;
  for (const std::string& key : request.keys) {
    RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Lock> lock, reader.LoadLock(key));
    if (!lock || lock->start != request.start) continue;
    const bool is_spare = lock->kind == mvcc::Lock::Kind::kPessimistic && !request.commit.IsZero();
    (is_spare ? not_prewritten : locked).push_back(key);
  }
  if (request.commit.IsZero()) {
    if (locked.empty()) return Outcome();
    return Rollback(reader, {.keys = std::move(locked), .start = request.start});
  }
  Outcome outcome;
  if (!locked.empty()) {
    RUTILE_ASSIGN_OR_RETURN(outcome, Commit(reader, {.keys = std::move(locked),
                                                     .start = request.start,
                                                     .commit = request.commit}));
    if (!outcome.errors.empty()) return outcome;
  }
  // The transaction is committed and has not written there: a request for the lock came late.
  for (const std::string& key : not_prewritten) {
    outcome.changes.Delete(engine::Family::kLock, mvcc::LockKey(key));
  }
  return outcome;
}

}  // namespace rutile::txn
