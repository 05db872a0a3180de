#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// Engine keys of a user key's records; docs/formats/mvcc.md. All records of one user key lie side
// by side, the newest version first.

// Family lock; and what every VersionKey of the user key begins with.
std::string LockKey(std::string_view user_key);
// Families write (the timestamp of the commit) and default (of the start).
std::string VersionKey(std::string_view user_key, Timestamp timestamp);
// The same from what LockKey gave.
std::string VersionOfLockKey(std::string_view lock_key, Timestamp timestamp);
// The exclusive end of all versions of a user key, from what LockKey gave.
std::string EndOfVersions(std::string_view lock_key);

// A VersionKey taken apart. `lock_key` is a view into it.
struct VersionKeyParts {
  std::string_view lock_key = {};
  Timestamp timestamp = {};
};
// Nothing when it is too short to be one.
std::optional<VersionKeyParts> SplitVersionKey(std::string_view version_key);
// The user's key in what LockKey built; kCorruption when there is none.
Result<std::string> UserKeyOf(std::string_view lock_key);

}  // namespace rutile::mvcc
