#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"
#include "env/env.h"
#include "env/sim/sim_inode.h"
#include "env/sim/world.h"

namespace rutile::sim {

// The disk of one machine. It outlives the processes that run there; after KillProcess or CutPower
// the same object is what the next process finds.
//
// What may go wrong, and nothing else does:
//   - a power cut loses any sectors written since the file's last Sync, whatever their order, and
//     any creation, renaming and removal since the last SyncDirectory of the directory concerned;
//   - a write, a read or a sync fails when told to; after a failed sync what was not synced is on
//     disk or lost for good, and no later sync will tell;
//   - the disk is full; a write that does not fit is done in part;
//   - it is slow, or stalls;
//   - a bit flips.
// A sector is never torn, what was synced stays, and a renaming is done whole or not at all.
// Directories are durable when they are made.
//
// An operation takes its time (World::Take), but what it does it does at once. So a power cut by an
// event of the world never falls into an operation; FailPowerAfter is how to cut there.
class SimFileSystem final : public FileSystem {
 public:
  // A time drawn anew for each operation, uniform in [min, max].
  struct Latency {
    Duration min = {};
    Duration max = {};
  };
  struct Options {
    std::size_t sector_bytes = 512;
    std::uint64_t capacity_bytes = std::uint64_t{1} << 40;
    Latency read = {};
    Latency write = {};
    Latency sync = {};  // Of files and of directories.
  };
  enum class Operation : std::uint8_t { kRead, kWrite, kSync };

  explicit SimFileSystem(World& world) : SimFileSystem(world, Options()) {}
  SimFileSystem(World& world, const Options& options);
  ~SimFileSystem() override;
  SimFileSystem(const SimFileSystem&) = delete;
  SimFileSystem& operator=(const SimFileSystem&) = delete;

  Result<std::unique_ptr<File>> Open(const std::string& path) override;
  Result<std::unique_ptr<File>> Create(const std::string& path) override;
  Result<std::string> ReadAll(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  bool Exists(const std::string& path) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status CreateDirectories(const std::string& path) override;
  Status SyncDirectory(const std::string& directory) override;
  Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override;
  Result<std::uint64_t> FreeBytes() override;

  // --- What befalls the disk.

  // The process is gone, the machine is not: its locks are released, its files fail, and what it
  // wrote is there, synced or not.
  void KillProcess();
  // The machine loses power and gets it back. Includes KillProcess.
  void CutPower(Loss loss = Loss::kAny);
  // The power goes during the `changes`-th change (write, truncation, creation, renaming, removal,
  // sync) from now: it fails, and so does all that follows, until CutPower. `notify` runs then,
  // from within the operation.
  void FailPowerAfter(std::uint64_t changes, std::function<void()> notify = nullptr);
  bool has_power() const { return has_power_; }
  // How many changes there have been.
  std::uint64_t changes() const { return changes_; }

  // The next `count` operations of this kind fail, if this process does so many.
  void FailNext(Operation operation, std::uint64_t count = 1);
  // Each operation of this kind fails with this probability.
  void SetFailureRate(Operation operation, std::uint32_t per_million);
  void SetCapacity(std::uint64_t bytes) { options_.capacity_bytes = bytes; }
  std::uint64_t capacity_bytes() const { return options_.capacity_bytes; }
  // What it was when a write last found no space, which its caller may hear of much later: zero if
  // none has.
  std::uint64_t exceeded_capacity_bytes() const { return exceeded_capacity_; }
  void SetLatency(Operation operation, const Latency& latency);
  // From now on syncs report success and do nothing, as those of a disk with a cache that it does
  // not own up to. No software survives it: for trying out those who should notice.
  void LieAboutSyncs() { lies_ = true; }
  // Every operation of the next `span` returns only at its end.
  void StallFor(Duration span);
  void EndStall() { stalled_until_ = {}; }
  // For `span` what of this kind takes time takes `factor` times as long, instead of what was said
  // before. An operation that begins later does not, whatever it is a part of: a task that has many
  // is not slow to its end.
  void SlowFor(Operation operation, std::int64_t factor, Duration span);
  void EndSlowness() { slowness_.clear(); }
  // Another disk is put in, with nothing on it. Call it while no process runs.
  void Wipe();
  // All files, in order.
  std::vector<std::string> Paths() const;
  std::uint64_t SizeOf(const std::string& path) const;
  // What a process would read; valid until the file changes. Requires the file to be there.
  std::string_view ContentsOf(const std::string& path) const;
  // Damages what lies on disk, cached or not. Requires the file to be that long.
  void FlipBit(const std::string& path, std::uint64_t bit);

  // Is told every change, as in "write wal/1.log 0+512", "sync-directory wal", "sync wal/1.log
  // failed": a protocol for durability is reviewed as this text.
  void SetObserver(std::function<void(std::string_view)> observer);
  std::uint64_t used_bytes() const;
  std::uint64_t free_bytes() const;

 private:
  class SimFile;
  class SimLock;
  using Names = std::map<std::string, std::shared_ptr<SimInode>>;
  // Entries of directories that change together; an empty pointer removes one.
  using NameChange = Names;

  Latency& LatencyOf(Operation operation);
  // Takes the time of an operation, then says whether it is to be done at all.
  Status Begin(Operation operation, std::string_view what, const std::string& path);
  // The same for a change, which it tells the observer; `detail` follows the path.
  Status BeginChange(Operation operation, std::string_view what, const std::string& path,
                     std::string_view detail = {});
  Status WriteInode(SimInode& inode, const std::string& path, std::uint64_t offset,
                    std::string_view data);
  Status SyncInode(SimInode& inode, const std::string& path);
  Status CheckParent(std::string_view what, const std::string& path) const;
  static void Apply(const NameChange& change, Names* names);
  void ChangeNames(NameChange change);

  World& world_;
  SeededRandom random_;
  Options options_;
  std::function<void(std::string_view)> observer_;

  Names names_;
  // Bytes of all files with a name. Nothing: to be counted anew.
  mutable std::optional<std::uint64_t> used_;
  std::uint64_t exceeded_capacity_ = 0;
  Names durable_names_;
  std::vector<NameChange> name_changes_;  // Lead from durable_names_ to names_.
  std::set<std::string> directories_;     // The root is not among them.
  std::set<std::string> locks_;

  std::uint64_t process_ = 1;  // Files and locks of an earlier process are dead.
  std::uint64_t changes_ = 0;
  bool has_power_ = true;
  bool interrupted_ = false;  // The last change begun is the one during which the power failed.
  std::optional<std::uint64_t> power_fails_at_;
  std::function<void()> on_power_failure_;
  std::map<Operation, std::uint64_t> fail_next_;
  std::map<Operation, std::uint32_t> failure_rate_;
  Duration stalled_until_ = {};
  struct Slowness {
    std::int64_t factor = 1;
    Duration until = {};
  };
  std::map<Operation, Slowness> slowness_;
  bool lies_ = false;
};

}  // namespace rutile::sim
