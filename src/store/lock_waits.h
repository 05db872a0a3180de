#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/strong_id.h"
#include "txn/outcome.h"

namespace rutile::store {

// One request that waits for a lock. Ids rise in the order of arrival.
using WaitId = StrongId<struct WaitIdTag>;

// Who waits for which key of one store, and who has the key. A plain value; nothing here blocks.
//
// When a key is given up, one waiter is to try: the one whose transaction is oldest, of those of
// one transaction the first to come. Whoever then has the key, the others wait for him.
class LockWaits {
 public:
  struct Wait {
    std::string key = {};
    txn::Timestamp start = {};  // Of the transaction that waits.
  };

  // Requires an id that does not wait. `holder` is the transaction that has the key. Returns for
  // whom that is new: the one that is added, or all who wait for the key.
  std::vector<WaitId> Add(WaitId id, Wait wait, txn::Timestamp holder);
  // False: it does not wait.
  bool Remove(WaitId id);
  // Who waits; null for one that does not.
  const Wait* Find(WaitId id) const;

  bool HasWaiters(const std::string& key) const { return queues_.contains(key); }
  // Zero: nobody has the key, as far as is known.
  txn::Timestamp HolderOf(const std::string& key) const;
  // Returns for whom that is new: nobody, or all who wait for the key.
  std::vector<WaitId> SetHolder(const std::string& key, txn::Timestamp holder);
  // Takes out the one that is to try, unless somebody has the key.
  std::optional<WaitId> TakeNext(const std::string& key);

  std::size_t size() const { return waits_.size(); }

 private:
  struct Queue {
    txn::Timestamp holder = {};
    // Not empty. Oldest transactions first, then by arrival.
    std::set<std::pair<txn::Timestamp, WaitId>> waiters = {};
  };

  std::map<WaitId, Wait> waits_;
  std::map<std::string, Queue> queues_;
};

}  // namespace rutile::store
