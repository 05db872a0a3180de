#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/mutex.h"
#include "engine/kv_engine.h"
#include "engine/record_filter.h"

namespace rocksdb {
class CompactionFilterFactory;
}

namespace rutile::engine {

// Where the families' compactions find the engine's filter, which comes and goes. Any thread.
class RocksFilterSlot {
 public:
  // `seen`: see RecordFilter::Begin. Before there is one no filter is asked.
  void Open(std::function<std::uint64_t()> seen);
  void Set(std::shared_ptr<RecordFilter> filter);
  // Null: all records stay.
  std::unique_ptr<RecordFilter::Walk> Begin(Family family) const;

 private:
  mutable Mutex mutex_;
  std::function<std::uint64_t()> seen_ GUARDED_BY(mutex_);
  std::shared_ptr<RecordFilter> filter_ GUARDED_BY(mutex_);
};

// Of the compactions of one family.
std::shared_ptr<rocksdb::CompactionFilterFactory> NewRocksFilterFactory(
    Family family, std::shared_ptr<const RocksFilterSlot> slot);

}  // namespace rutile::engine
