#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mvcc/types.h"
#include "store/store.h"
#include "store/txn_kv.h"
#include "txn/outcome.h"

namespace rutile::store {

// Transactions whose fate is known: their commit timestamps, or zero for who was rolled back.
using Fates = std::map<mvcc::Timestamp, mvcc::Timestamp>;

// Brings all locks that transactions have in a region to their end: looks for some, resolves them,
// and goes on behind them, so that it neither holds many nor works for long at once.
//
// Owns itself until `done` has run, once. `kv` outlives that.
class RegionResolver : public std::enable_shared_from_this<RegionResolver> {
 public:
  // With errors it ended early: a commit that cannot be.
  static void Run(TxnKv& kv, const RequestHeader& header, Fates fates, TxnDone<txn::Outcome> done);
  // Gives up the pessimistic locks that one transaction has in a region, up to those of its
  // statement at `for_update`. Other locks of it stay.
  static void RollBackPessimistic(TxnKv& kv, const RequestHeader& header, mvcc::Timestamp start,
                                  mvcc::Timestamp for_update, TxnDone<txn::Outcome> done);

 private:
  // Of one transaction, in the order of their keys.
  using KeysOf = std::map<mvcc::Timestamp, std::vector<std::string>>;

  RegionResolver(TxnKv& kv, const RequestHeader& header, Fates fates, TxnDone<txn::Outcome> done)
      : kv_(kv), header_(header), fates_(std::move(fates)), done_(std::move(done)) {}

  void Look();
  void OnLocks(const std::vector<mvcc::KeyIsLocked>& locks);
  void ResolveNext();
  void OnResolved(TxnReply<txn::Outcome> reply);

  TxnKv& kv_;
  const RequestHeader header_;
  const Fates fates_;
  std::optional<mvcc::Timestamp> pessimistic_up_to_ = {};  // Else all locks, to their fates.
  TxnDone<txn::Outcome> done_;
  std::string next_;  // Locks below are done with.
  bool at_end_ = false;
  KeysOf found_;
};

}  // namespace rutile::store
