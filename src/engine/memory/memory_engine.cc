#include "engine/memory/memory_engine.h"

#include <atomic>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"
#include "engine/memory/image.h"

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

std::optional<std::string> ValueOf(const SortedMap& map, std::string_view key) {
  const SortedMap::Record* record = map.Find(key);
  return record == nullptr ? std::nullopt : std::optional(record->value);
}

class MemorySnapshot final : public Snapshot {
 public:
  // `open` counts the engine's snapshots and outlives this one.
  MemorySnapshot(Contents contents, std::atomic<std::uint64_t>& open)
      : contents_(std::move(contents)), open_(open) {
    open_.fetch_add(1, std::memory_order_relaxed);
  }
  ~MemorySnapshot() override { open_.fetch_sub(1, std::memory_order_relaxed); }
  MemorySnapshot(const MemorySnapshot&) = delete;
  MemorySnapshot& operator=(const MemorySnapshot&) = delete;

  Result<std::optional<std::string>> Get(Family family, std::string_view key) const override {
    return ValueOf(contents_.of(family), key);
  }

  std::unique_ptr<Iterator> NewIterator(Family family, Bounds bounds) const override {
    return std::make_unique<MemoryIterator>(contents_.of(family), std::move(bounds));
  }

 private:
  const Contents contents_;
  std::atomic<std::uint64_t>& open_;
};

class MemoryEngine final : public KvEngine {
 public:
  MemoryEngine(FileSystem& files, std::string directory, Contents contents)
      : files_(files),
        directory_(std::move(directory)),
        contents_(std::move(contents)),
        durable_sequence_(contents_.sequence) {}

  ~MemoryEngine() override { RUTILE_CHECK(open_snapshots_ == 0, "a snapshot outlives its engine"); }

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
      if (durable_sequence_ == contents_.sequence) return {};
      now = contents_;
    }
    Status written = WriteFileAtomically(files_, directory_, kImageName, EncodeImage(now));
    MutexLock lock(mutex_);
    if (!written.ok()) {
      failure_ = std::move(written).WithContext("the engine's image in " + directory_);
      return failure_;
    }
    durable_sequence_ = now.sequence;
    return {};
  }

  std::uint64_t WrittenSequence() const override { return Now().sequence; }

  std::uint64_t DurableSequence() const override {
    MutexLock lock(mutex_);
    return durable_sequence_;
  }

  std::uint64_t ApproximateBytes(Family family, const Bounds& bounds) const override {
    return Now(family).BytesBetween(bounds.lower, bounds.upper);
  }

  std::vector<std::pair<std::string, std::uint64_t>> Statistics() const override {
    const Contents now = Now();
    std::vector<std::pair<std::string, std::uint64_t>> numbers = {
        {"written_sequence", now.sequence},
        {"durable_sequence", DurableSequence()},
        {"open_snapshots", open_snapshots_.load(std::memory_order_relaxed)}};
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

  // A count for checks and for people: it orders nothing.
  mutable std::atomic<std::uint64_t> open_snapshots_ = 0;

  Mutex flush_mutex_;  // Taken before mutex_.

  mutable Mutex mutex_;
  Contents contents_ GUARDED_BY(mutex_);
  std::uint64_t durable_sequence_ GUARDED_BY(mutex_);
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
