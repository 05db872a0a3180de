#include "engine/rocks/rocks_read.h"

#include <rocksdb/db.h>

#include <utility>

#include "base/check.h"
#include "engine/rocks/rocks_status.h"

namespace rutile::engine {
namespace {

// What RocksDB's iterators have in common, however they are made: a Cursor or an Iterator.
template <class Base>
class RocksCursor : public Base {
 public:
  bool Valid() const override { return iterator_->Valid(); }

  void Next() override {
    RUTILE_CHECK(Valid());
    iterator_->Next();
  }

  std::string_view key() const override {
    RUTILE_CHECK(Valid());
    return iterator_->key().ToStringView();
  }

  std::string_view value() const override {
    RUTILE_CHECK(Valid());
    return iterator_->value().ToStringView();
  }

  Status status() const override { return FromRocks(iterator_->status(), directory_); }

 protected:
  RocksCursor(const RocksFamily& family, const rocksdb::ReadOptions& options)
      : directory_(family.directory), iterator_(family.db.NewIterator(options, family.handle)) {}

  rocksdb::Iterator& iterator() { return *iterator_; }

 private:
  const std::string& directory_;
  const std::unique_ptr<rocksdb::Iterator> iterator_;
};

// RocksDB keeps pointers to the bounds.
struct RocksBounds {
  explicit RocksBounds(Bounds from)
      : bounds(std::move(from)), lower(bounds.lower), upper(bounds.upper) {}
  RocksBounds(const RocksBounds&) = delete;
  RocksBounds& operator=(const RocksBounds&) = delete;

  rocksdb::ReadOptions Options(const rocksdb::Snapshot* snapshot) const {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot;
    options.total_order_seek = true;
    if (!bounds.lower.empty()) options.iterate_lower_bound = &lower;
    if (!bounds.upper.empty()) options.iterate_upper_bound = &upper;
    return options;
  }

  const Bounds bounds;
  const rocksdb::Slice lower;
  const rocksdb::Slice upper;
};

class RocksIterator final : private RocksBounds, public RocksCursor<Iterator> {
 public:
  RocksIterator(const RocksFamily& family, const rocksdb::Snapshot* snapshot, Bounds within)
      : RocksBounds(std::move(within)),
        RocksCursor(family, Options(snapshot)),
        reversed_(!bounds.upper.empty() && bounds.upper <= bounds.lower) {}

  void Seek(std::string_view key) override {
    if (!reversed_) iterator().Seek(key < bounds.lower ? lower : rocksdb::Slice(key));
  }

  void SeekBefore(std::string_view key) override {
    if (reversed_) return;
    if (key.empty() || (!bounds.upper.empty() && bounds.upper <= key)) {
      iterator().SeekToLast();
      return;
    }
    iterator().SeekForPrev(key);
    if (Valid() && iterator().key() == rocksdb::Slice(key)) iterator().Prev();
  }

  void Prev() override {
    RUTILE_CHECK(Valid());
    iterator().Prev();
  }

 private:
  const bool reversed_;  // Nothing can lie between the bounds.
};

rocksdb::ReadOptions OptionsForVersions(const rocksdb::Snapshot* snapshot) {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.prefix_same_as_start = true;
  return options;
}

class RocksVersionCursor final : public RocksCursor<Cursor> {
 public:
  RocksVersionCursor(const RocksFamily& writes, const rocksdb::Snapshot* snapshot)
      : RocksCursor(writes, OptionsForVersions(snapshot)) {}

  void Seek(std::string_view key) override {
    RUTILE_CHECK(key.size() >= kVersionBytes);
    iterator().Seek(key);
  }
};

}  // namespace

Result<std::optional<std::string>> GetFromRocks(const RocksFamily& family,
                                                const rocksdb::Snapshot* snapshot,
                                                std::string_view key) {
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  // Pinned in the block cache or the write buffer: copied once, into the answer.
  rocksdb::PinnableSlice value;
  const rocksdb::Status status = family.db.Get(options, family.handle, key, &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return FromRocks(status, family.directory);
  return std::optional<std::string>(std::in_place, value.data(), value.size());
}

std::unique_ptr<Iterator> NewRocksIterator(const RocksFamily& family,
                                           const rocksdb::Snapshot* snapshot, Bounds bounds) {
  return std::make_unique<RocksIterator>(family, snapshot, std::move(bounds));
}

std::unique_ptr<Cursor> NewRocksVersionCursor(const RocksFamily& writes,
                                              const rocksdb::Snapshot* snapshot) {
  return std::make_unique<RocksVersionCursor>(writes, snapshot);
}

Result<std::optional<std::string>> LastKeyInRocks(const RocksFamily& family) {
  const std::unique_ptr<Iterator> iterator = NewRocksIterator(family, nullptr, {});
  iterator->SeekBefore({});
  if (iterator->Valid()) return std::optional<std::string>(iterator->key());
  RUTILE_RETURN_IF_ERROR(iterator->status());
  return std::optional<std::string>();
}

}  // namespace rutile::engine
