#include "engine/rocks/rocks_filter.h"

#include <rocksdb/compaction_filter.h>

#include <string>
#include <utility>

namespace rutile::engine {
namespace {

// One thread's, for one compaction.
class OneCompaction final : public rocksdb::CompactionFilter {
 public:
  explicit OneCompaction(std::unique_ptr<RecordFilter::Walk> walk) : walk_(std::move(walk)) {}

  // What is dropped leaves a deletion with its own sequence for as long as lower levels may have
  // something of the key: nothing older comes back, nothing newer is hidden. Snapshots are not
  // looked at, which is why the walk knows how old they are.
  bool Filter(int /*level*/, const rocksdb::Slice& key, const rocksdb::Slice& value,
              std::string* /*new_value*/, bool* /*value_changed*/) const override {
    return walk_->Drops({key.data(), key.size()}, {value.data(), value.size()});
  }
  const char* Name() const override { return "rutile.records"; }

 private:
  const std::unique_ptr<RecordFilter::Walk> walk_;
};

class Factory final : public rocksdb::CompactionFilterFactory {
 public:
  Factory(Family family, std::shared_ptr<const RocksFilterSlot> slot)
      : family_(family), slot_(std::move(slot)) {}

  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context& /*context*/) override {
    std::unique_ptr<RecordFilter::Walk> walk = slot_->Begin(family_);
    if (walk == nullptr) return nullptr;
    return std::make_unique<OneCompaction>(std::move(walk));
  }
  const char* Name() const override { return "rutile.records"; }

 private:
  const Family family_;
  const std::shared_ptr<const RocksFilterSlot> slot_;
};

}  // namespace

void RocksFilterSlot::Open(std::function<std::uint64_t()> seen) {
  MutexLock lock(mutex_);
  seen_ = std::move(seen);
}

void RocksFilterSlot::Set(std::shared_ptr<RecordFilter> filter) {
  MutexLock lock(mutex_);
  filter_ = std::move(filter);
}

std::unique_ptr<RecordFilter::Walk> RocksFilterSlot::Begin(Family family) const {
  std::function<std::uint64_t()> seen;
  std::shared_ptr<RecordFilter> filter;
  {
    MutexLock lock(mutex_);
    seen = seen_;
    filter = filter_;
  }
  if (seen == nullptr || filter == nullptr) return nullptr;
  return filter->Begin(family, seen());
}

std::shared_ptr<rocksdb::CompactionFilterFactory> NewRocksFilterFactory(
    Family family, std::shared_ptr<const RocksFilterSlot> slot) {
  return std::make_shared<Factory>(family, std::move(slot));
}

}  // namespace rutile::engine
