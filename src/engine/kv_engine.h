#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/task.h"

namespace rutile::engine {

// The families of keys. Each is ordered by bytes on its own.
enum class Family : std::uint8_t {
  kDefault = 0,  // Raw values; long values of transactions.
  kLock = 1,
  kWrite = 2,
  kMeta = 3,  // Applied positions, region descriptors, the node's identity, placement's state.
};
inline constexpr std::array kAllFamilies = {Family::kDefault, Family::kLock, Family::kWrite,
                                            Family::kMeta};
std::string_view ToString(Family family);

// The end of a key in kWrite that tells the versions of one key apart; of a timestamp.
inline constexpr std::size_t kVersionBytes = 8;

// Changes that become visible, and durable, together. In order: a later one wins.
class WriteBatch {
 public:
  enum class Kind : std::uint8_t { kPut, kDelete, kDeleteRange };
  struct Change {
    Kind kind = Kind::kPut;
    Family family = Family::kDefault;
    std::string key = {};
    std::string value = {};  // kDeleteRange: the exclusive end.
  };

  void Put(Family family, std::string key, std::string value);
  void Delete(Family family, std::string key);
  // Deletes [begin, end). An empty `end` means the end of the family.
  void DeleteRange(Family family, std::string begin, std::string end);

  const std::vector<Change>& changes() const { return changes_; }
  bool empty() const { return changes_.empty(); }
  std::size_t size_bytes() const { return size_bytes_; }
  void Clear();

 private:
  std::vector<Change> changes_;
  std::size_t size_bytes_ = 0;
};

// Walks forward over keys of one snapshot. Key and value views are valid until the next move.
// Not thread-safe; must not outlive its snapshot.
class Cursor {
 public:
  virtual ~Cursor() = default;
  virtual bool Valid() const = 0;
  // To the first key >= `key`.
  virtual void Seek(std::string_view key) = 0;
  virtual void Next() = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  // Why Valid() is false: OK at the end, an error when reading failed.
  virtual Status status() const = 0;
};

// Walks over one family of one snapshot, either way.
class Iterator : public Cursor {
 public:
  // To the last key < `key`; with an empty `key` to the last of all.
  virtual void SeekBefore(std::string_view key) = 0;
  virtual void Prev() = 0;
};

// What an iterator may see: [lower, upper); an empty upper is no bound.
struct Bounds {
  std::string lower = {};
  std::string upper = {};
};

// The engine at one moment. Any thread may read; must not outlive the engine.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  // Nothing when the key is absent.
  virtual Result<std::optional<std::string>> Get(Family family, std::string_view key) const = 0;
  virtual std::unique_ptr<Iterator> NewIterator(Family family, Bounds bounds) const = 0;
  // Over the versions in kWrite of one key at a time: after Seek() it is valid on keys that differ
  // from what was sought in the last kVersionBytes only, and at its end at the first other one.
  // What is sought has no fewer bytes. An iterator would look for what is nearest in all that the
  // engine consists of; this passes by what has nothing of the key.
  virtual std::unique_ptr<Cursor> NewVersionCursor() const = 0;
};

class RecordFilter;

// An ordered key-value engine without a log of its own: what was written since the last flush is
// lost in a crash, all families together back to one moment (never one family further than another,
// never half a batch). The Raft log is the redo log. Writes come from one thread at a time for each
// region; reads from any thread.
//
// After a failed write every further write fails: the caller must stop the node.
class KvEngine {
 public:
  virtual ~KvEngine() = default;

  virtual Status Write(const WriteBatch& batch) = 0;
  virtual std::unique_ptr<const Snapshot> GetSnapshot() const = 0;
  // Get on a snapshot of this moment, without the cost of one.
  virtual Result<std::optional<std::string>> Get(Family family, std::string_view key) const = 0;

  // Makes all that was written before the call durable. Blocking and expensive.
  virtual Status Flush() = 0;
  // Every write carries a growing sequence; this is the last one given and the last one durable.
  // The log may be forgotten only for what was applied at or below the durable one.
  virtual std::uint64_t WrittenSequence() const = 0;
  virtual std::uint64_t DurableSequence() const = 0;

  // Asks `filter` from now on about records that are rewritten; null: nobody. Walks that have begun
  // go on, at most until the engine is closed.
  virtual void SetFilter(std::shared_ptr<RecordFilter> filter) = 0;
  // Rewrites what is durable between the keys. The filter is asked about all but what a walk of the
  // engine's own may be at since before SetFilter(); they come bit by bit. Blocking and expensive.
  virtual Status Compact(Family family, const Bounds& bounds) = 0;

  // Bytes on disk or in memory between the keys, roughly.
  virtual std::uint64_t ApproximateBytes(Family family, const Bounds& bounds) const = 0;
  // Numbers for the metrics and status pages, by name.
  virtual std::vector<std::pair<std::string, std::uint64_t>> Statistics() const = 0;
};

}  // namespace rutile::engine
