#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "client/signs_of_life.h"
#include "client/txn_client.h"
#include "client/txn_core.h"
#include "client/txn_error.h"

namespace rutile::client {

// The keys that a pessimistic transaction has locked. Internal to the room; on the executor, one
// operation after the other.
//
// Each key was locked as of a timestamp (`for_update`): its value is the newest at or below, and
// nobody has committed to it since. A key keeps the timestamp that it was locked at, so that a
// request that comes late finds either this lock or a later commit, and takes nothing.
class HeldLocks : public std::enable_shared_from_this<HeldLocks> {
 public:
  using Pairs = Transaction::Pairs;
  using Values = std::map<std::string, std::optional<std::string>>;

  // `began`: when the timestamp `start` was asked for.
  HeldLocks(std::shared_ptr<TxnCore> core, Timestamp start, Instant began);

  // As Transaction::Lock().
  void Lock(std::set<std::string> keys, const LockOptions& options, TxnDone<Pairs> done);
  // Gives up all that was asked for, in the background. Nothing is locked any more from then on.
  void RollBack();

  // What a commit needs to know. It takes over what is locked, signs of life included.

  // Empty: nothing is locked.
  const std::string& primary() const { return primary_; }
  // The latest of the timestamps.
  Timestamp for_update() const { return for_update_; }
  // By key; nothing: the key does not exist.
  const Values& values() const { return values_; }
  const std::shared_ptr<SignsOfLife>& life() const { return life_; }

 private:
  class Statement;

  // What was asked for of these keys is given up: they may be locked again at a later timestamp.
  void GiveUp(const std::set<std::string>& keys);

  const std::shared_ptr<TxnCore> core_;
  const Timestamp start_;
  const std::shared_ptr<SignsOfLife> life_;
  std::string primary_ = {};  // Constant once a key is locked.
  Timestamp for_update_;      // The latest that was used.
  // Locks at or below `for_update_` are being given up, which must not meet new ones.
  bool needs_timestamp_ = false;
  std::set<std::string> asked_for_ = {};
  Values values_ = {};
  bool is_over_ = false;
};

}  // namespace rutile::client
