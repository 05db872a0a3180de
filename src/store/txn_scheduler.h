#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "base/task.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "mvcc/reader.h"
#include "store/region_error.h"
#include "store/store.h"
#include "txn/concurrency_manager.h"
#include "txn/latches.h"
#include "txn/memory_locks.h"

namespace rutile::store {

// Carries out what transactions write: an action looks at a snapshot and says what is to change,
// and that is proposed to the region. While it does, no other action has the same keys, so what it
// saw of them is still true when its changes are applied:
//
//   - on this store latches keep actions apart, from the snapshot to the end of the proposal;
//   - another store can have led meanwhile only in a later term, and a proposal of an action goes
//     into the log in the term in which its snapshot was taken or not at all. The first snapshot of
//     a later term holds all that earlier ones have proposed.
//
// A command that has waited for its keys or for its snapshot for longer than its header allows is
// refused, and takes no effect. Once its changes are proposed it is carried to its end.
//
// Safe from any thread. Actions that need not wait run on the caller's thread or on one of the
// store, the others on `executor`.
class TxnScheduler {
 public:
  struct Options {
    // Under way and waiting; then the store is busy. As it is for the priority: see LimitFor().
    std::size_t max_commands = 10'000;
    txn::MemoryLocks::Options memory_locks = {};
  };
  struct Plan {
    engine::WriteBatch changes = {};  // Empty: there is nothing to write, whatever that means.
    txn::KeyLocks locks = {};         // Kept until the changes are applied, or will not be.
    // They do nothing that anybody but the transaction's own client was told of: pessimistic locks
    // among them need not be written (see MemoryLocks).
    bool may_stay_in_memory = false;
  };
  // A function of what the reader shows. A Status ends the command.
  using Action = UniqueFunction<Result<Plan>(mvcc::Reader& reader)>;
  // How a command has ended: its changes are applied, or there were none; or why not. Of the region
  // errors only Undetermined leaves that open.
  struct Finished {};
  using Ending = std::variant<Finished, RegionError, Status>;
  using Done = UniqueFunction<void(Ending)>;

  // The store and the executor outlive the scheduler, and run none of its tasks after it is gone.
  TxnScheduler(Store& store, Executor& executor, Options options)
      : store_(store),
        executor_(executor),
        options_(options),
        memory_locks_(options.memory_locks) {}

  // `keys` are all that the action reads or changes: users', each in the region. `done` runs once.
  // `finished`, if there is one, runs before it when the command has Finished, and before any other
  // command has one of its keys.
  // `flashback`, if it is not zero, is the start of the one that the command is of.
  void Run(const RequestHeader& header, std::vector<std::string> keys, Action action, Done done,
           Task finished = {}, mvcc::Timestamp flashback = {});

  // In terms of the leader here; an action's reader has those of its keys.
  txn::MemoryLocks& memory_locks() { return memory_locks_; }
  const txn::MemoryLocks& memory_locks() const { return memory_locks_; }
  // Plans that were carried out in memory, and those that might have been and were proposed.
  struct MemoryLockTotals {
    std::uint64_t in_memory = 0;
    std::uint64_t in_log = 0;
  };
  MemoryLockTotals memory_lock_totals() const { return {in_memory_.load(), in_log_.load()}; }

  // Commands that wait for another to be done with a key.
  std::size_t waiting() const;

 private:
  struct Command {
    RequestHeader header = {};
    std::vector<std::string> keys = {};
    Action action = {};
    Done done = {};
    txn::KeyLocks locks = {};
    std::vector<std::string> written_over = {};  // Locks in memory that the changes end.
    Task finished = {};
    mvcc::Timestamp flashback = {};
    std::optional<Instant> deadline = {};
    bool waits_for_keys = true;  // Under the mutex.
  };

  struct Admitted {
    txn::CommandId id = {};
    bool has_keys = false;  // Else it will be begun when it has.
  };
  // For how many commands there is room when one of this header comes.
  std::size_t RoomFor(const RequestHeader& header) const {
    return LimitFor(header.priority, options_.max_commands);
  }
  // Takes the command in, if there is room.
  std::optional<Admitted> Admit(Command& command);
  Command& Find(txn::CommandId id);
  // It has its keys, unless it has given up.
  void Begin(txn::CommandId id);
  // Its time is up: if it still waits for its keys, it waits no more.
  void GiveUp(txn::CommandId id);
  bool IsLate(const Command& command) const;
  void BeginSoon(const std::vector<txn::CommandId>& commands);
  void Evaluate(txn::CommandId id, const ReadView& view);
  // Whether the plan is carried out without the log.
  bool StaysInMemory(const Command& command, const mvcc::Reader& reader, const Plan& plan);
  void Propose(txn::CommandId id, const engine::WriteBatch& changes);
  void Finish(txn::CommandId id, Ending ending);

  Store& store_;
  Executor& executor_;
  const Options options_;
  txn::MemoryLocks memory_locks_;
  std::atomic<std::uint64_t> in_memory_ = 0;
  std::atomic<std::uint64_t> in_log_ = 0;

  mutable Mutex mutex_;
  txn::Latches latches_ GUARDED_BY(mutex_);
  // A command is only touched by whoever carries it on; the map by all.
  std::map<txn::CommandId, Command> commands_ GUARDED_BY(mutex_);
  std::uint64_t last_id_ GUARDED_BY(mutex_) = 0;
};

// When the time of a request that has just come is up; nothing: never.
std::optional<Instant> DeadlineOf(const RequestHeader& header, const Clock& clock);
// Why a transactional key does not belong to the region, whose borders are in comparable form.
std::optional<RegionError> KeyOutside(const Region& region, const std::string& key);

}  // namespace rutile::store
