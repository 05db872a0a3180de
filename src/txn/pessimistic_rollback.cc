#include "txn/pessimistic_rollback.h"

#include <optional>

#include "mvcc/keys.h"

namespace rutile::txn {

Result<Outcome> PessimisticRollback(mvcc::Reader& reader,
                                    const PessimisticRollbackRequest& request) {
  RUTILE_RETURN_IF_ERROR(CheckKeys(request.keys, "pessimistic rollback"));
  Outcome outcome;
  for (const std::string& key : request.keys) {
    RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Lock> lock, reader.LoadLock(key));
    if (!lock || lock->start != request.start || lock->kind != mvcc::Lock::Kind::kPessimistic ||
        lock->for_update > request.for_update) {
      continue;
    }
    outcome.changes.Delete(engine::Family::kLock, mvcc::LockKey(key));
  }
  return outcome;
}

}  // namespace rutile::txn
