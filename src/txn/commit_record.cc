#include "txn/commit_record.h"

#include <optional>

#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::txn {

Status AddCommitRecord(mvcc::Reader& reader, const std::string& key, Timestamp commit,
                       mvcc::Write write, Outcome* outcome) {
  // A transaction that started at this one's commit may have been rolled back here.
  RUTILE_ASSIGN_OR_RETURN(const std::optional<mvcc::Write> there, reader.RecordAt(key, commit));
  if (there && there->kind != mvcc::Write::Kind::kRollback) {
    // It would have met the lock, or this transaction its commit.
    return Status(Code::kCorruption, "a lock that started at " + ToString(write.start) +
                                         " beside another transaction's commit at " +
                                         ToString(commit));
  }
  write.has_overlapped_rollback = there.has_value();
  outcome->changes.Put(engine::Family::kWrite, mvcc::VersionKey(key, commit),
                       mvcc::EncodeWrite(write));
  return {};
}

}  // namespace rutile::txn
