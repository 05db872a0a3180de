#include "mvcc/keys.h"

#include "codec/integers.h"
#include "codec/keys.h"
#include "codec/memcomparable.h"
#include "engine/kv_engine.h"

namespace rutile::mvcc {
namespace {

constexpr std::size_t kTimestampBytes = engine::kVersionBytes;

}  // namespace

std::string LockKey(std::string_view user_key) {
  return codec::DataKey(codec::EncodeMemcomparable(user_key));
}

std::string VersionKey(std::string_view user_key, Timestamp timestamp) {
  return VersionOfLockKey(LockKey(user_key), timestamp);
}

std::string VersionOfLockKey(std::string_view lock_key, Timestamp timestamp) {
  std::string key;
  key.reserve(lock_key.size() + kTimestampBytes);
  key.append(lock_key);
  // Inverted: a later one sorts first.
  codec::PutBigEndian64(&key, ~timestamp.value());
  return key;
}

std::string EndOfVersions(std::string_view lock_key) {
  std::string key = VersionOfLockKey(lock_key, Timestamp());
  key.push_back('\0');
  return key;
}

std::optional<VersionKeyParts> SplitVersionKey(std::string_view version_key) {
  if (version_key.size() <= kTimestampBytes) return std::nullopt;
  const std::string_view lock_key = version_key.substr(0, version_key.size() - kTimestampBytes);
  const std::uint64_t inverted =
      codec::DecodeBigEndian64(version_key.data() + version_key.size() - kTimestampBytes);
  return VersionKeyParts{.lock_key = lock_key, .timestamp = Timestamp(~inverted)};
}

Result<std::string> UserKeyOf(std::string_view lock_key) {
  std::string_view encoded = codec::UserKey(lock_key);
  std::optional<std::string> user_key = codec::TakeMemcomparable(&encoded);
  if (!user_key || !encoded.empty()) {
    return Status(Code::kCorruption, "a record's key is not that of a transaction");
  }
  return *std::move(user_key);
}

}  // namespace rutile::mvcc
