#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "engine/kv_engine.h"
#include "env/posix/posix_clock.h"
#include "env/posix/posix_files.h"
#include "env/posix/thread_executor.h"
#include "store/store.h"

namespace rutile::bench {

// Carries messages between stores of one process, each on a thread of its receiver's.
class LocalNet {
 public:
  void Connect(StoreId store, Executor& executor, Transport::Receiver receiver);
  void Disconnect(StoreId store);
  void Send(StoreId from, StoreId to, std::string message);

 private:
  struct End {
    Executor* executor = nullptr;
    std::shared_ptr<Transport::Receiver> receiver = {};
  };
  std::mutex mutex_;
  std::map<StoreId, End> ends_;
};

// Stores as in a server, with RocksDB, a log and threads each, but without placement, clients or a
// network: what many regions cost below those. Every region has a voter on every store.
//
// What fails throws std::runtime_error, on the caller's thread; a disk that fails ends the process.
class StoreGroup {
 public:
  struct Options {
    std::string directory = {};
    std::size_t stores = 3;
    std::uint64_t regions = 1;
    std::size_t log_streams = 1;
    bool quiet_groups = false;
  };

  // Opens the stores on what is in the directory, or with new regions.
  explicit StoreGroup(const Options& options);
  ~StoreGroup();
  StoreGroup(const StoreGroup&) = delete;
  StoreGroup& operator=(const StoreGroup&) = delete;

  void Start();
  // How many of the regions have a leader.
  std::uint64_t CountLed();
  void AwaitLeaders();
  // The store that leads the region, as far as the stores know.
  store::Store* LeaderOf(std::uint64_t region);

  std::uint64_t regions() const { return options_.regions; }
  static RegionId IdOf(std::uint64_t region);
  static std::string KeyOf(std::uint64_t region);
  // Syncs of all logs since the beginning.
  std::uint64_t batches() const { return batches_.load(std::memory_order_relaxed); }

 private:
  class Process;

  std::vector<store::Region> InitialRegions() const;

  const Options options_;
  const posix::PosixClock clock_;
  std::atomic<std::uint64_t> batches_ = 0;
  LocalNet net_;
  std::vector<std::unique_ptr<Process>> processes_;
};

}  // namespace rutile::bench
