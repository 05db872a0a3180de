#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "txn/outcome.h"

namespace rutile::txn {

// Knows who waits for whom, and that nobody waits for himself by way of others. A plain value; time
// is what it is told.
//
// What closes a circle is not taken in: whoever it was told of must not wait.
class DeadlockDetector {
 public:
  // A wait, as the store names it that tells of it.
  struct Id {
    StoreId store = {};
    std::uint64_t number = 0;

    friend auto operator<=>(const Id&, const Id&) = default;
  };

  // Beyond `max_waits` no more are taken in: circles through them are not found.
  explicit DeadlockDetector(std::size_t max_waits) : max_waits_(max_waits) {}

  // The circle that the wait closes, if it does. A wait of that name that is known is replaced.
  std::optional<Deadlock> Add(Id id, const WaitFor& wait, Instant now);
  void Remove(Id id);
  // All waits of a transaction, which has come to its end.
  void RemoveTransaction(Timestamp waiter);
  // All that were told of by a store.
  void RemoveStore(StoreId store);
  // All that were told of last before `then`.
  void Expire(Instant then);

  std::size_t size() const { return waits_.size(); }

 private:
  struct Wait {
    WaitFor wait = {};
    Instant told = {};
  };

  std::optional<Deadlock> FindCircle(const WaitFor& wait) const;
  template <class Predicate>
  void RemoveIf(Predicate predicate);

  const std::size_t max_waits_;
  std::map<Id, Wait> waits_;
  std::map<Timestamp, std::set<Id>> of_waiter_;  // None is empty.
};

}  // namespace rutile::txn
