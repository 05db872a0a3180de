#include "engine/rocks/rocks_batch.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/rocks/rocks_status.h"

namespace rutile::engine {
namespace {

using Change = WriteBatch::Change;

// Finding a few live keys may lead over any number of deleted ones: then a tombstone is cheaper.
constexpr std::uint64_t kMaxSkippedKeys = 1024;

bool IsPutWithin(const Change& change, const Change& range) {
  return change.kind == WriteBatch::Kind::kPut && change.family == range.family &&
         change.key >= range.key && (range.value.empty() || change.key < range.value);
}

// The keys in `range`; nothing when there are many of them or many deleted ones between them.
Result<std::optional<std::vector<std::string>>> FewKeysWithin(const RocksFamily& family,
                                                              const Change& range) {
  const rocksdb::Slice upper(range.value);
  rocksdb::ReadOptions options;
  options.total_order_seek = true;
  options.max_skippable_internal_keys = kMaxSkippedKeys;
  if (!range.value.empty()) options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> iterator(family.db.NewIterator(options, family.handle));
  std::optional<std::vector<std::string>> keys(std::in_place);
  for (iterator->Seek(range.key); iterator->Valid(); iterator->Next()) {
    if (keys->size() + 1 >= kRangeTombstoneKeys) {
      keys.reset();
      return keys;
    }
    keys->push_back(iterator->key().ToString());
  }
  if (iterator->status().IsIncomplete()) {
    keys.reset();
  } else if (!iterator->status().ok()) {
    return FromRocks(iterator->status(), family.directory);
  }
  return keys;
}

// A key above all in the family, those that `earlier` puts there included: RocksDB has no end
// that means "to the end".
Result<std::string> EndOfFamily(const RocksFamily& family, std::span<const Change> earlier,
                                const Change& range) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> last, LastKeyInRocks(family));
  std::string end = last.value_or(range.key);
  for (const Change& change : earlier) {
    if (IsPutWithin(change, range)) end = std::max(end, change.key);
  }
  end.push_back('\0');
  return end;
}

// `earlier` are the changes of the same batch before `range`.
Status ConvertRange(const RocksFamily& family, std::span<const Change> earlier, const Change& range,
                    rocksdb::WriteBatch* converted) {
  if (!range.value.empty() && range.value <= range.key) return {};
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::vector<std::string>> keys,
                          FewKeysWithin(family, range));
  rocksdb::Status status;
  if (keys) {
    for (const std::string& key : *keys) {
      if (status.ok()) status = converted->Delete(family.handle, key);
    }
    for (const Change& change : earlier) {
      if (!IsPutWithin(change, range)) continue;
      if (status.ok()) status = converted->Delete(family.handle, change.key);
    }
  } else {
    std::string end = range.value;
    if (end.empty()) {
      RUTILE_ASSIGN_OR_RETURN(end, EndOfFamily(family, earlier, range));
    }
    if (range.key < end) status = converted->DeleteRange(family.handle, range.key, end);
  }
  return FromRocks(status, family.directory);
}

// The changes in the order of keys, each key once: RocksDB finds the place of a key faster from
// that of the one before it, and nobody sees what is overwritten in the same batch. Requires that
// no range is deleted, for which the order counts.
std::vector<const Change*> InKeyOrder(std::span<const Change> changes) {
  std::vector<const Change*> sorted;
  sorted.reserve(changes.size());
  for (const Change& change : changes) sorted.push_back(&change);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Change* a, const Change* b) {
    return std::tie(a->family, a->key) < std::tie(b->family, b->key);
  });
  // Of each key the last one.
  const auto last = std::unique(
      sorted.rbegin(), sorted.rend(),
      [](const Change* a, const Change* b) { return a->family == b->family && a->key == b->key; });
  sorted.erase(sorted.begin(), last.base());
  return sorted;
}

Status ConvertInOrder(const WriteBatch& batch, rocksdb::DB& db, const RocksHandles& handles,
                      const std::string& directory, rocksdb::WriteBatch* converted) {
  const std::span<const Change> changes(batch.changes());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const Change& change = changes[i];
    rocksdb::ColumnFamilyHandle* handle = handles[static_cast<std::size_t>(change.family)];
    rocksdb::Status status;
    switch (change.kind) {
      case WriteBatch::Kind::kPut: status = converted->Put(handle, change.key, change.value); break;
      case WriteBatch::Kind::kDelete: status = converted->Delete(handle, change.key); break;
      case WriteBatch::Kind::kDeleteRange:
        RUTILE_RETURN_IF_ERROR(ConvertRange({.db = db, .handle = handle, .directory = directory},
                                            changes.first(i), change, converted));
        break;
    }
    if (!status.ok()) return FromRocks(status, directory);
  }
  return {};
}

}  // namespace

Status ConvertBatch(const WriteBatch& batch, rocksdb::DB& db, const RocksHandles& handles,
                    const std::string& directory, rocksdb::WriteBatch* converted) {
  const bool has_range = std::any_of(
      batch.changes().begin(), batch.changes().end(),
      [](const Change& change) { return change.kind == WriteBatch::Kind::kDeleteRange; });
  if (has_range) return ConvertInOrder(batch, db, handles, directory, converted);
  for (const Change* change : InKeyOrder(batch.changes())) {
    rocksdb::ColumnFamilyHandle* handle = handles[static_cast<std::size_t>(change->family)];
    const rocksdb::Status status = change->kind == WriteBatch::Kind::kPut
                                       ? converted->Put(handle, change->key, change->value)
                                       : converted->Delete(handle, change->key);
    if (!status.ok()) return FromRocks(status, directory);
  }
  return {};
}

}  // namespace rutile::engine
