#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "env/env.h"
#include "mvcc/types.h"
#include "store/pessimistic_locks.h"
#include "store/region_error.h"
#include "store/region_marks.h"
#include "store/store.h"
#include "store/txn_scheduler.h"

namespace rutile::store {

// Brings the keys of a region back to what they were at a version, by writing that once more. Two
// steps, of which each may be asked for again until it has succeeded:
//
//   - Prepare() puts the region into the state of a flashback, by a command of its log: whatever is
//     applied later and is not the flashback's changes nothing, and nobody reads from the
//     flashback's start on. Then all locks of the range are rolled back.
//   - Run() writes what the keys had, bit by bit, and takes the state away.
//
// Who asks sees to it that no transaction that committed at or below the version has locks left in
// the range: these are rolled back like all. The version must not be below the safe point.
//
// Owns itself until `done` has run, once. The parts outlive that.
class RegionFlashback : public std::enable_shared_from_this<RegionFlashback> {
 public:
  struct Parts {
    Store& store;
    TxnScheduler& scheduler;
    PessimisticLocks& locks;
    Executor& executor;
  };
  struct Request {
    std::string lower = {};  // User keys; what lies outside of the region is left out.
    std::string upper = {};  // Exclusive; empty: no bound.
    mvcc::Timestamp version = {};
    mvcc::Timestamp start = {};
    mvcc::Timestamp commit = {};  // Run() only.
  };
  using Ending = TxnScheduler::Ending;
  using Done = UniqueFunction<void(Ending)>;

  static void Prepare(Parts parts, const RequestHeader& header, Request request, Done done);
  static void Run(Parts parts, const RequestHeader& header, Request request, Done done);

 private:
  RegionFlashback(Parts parts, const RequestHeader& header, Request request, Done done)
      : parts_(parts), header_(header), request_(std::move(request)), done_(std::move(done)) {
    header_.from_follower = false;
  }

  // Runs `look` on a view of the region; it returns why the flashback ends there, if it does.
  using Look = std::function<std::optional<Ending>(const ReadView& view, const RegionMarks& marks)>;
  void Read(Look look, Task then);
  // Brings the region into the next stage.
  void Enter(FlashbackState::Stage stage, UniqueFunction<void()> then);
  Status Check(const RegionMarks& marks) const;
  // Of all that Run() is asked for.
  std::uint64_t Digest() const;

  void RollBackLocks();
  void OnLocks(std::vector<std::string> keys);
  void WriteOld();
  void OnKeys();

  const Parts parts_;
  RequestHeader header_;
  const Request request_;
  Done done_;
  std::string next_ = request_.lower;   // Keys below are done with.
  bool at_end_ = false;                 // Behind `keys_` there are no more.
  std::vector<std::string> keys_ = {};  // Found, and not done.
};

}  // namespace rutile::store
