#include "engine/rocks/rocks_read.h"

#include <rocksdb/db.h>

#include <utility>

#include "base/check.h"
#include "engine/rocks/rocks_status.h"

namespace rutile::engine {
namespace {

class RocksIterator final : public Iterator {
 public:
  RocksIterator(const RocksFamily& family, const rocksdb::Snapshot* snapshot, Bounds bounds)
      : bounds_(std::move(bounds)),
        lower_(bounds_.lower),
        upper_(bounds_.upper),
        reversed_(!bounds_.upper.empty() && bounds_.upper <= bounds_.lower),
        directory_(family.directory) {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot;
    options.total_order_seek = true;
    if (!bounds_.lower.empty()) options.iterate_lower_bound = &lower_;
    if (!bounds_.upper.empty()) options.iterate_upper_bound = &upper_;
    iterator_.reset(family.db.NewIterator(options, family.handle));
  }
  RocksIterator(const RocksIterator&) = delete;
  RocksIterator& operator=(const RocksIterator&) = delete;

  bool Valid() const override { return iterator_->Valid(); }

  void Seek(std::string_view key) override {
    if (!reversed_) iterator_->Seek(key < bounds_.lower ? lower_ : rocksdb::Slice(key));
  }

  void SeekBefore(std::string_view key) override {
    if (reversed_) return;
    if (key.empty() || (!bounds_.upper.empty() && bounds_.upper <= key)) {
      iterator_->SeekToLast();
      return;
    }
    iterator_->SeekForPrev(key);
    if (iterator_->Valid() && iterator_->key() == rocksdb::Slice(key)) iterator_->Prev();
  }

  void Next() override {
    RUTILE_CHECK(Valid());
    iterator_->Next();
  }

  void Prev() override {
    RUTILE_CHECK(Valid());
    iterator_->Prev();
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

 private:
  const Bounds bounds_;
  const rocksdb::Slice lower_;  // Into bounds_; RocksDB keeps pointers to both.
  const rocksdb::Slice upper_;
  const bool reversed_;  // Nothing can lie between the bounds.
  const std::string& directory_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
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

Result<std::optional<std::string>> LastKeyInRocks(const RocksFamily& family) {
  const std::unique_ptr<Iterator> iterator = NewRocksIterator(family, nullptr, {});
  iterator->SeekBefore({});
  if (iterator->Valid()) return std::optional<std::string>(iterator->key());
  RUTILE_RETURN_IF_ERROR(iterator->status());
  return std::optional<std::string>();
}

}  // namespace rutile::engine
