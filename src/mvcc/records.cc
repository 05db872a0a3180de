#include "mvcc/records.h"

#include "codec/integers.h"

namespace rutile::mvcc {
namespace {

// Optional fields come last, each with its letter in front.
constexpr char kShortValue = 'v';
constexpr char kAsyncCommit = 'a';
constexpr char kOverlappedRollback = 'r';
constexpr char kForUpdate = 'f';
constexpr char kGeneration = 'g';

Status NotARecord(std::string_view what) {
  return Status(Code::kCorruption, std::string(what) + ": the bytes are not a record");
}

Status UnknownField(std::string_view what, char field) {
  return Status(Code::kFailedPrecondition, std::string(what) + ": field " +
                                               std::to_string(static_cast<unsigned char>(field)) +
                                               " is known to a newer build only");
}

void PutAsyncCommit(std::string* out, const Lock& lock) {
  if (!lock.is_async_commit) return;
  out->push_back(kAsyncCommit);
  codec::PutVarint(out, lock.secondaries.size());
  for (const std::string& key : lock.secondaries) codec::PutBytes(out, key);
}

void ReadAsyncCommit(codec::Reader* reader, Lock* lock) {
  lock->is_async_commit = true;
  // The count is not trusted: it reserves nothing, and the bytes may end before it is reached.
  for (std::uint64_t left = reader->Varint(); left > 0 && reader->ok(); --left) {
    lock->secondaries.emplace_back(reader->Bytes());
  }
}

void PutShortValue(std::string* out, const std::optional<std::string>& value) {
  if (!value) return;
  out->push_back(kShortValue);
  codec::PutBytes(out, *value);
}

}  // namespace

std::string EncodeLock(const Lock& lock) {
  std::string out(1, static_cast<char>(lock.kind));
  codec::PutBytes(&out, lock.primary);
  codec::PutVarint(&out, lock.start.value());
  codec::PutVarint(&out, lock.ttl_ms);
  codec::PutVarint(&out, lock.transaction_keys);
  codec::PutVarint(&out, lock.min_commit.value());
  PutAsyncCommit(&out, lock);
  PutShortValue(&out, lock.short_value);
  if (!lock.for_update.IsZero()) {
    out.push_back(kForUpdate);
    codec::PutVarint(&out, lock.for_update.value());
  }
  if (lock.generation != 0) {
    out.push_back(kGeneration);
    codec::PutVarint(&out, lock.generation);
  }
  return out;
}

Result<Lock> DecodeLock(std::string_view bytes) {
  codec::Reader reader(bytes);
  Lock lock;
  lock.kind = static_cast<Lock::Kind>(reader.Fixed8());
  lock.primary = reader.Bytes();
  lock.start = Timestamp(reader.Varint());
  lock.ttl_ms = reader.Varint();
  lock.transaction_keys = reader.Varint();
  lock.min_commit = Timestamp(reader.Varint());
  while (reader.ok() && !reader.Done()) {
    const char field = static_cast<char>(reader.Fixed8());
    if (field == kShortValue) {
      lock.short_value = reader.Bytes();
    } else if (field == kAsyncCommit) {
      ReadAsyncCommit(&reader, &lock);
    } else if (field == kForUpdate) {
      lock.for_update = Timestamp(reader.Varint());
    } else if (field == kGeneration) {
      lock.generation = reader.Varint();
    } else {
      return UnknownField("lock", field);
    }
  }
  switch (lock.kind) {
    case Lock::Kind::kPut:
    case Lock::Kind::kDelete:
    case Lock::Kind::kLock:
    case Lock::Kind::kPessimistic:
      if (reader.Done()) return lock;
  }
  return NotARecord("lock");
}

std::string EncodeWrite(const Write& write) {
  std::string out(1, static_cast<char>(write.kind));
  codec::PutVarint(&out, write.start.value());
  if (write.has_overlapped_rollback) out.push_back(kOverlappedRollback);
  PutShortValue(&out, write.short_value);
  return out;
}

Result<Write> DecodeWrite(std::string_view bytes) {
  codec::Reader reader(bytes);
  Write write;
  write.kind = static_cast<Write::Kind>(reader.Fixed8());
  write.start = Timestamp(reader.Varint());
  while (reader.ok() && !reader.Done()) {
    const char field = static_cast<char>(reader.Fixed8());
    if (field == kShortValue) {
      write.short_value = reader.Bytes();
    } else if (field == kOverlappedRollback) {
      write.has_overlapped_rollback = true;
    } else {
      return UnknownField("write", field);
    }
  }
  switch (write.kind) {
    case Write::Kind::kPut:
    case Write::Kind::kDelete:
    case Write::Kind::kLock:
    case Write::Kind::kRollback:
      if (reader.Done()) return write;
  }
  return NotARecord("write");
}

}  // namespace rutile::mvcc
