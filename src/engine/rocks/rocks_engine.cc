#include "engine/rocks/rocks_engine.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/listener.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/check.h"
#include "engine/rocks/rocks_batch.h"
#include "engine/rocks/rocks_filter.h"
#include "engine/rocks/rocks_health.h"
#include "engine/rocks/rocks_read.h"
#include "engine/rocks/rocks_settings.h"
#include "engine/rocks/rocks_space.h"
#include "engine/rocks/rocks_status.h"

namespace rutile::engine {
namespace {

// Called on RocksDB's threads.
class Listener final : public rocksdb::EventListener {
 public:
  Listener(std::shared_ptr<RocksHealth> health, std::string directory)
      : health_(std::move(health)), directory_(std::move(directory)) {}

  // Called for each family of an atomic flush, after all of them have become durable together. The
  // memory they had was sealed for all at one sequence, and an earlier flush is never overtaken by
  // a later one: whatever was written up to the greatest sequence in any of the files is durable.
  void OnFlushCompleted(rocksdb::DB* /*db*/, const rocksdb::FlushJobInfo& info) override {
    health_->RaiseDurable(info.largest_seqno);
  }

  void OnBackgroundError(rocksdb::BackgroundErrorReason /*reason*/,
                         rocksdb::Status* error) override {
    if (error->ok()) return;
    static_cast<void>(
        health_->Fail(FromRocks(*error, directory_).WithContext("in the background")));
  }

 private:
  const std::shared_ptr<RocksHealth> health_;
  const std::string directory_;
};

class RocksSnapshot final : public Snapshot {
 public:
  // `handles` and `open`, which counts the engine's snapshots, are the engine's.
  RocksSnapshot(rocksdb::DB& db, const RocksHandles& handles, const std::string& directory,
                std::atomic<std::uint64_t>& open)
      : db_(db),
        handles_(handles),
        directory_(directory),
        open_(open),
        snapshot_(db.GetSnapshot()) {
    open_.fetch_add(1, std::memory_order_relaxed);
  }
  ~RocksSnapshot() override {
    db_.ReleaseSnapshot(snapshot_);
    open_.fetch_sub(1, std::memory_order_relaxed);
  }
  RocksSnapshot(const RocksSnapshot&) = delete;
  RocksSnapshot& operator=(const RocksSnapshot&) = delete;

  Result<std::optional<std::string>> Get(Family family, std::string_view key) const override {
    return GetFromRocks(Of(family), snapshot_, key);
  }

  std::unique_ptr<Iterator> NewIterator(Family family, Bounds bounds) const override {
    return NewRocksIterator(Of(family), snapshot_, std::move(bounds));
  }

  std::unique_ptr<Cursor> NewVersionCursor() const override {
    return NewRocksVersionCursor(Of(Family::kWrite), snapshot_);
  }

 private:
  RocksFamily Of(Family family) const {
    return {
        .db = db_, .handle = handles_[static_cast<std::size_t>(family)], .directory = directory_};
  }

  rocksdb::DB& db_;
  const RocksHandles& handles_;
  const std::string& directory_;
  std::atomic<std::uint64_t>& open_;
  const rocksdb::Snapshot* const snapshot_;
};

using Numbers = std::vector<std::pair<std::string, std::uint64_t>>;

class RocksEngine final : public KvEngine {
 public:
  RocksEngine(std::string directory, std::unique_ptr<rocksdb::Env> env,
              std::unique_ptr<rocksdb::DB> db, const RocksHandles& handles,
              std::shared_ptr<RocksHealth> health, MayWait may_wait,
              std::shared_ptr<RocksFilterSlot> filter)
      : directory_(std::move(directory)),
        handles_(handles),
        health_(std::move(health)),
        may_wait_(std::move(may_wait)),
        filter_(std::move(filter)),
        env_(std::move(env)),
        db_(std::move(db)) {
    // Without a log, what was found on disk is all there is.
    health_->RaiseDurable(db_->GetLatestSequenceNumber());
    filter_->Open([this] { return SeenByAll(); });
  }

  ~RocksEngine() override {
    RUTILE_CHECK(open_snapshots_ == 0, "a snapshot outlives its engine");
    may_wait_->store(false, std::memory_order_relaxed);
    rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
    for (rocksdb::ColumnFamilyHandle* handle : handles_) {
      // Fails only for a handle of another database.
      const rocksdb::Status destroyed = db_->DestroyColumnFamilyHandle(handle);
      RUTILE_CHECK(destroyed.ok(), destroyed.ToString());
    }
    // Files were only read since the last flush or are not needed: an error here loses nothing.
    db_->Close().PermitUncheckedError();
  }

  RocksEngine(const RocksEngine&) = delete;
  RocksEngine& operator=(const RocksEngine&) = delete;

  Status Write(const WriteBatch& batch) override {
    RUTILE_RETURN_IF_ERROR(health_->Check());
    if (batch.empty()) return {};
    // What RocksDB adds to each change: kind, family and two lengths.
    constexpr std::size_t kRecordBytes = 12;
    rocksdb::WriteBatch converted(batch.size_bytes() + kRecordBytes * (batch.changes().size() + 1));
    Status status = ConvertBatch(batch, *db_, handles_, directory_, &converted);
    if (status.ok() && converted.Count() > 0) {
      rocksdb::WriteOptions options;
      options.disableWAL = true;
      status = FromRocks(db_->Write(options, &converted), directory_);
    }
    return status.ok() ? status : health_->Fail(std::move(status));
  }

  std::unique_ptr<const Snapshot> GetSnapshot() const override {
    return std::make_unique<RocksSnapshot>(*db_, handles_, directory_, open_snapshots_);
  }

  Result<std::optional<std::string>> Get(Family family, std::string_view key) const override {
    return GetFromRocks(Of(family), nullptr, key);
  }

  Status Flush() override {
    RUTILE_RETURN_IF_ERROR(health_->Check());
    const std::uint64_t written = WrittenSequence();
    if (DurableSequence() >= written) return {};
    rocksdb::FlushOptions options;
    options.wait = true;
    options.allow_write_stall = true;  // The caller wants it now.
    const rocksdb::Status flushed = db_->Flush(options, {handles_.begin(), handles_.end()});
    if (!flushed.ok()) return health_->Fail(FromRocks(flushed, directory_));
    // The listener has said so already, unless the last of the writes left nothing to store.
    health_->RaiseDurable(written);
    return {};
  }

  std::uint64_t WrittenSequence() const override { return db_->GetLatestSequenceNumber(); }

  std::uint64_t DurableSequence() const override { return health_->durable(); }

  void SetFilter(std::shared_ptr<RecordFilter> filter) override { filter_->Set(std::move(filter)); }

  Status Compact(Family family, const Bounds& bounds) override {
    RUTILE_RETURN_IF_ERROR(health_->Check());
    rocksdb::CompactRangeOptions options;
    // Also what no compaction would touch, being as low as it gets.
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    options.exclusive_manual_compaction = false;
    const rocksdb::Slice lower(bounds.lower);
    const rocksdb::Slice upper(bounds.upper);
    return FromRocks(db_->CompactRange(options, Of(family).handle, &lower,
                                       bounds.upper.empty() ? nullptr : &upper),
                     directory_);
  }

  std::uint64_t ApproximateBytes(Family family, const Bounds& bounds) const override {
    std::string upper = bounds.upper;
    if (upper.empty()) {
      Result<std::optional<std::string>> last = LastKeyInRocks(Of(family));
      if (!last.ok() || !last.value()) return 0;
      upper = *std::move(last).value() + '\0';
    }
    if (upper <= bounds.lower) return 0;
    rocksdb::SizeApproximationOptions options;
    options.include_memtables = true;
    options.files_size_error_margin = 0.1;
    const rocksdb::Range range(bounds.lower, upper);
    std::uint64_t bytes = 0;
    const rocksdb::Status status =
        db_->GetApproximateSizes(options, Of(family).handle, &range, 1, &bytes);
    return status.ok() ? bytes : 0;
  }

  Numbers Statistics() const override {
    using P = rocksdb::DB::Properties;
    Numbers numbers = {{"written_sequence", WrittenSequence()},
                       {"durable_sequence", DurableSequence()},
                       {"open_snapshots", open_snapshots_.load(std::memory_order_relaxed)},
                       {"failed", health_->Check().ok() ? 0u : 1u}};
    const auto of_all = [&](const char* name, const std::string& property) {
      std::uint64_t sum = 0;
      for (rocksdb::ColumnFamilyHandle* handle : handles_) sum += Number(handle, property);
      numbers.emplace_back(name, sum);
    };
    of_all("memtable_bytes", P::kCurSizeAllMemTables);
    of_all("immutable_memtables", P::kNumImmutableMemTable);
    of_all("pending_compaction_bytes", P::kEstimatePendingCompactionBytes);
    of_all("table_reader_bytes", P::kEstimateTableReadersMem);
    of_all("table_file_bytes", P::kTotalSstFilesSize);
    const auto of_one = [&](const char* name, const std::string& property) {
      numbers.emplace_back(name, Number(handles_.front(), property));
    };
    of_one("block_cache_bytes", P::kBlockCacheUsage);
    of_one("block_cache_pinned_bytes", P::kBlockCachePinnedUsage);
    of_one("block_cache_capacity_bytes", P::kBlockCacheCapacity);
    of_one("running_flushes", P::kNumRunningFlushes);
    of_one("running_compactions", P::kNumRunningCompactions);
    of_one("writes_stopped", P::kIsWriteStopped);
    of_one("delayed_write_bytes_per_second", P::kActualDelayedWriteRate);
    AppendFamilies(&numbers);
    return numbers;
  }

 private:
  RocksFamily Of(Family family) const {
    return {
        .db = *db_, .handle = handles_[static_cast<std::size_t>(family)], .directory = directory_};
  }

  std::uint64_t Number(rocksdb::ColumnFamilyHandle* handle, const std::string& property) const {
    std::uint64_t number = 0;
    return db_->GetIntProperty(handle, property, &number) ? number : 0;
  }

  // Up to where all is durable, and seen by every snapshot. In this order: a snapshot that is taken
  // in between is of what was durable before it.
  std::uint64_t SeenByAll() const {
    const std::uint64_t durable = DurableSequence();
    const std::uint64_t oldest =
        Number(handles_.front(), rocksdb::DB::Properties::kOldestSnapshotSequence);
    return oldest == 0 ? durable : std::min(durable, oldest);
  }

  void AppendFamilies(Numbers* numbers) const {
    using P = rocksdb::DB::Properties;
    for (const Family family : kAllFamilies) {
      const std::string name(ToString(family));
      rocksdb::ColumnFamilyHandle* handle = Of(family).handle;
      numbers->emplace_back(name + "_keys_estimate", Number(handle, P::kEstimateNumKeys));
      for (int level = 0; level < db_->NumberLevels(handle); ++level) {
        const std::string number = std::to_string(level);
        std::string files;
        if (!db_->GetProperty(handle, P::kNumFilesAtLevelPrefix + number, &files)) continue;
        std::string level_name = name;
        level_name.append("_level").append(number).append("_files");
        numbers->emplace_back(std::move(level_name), std::stoull(files));
      }
    }
  }

  // Constant after construction.
  const std::string directory_;
  const RocksHandles handles_;
  const std::shared_ptr<RocksHealth> health_;  // Shared with the listener, which RocksDB owns.
  const MayWait may_wait_;
  const std::shared_ptr<RocksFilterSlot> filter_;  // Shared with the families' options.
  const std::unique_ptr<rocksdb::Env> env_;        // Outlives db_.
  const std::unique_ptr<rocksdb::DB> db_;

  // A count for checks and for people: it orders nothing.
  mutable std::atomic<std::uint64_t> open_snapshots_ = 0;
};

}  // namespace

Result<std::unique_ptr<KvEngine>> OpenRocksEngine(const RocksOptions& options) {
  auto health = std::make_shared<RocksHealth>();
  rocksdb::Options settings;
  ConfigureRocks(options, &settings);
  // Not while it opens: who starts a node wants to hear that the disk is full.
  const auto may_wait = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<rocksdb::Env> env =
      rocksdb::NewCompositeEnv(NewPatientFileSystem(settings.env->GetFileSystem(), may_wait));
  settings.env = env.get();
  settings.listeners.push_back(std::make_shared<Listener>(health, options.directory));

  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  families.reserve(kAllFamilies.size());
  const auto filter = std::make_shared<RocksFilterSlot>();
  for (const Family family : kAllFamilies) {
    rocksdb::ColumnFamilyOptions of_family(settings);
    ConfigureFamily(family, &of_family);
    of_family.compaction_filter_factory = NewRocksFilterFactory(family, filter);
    families.emplace_back(std::string(ToString(family)), of_family);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> opened;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      rocksdb::DB::Open(settings, options.directory, families, &opened, &db);
  if (!status.ok()) return FromRocks(status, options.directory);
  RocksHandles handles;
  RUTILE_CHECK(opened.size() == handles.size());
  std::copy(opened.begin(), opened.end(), handles.begin());
  may_wait->store(true, std::memory_order_relaxed);
  return std::unique_ptr<KvEngine>(std::make_unique<RocksEngine>(
      options.directory, std::move(env), std::unique_ptr<rocksdb::DB>(db), handles,
      std::move(health), may_wait, filter));
}

}  // namespace rutile::engine
