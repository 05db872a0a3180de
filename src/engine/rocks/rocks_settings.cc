#include "engine/rocks/rocks_settings.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace rutile::engine {
namespace {

// RocksDB may have been built without any given algorithm.
rocksdb::CompressionType Compression() {
  const std::vector<rocksdb::CompressionType> known = rocksdb::GetSupportedCompressions();
  const bool has_lz4 =
      std::find(known.begin(), known.end(), rocksdb::kLZ4Compression) != known.end();
  return has_lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
}

// What of a key in kWrite its versions have in common. With this in its filters, a file that has no
// version of a key is passed by; without, whoever looks for one reads a block of every level.
class KeyOfVersion final : public rocksdb::SliceTransform {
 public:
  // Stands in files: other bytes need another name.
  const char* Name() const override { return "rutile.KeyOfVersion"; }
  rocksdb::Slice Transform(const rocksdb::Slice& key) const override {
    return {key.data(), key.size() - std::min(key.size(), kVersionBytes)};
  }
  bool InDomain(const rocksdb::Slice& key) const override { return key.size() >= kVersionBytes; }
};

void ConfigureDurability(rocksdb::Options* out) {
  // Without a log, families flushed one by one would come back at different moments.
  out->atomic_flush = true;
  // Whoever closes decides whether to flush. What would happen here by itself is a flush whose
  // failure nobody sees.
  out->avoid_flush_during_shutdown = true;
  // After a failed write nothing is known about the file: see RocksHealth.
  out->max_bgerror_resume_count = 0;
}

void ConfigureTables(const RocksOptions& options, rocksdb::Options* out) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  table.block_size = std::size_t{8} << 10;
  table.format_version = 5;
  // One key in a hundred that is absent costs a read of its block.
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  // Indexes and filters count against the cache, so that memory does not grow with the data.
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  out->table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  out->compression = Compression();
}

}  // namespace

void ConfigureRocks(const RocksOptions& options, rocksdb::Options* out) {
  if (options.env != nullptr) out->env = options.env;
  out->create_if_missing = true;
  out->create_missing_column_families = true;
  ConfigureDurability(out);
  ConfigureTables(options, out);

  out->write_buffer_size = options.write_buffer_bytes;
  out->db_write_buffer_size = 3 * options.write_buffer_bytes;
  out->max_write_buffer_number = 4;
  out->max_background_jobs = options.background_jobs;
  out->max_open_files = options.max_open_files;
  out->compaction_style = rocksdb::kCompactionStyleLevel;
  out->level_compaction_dynamic_level_bytes = true;
  // Writes out files as they grow, instead of all at the sync.
  out->bytes_per_sync = std::size_t{1} << 20;
  out->allow_mmap_reads = false;
  out->allow_mmap_writes = false;

  // RocksDB's own log of what it does: bounded. Its periodic reports go where nobody looks, and
  // would wake an idle node.
  out->max_log_file_size = std::size_t{4} << 20;
  out->keep_log_file_num = 4;
  out->stats_dump_period_sec = 0;
  out->stats_persist_period_sec = 0;
  // Opening many files would read each one's properties.
  out->skip_stats_update_on_db_open = true;
}

void ConfigureFamily(Family family, rocksdb::ColumnFamilyOptions* out) {
  if (family != Family::kWrite) return;
  out->prefix_extractor = std::make_shared<KeyOfVersion>();
  // Filters have each key once, with all of its versions, instead of each version.
  auto table = *out->table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
  table.whole_key_filtering = false;
  out->table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
}

}  // namespace rutile::engine
