#include "engine/memory/memory_engine.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"
#include "engine/memory/image.h"
#include "engine/record_filter.h"

namespace rutile::engine {
namespace {

constexpr char kImageName[] = "image";

class MemoryIterator final : public Iterator {
 public:
  MemoryIterator(SortedMap map, Bounds bounds) : map_(std::move(map)), bounds_(std::move(bounds)) {}

  bool Valid() const override { return record_ != nullptr; }

  void Seek(std::string_view key) override {
    MoveTo(map_.FirstAtLeast(key < bounds_.lower ? bounds_.lower : key));
  }

  void SeekBefore(std::string_view key) override {
    if (key.empty() || (!bounds_.upper.empty() && bounds_.upper < key)) key = bounds_.upper;
    MoveTo(key.empty() ? map_.Last() : map_.LastBelow(key));
  }

  void Next() override {
    RUTILE_CHECK(Valid());
    MoveTo(map_.FirstAbove(record_->key));
  }

  void Prev() override {
    RUTILE_CHECK(Valid());
    MoveTo(map_.LastBelow(record_->key));
  }

  std::string_view key() const override {
    RUTILE_CHECK(Valid());
    return record_->key;
  }

  std::string_view value() const override {
    RUTILE_CHECK(Valid());
    return record_->value;
  }

  Status status() const override { return {}; }

 private:
  void MoveTo(const SortedMap::Record* record) {
    const bool within = record != nullptr && record->key >= bounds_.lower &&
                        (bounds_.upper.empty() || record->key < bounds_.upper);
    record_ = within ? record : nullptr;
  }

  const SortedMap map_;
  const Bounds bounds_;
  const SortedMap::Record* record_ = nullptr;  // In map_.
};

class MemoryVersionCursor final : public Cursor {
 public:
  explicit MemoryVersionCursor(SortedMap writes) : writes_(std::move(writes), {}) {}

  void Seek(std::string_view key) override {
    RUTILE_CHECK(key.size() >= kVersionBytes);
    versions_of_ = key.substr(0, key.size() - kVersionBytes);
    writes_.Seek(key);
  }
  bool Valid() const override {
    return writes_.Valid() && writes_.key().size() == versions_of_.size() + kVersionBytes &&
           writes_.key().starts_with(versions_of_);
  }
  void Next() override {
    RUTILE_CHECK(Valid());
    writes_.Next();
  }
  std::string_view key() const override {
    RUTILE_CHECK(Valid());
    return writes_.key();
  }
  std::string_view value() const override {
    RUTILE_CHECK(Valid());
    return writes_.value();
  }
  Status status() const override { return {}; }

 private:
  MemoryIterator writes_;
  std::string versions_of_;
};

std::optional<std::string> ValueOf(const SortedMap& map, std::string_view key) {
  const SortedMap::Record* record = map.Find(key);
  return record == nullptr ? std::nullopt : std::optional(record->value);
}

// The sequences of the snapshots that are open.
class OpenSnapshots {
 public:
  void Add(std::uint64_t sequence) {
    MutexLock lock(mutex_);
    sequences_.insert(sequence);
  }
  void Remove(std::uint64_t sequence) {
    MutexLock lock(mutex_);
    sequences_.erase(sequences_.find(sequence));
  }
  std::size_t size() const {
    MutexLock lock(mutex_);
    return sequences_.size();
  }
  // Of the oldest; nothing: there is none.
  std::optional<std::uint64_t> oldest() const {
    MutexLock lock(mutex_);
    return sequences_.empty() ? std::nullopt : std::optional(*sequences_.begin());
  }

 private:
  mutable Mutex mutex_;
  std::multiset<std::uint64_t> sequences_ GUARDED_BY(mutex_);
};

class MemorySnapshot final : public Snapshot {
 public:
  // `open` has the engine's snapshots and outlives this one.
  MemorySnapshot(Contents contents, OpenSnapshots& open)
      : contents_(std::move(contents)), open_(open) {
    open_.Add(contents_.sequence);
  }
  ~MemorySnapshot() override { open_.Remove(contents_.sequence); }
  MemorySnapshot(const MemorySnapshot&) = delete;
  MemorySnapshot& operator=(const MemorySnapshot&) = delete;

  Result<std::optional<std::string>> Get(Family family, std::string_view key) const override {
    return ValueOf(contents_.of(family), key);
  }

  std::unique_ptr<Iterator> NewIterator(Family family, Bounds bounds) const override {
    return std::make_unique<MemoryIterator>(contents_.of(family), std::move(bounds));
  }

  std::unique_ptr<Cursor> NewVersionCursor() const override {
    return std::make_unique<MemoryVersionCursor>(contents_.of(Family::kWrite));
  }

 private:
  const Contents contents_;
  OpenSnapshots& open_;
};

class MemoryEngine final : public KvEngine {
 public:
  MemoryEngine(FileSystem& files, std::string directory, Contents contents)
      : files_(files),
        directory_(std::move(directory)),
        contents_(std::move(contents)),
        durable_(contents_) {}

  ~MemoryEngine() override {
    RUTILE_CHECK(open_snapshots_.size() == 0, "a snapshot outlives its engine");
  }

  Status Write(const WriteBatch& batch) override {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    if (batch.empty()) return {};
    for (const WriteBatch::Change& change : batch.changes()) {
      SortedMap& map = contents_.of(change.family);
      switch (change.kind) {
        case WriteBatch::Kind::kPut: map = map.Put(change.key, change.value); break;
        case WriteBatch::Kind::kDelete: map = map.Delete(change.key); break;
        case WriteBatch::Kind::kDeleteRange: map = map.DeleteRange(change.key, change.value); break;
      }
    }
    ++contents_.sequence;
    return {};
  }

  std::unique_ptr<const Snapshot> GetSnapshot() const override {
    return std::make_unique<MemorySnapshot>(Now(), open_snapshots_);
  }

  Result<std::optional<std::string>> Get(Family family, std::string_view key) const override {
    return ValueOf(Now(family), key);
  }

  Status Flush() override {
    // Held while the image is written, so that an older image never replaces a newer one. Only
    // other flushes wait for it.
    MutexLock flushing(flush_mutex_);
    Contents now;
    {
      MutexLock lock(mutex_);
      if (!failure_.ok()) return failure_;
      if (durable_.sequence == contents_.sequence) return {};
      now = contents_;
    }
    Status written = WriteFileAtomically(files_, directory_, kImageName, EncodeImage(now));
    MutexLock lock(mutex_);
    if (!written.ok()) {
      failure_ = std::move(written).WithContext("the engine's image in " + directory_);
      return failure_;
    }
    durable_ = std::move(now);
    return {};
  }

  void SetFilter(std::shared_ptr<RecordFilter> filter) override {
    MutexLock lock(mutex_);
    filter_ = std::move(filter);
  }

  // Of what is in memory alone, written after the last flush, nothing is rewritten. An image that
  // cannot be written leaves all as it was.
  Status Compact(Family family, const Bounds& bounds) override {
    MutexLock flushing(flush_mutex_);
    Contents durable;
    std::shared_ptr<RecordFilter> filter;
    {
      MutexLock lock(mutex_);
      if (!failure_.ok()) return failure_;
      durable = durable_;
      filter = filter_;
    }
    if (filter == nullptr) return {};
    const std::uint64_t seen =
        std::min(durable.sequence, open_snapshots_.oldest().value_or(durable.sequence));
    const std::unique_ptr<RecordFilter::Walk> walk = filter->Begin(family, seen);
    if (walk == nullptr) return {};
    const SortedMap before = durable.of(family);
    std::vector<const SortedMap::Record*> dropped;
    for (const auto* record = before.FirstAtLeast(bounds.lower);
         record != nullptr && (bounds.upper.empty() || record->key < bounds.upper);
         record = before.FirstAbove(record->key)) {
      if (walk->Drops(record->key, record->value)) dropped.push_back(record);
    }
    if (dropped.empty()) return {};
    for (const SortedMap::Record* record : dropped) {
      durable.of(family) = durable.of(family).Delete(record->key);
    }
    RUTILE_RETURN_IF_ERROR(
        WriteFileAtomically(files_, directory_, kImageName, EncodeImage(durable)));
    MutexLock lock(mutex_);
    durable_ = std::move(durable);
    SortedMap& map = contents_.of(family);
    for (const SortedMap::Record* record : dropped) {
      const SortedMap::Record* current = map.Find(record->key);
      // Not what was written there since.
      if (current != nullptr && current->value == record->value) map = map.Delete(record->key);
    }
    return {};
  }

  std::uint64_t WrittenSequence() const override { return Now().sequence; }

  std::uint64_t DurableSequence() const override {
    MutexLock lock(mutex_);
    return durable_.sequence;
  }

  std::uint64_t ApproximateBytes(Family family, const Bounds& bounds) const override {
    return Now(family).BytesBetween(bounds.lower, bounds.upper);
  }

  std::vector<std::pair<std::string, std::uint64_t>> Statistics() const override {
    const Contents now = Now();
    std::vector<std::pair<std::string, std::uint64_t>> numbers = {
        {"written_sequence", now.sequence},
        {"durable_sequence", DurableSequence()},
        {"open_snapshots", open_snapshots_.size()}};
    for (const Family family : kAllFamilies) {
      const std::string name(ToString(family));
      numbers.emplace_back(name + "_keys", now.of(family).size());
      numbers.emplace_back(name + "_bytes", now.of(family).bytes());
    }
    return numbers;
  }

 private:
  Contents Now() const {
    MutexLock lock(mutex_);
    return contents_;
  }

  SortedMap Now(Family family) const {
    MutexLock lock(mutex_);
    return contents_.of(family);
  }

  // Constant after construction.
  FileSystem& files_;
  const std::string directory_;

  mutable OpenSnapshots open_snapshots_;

  Mutex flush_mutex_;  // Taken before mutex_.

  mutable Mutex mutex_;
  Contents contents_ GUARDED_BY(mutex_);
  Contents durable_ GUARDED_BY(mutex_);  // As in the image.
  std::shared_ptr<RecordFilter> filter_ GUARDED_BY(mutex_);
  Status failure_ GUARDED_BY(mutex_);  // The first one; every later write and flush returns it.
};

}  // namespace

Result<std::unique_ptr<KvEngine>> OpenMemoryEngine(FileSystem& files, std::string directory) {
  RUTILE_RETURN_IF_ERROR(files.CreateDirectories(directory));
  Result<std::string> image = files.ReadAll(directory + "/" + kImageName);
  Contents contents;
  if (image.ok()) {
    Result<Contents> decoded = DecodeImage(image.value());
    if (!decoded.ok()) return decoded.status().WithContext(directory + "/" + kImageName);
    contents = std::move(decoded).value();
  } else if (image.status().code() != Code::kNotFound) {
    return image.status();
  }
  return std::unique_ptr<KvEngine>(
      std::make_unique<MemoryEngine>(files, std::move(directory), std::move(contents)));
}

}  // namespace rutile::engine
