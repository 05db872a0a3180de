#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "store/lock_waits.h"
#include "txn/deadlock_detector.h"
#include "txn/outcome.h"

namespace rutile::store {

// The channel of the datagrams below (store::Datagram).
inline constexpr std::uint8_t kDeadlockChannel = 3;

// What a store tells the one that looks for deadlocks, the judge: which of its waits have begun,
// or are for somebody else now, and which have ended. Reports are numbered without gaps; one with
// `is_all` starts anew.
struct DeadlockReport {
  std::uint64_t number = 0;
  bool is_all = false;
  std::vector<std::pair<WaitId, txn::WaitFor>> waits = {};
  std::vector<WaitId> ended = {};
};
// What the judge answers: the wait would never end.
struct DeadlockVerdict {
  WaitId id = {};
  txn::Deadlock deadlock = {};
};
using DeadlockMessage = std::variant<DeadlockReport, DeadlockVerdict>;

// docs/formats/peer-message.md.
std::string Encode(const DeadlockReport& report);
std::string Encode(const DeadlockVerdict& verdict);
Result<DeadlockMessage> DecodeDeadlockMessage(std::string_view bytes);

// The waits of one store: finds the circles among them, and says what the judge is to be told. A
// plain value.
class WaitReporter {
 public:
  // `first_number`: above those of earlier processes of this store, if that can be had; otherwise
  // the judge listens again when he has not heard of the store for a while.
  WaitReporter(StoreId self, std::size_t max_waits, std::uint64_t first_number)
      : self_(self), detector_(max_waits), number_(first_number) {}

  // The wait has begun, or is for somebody else now. A circle: it must not wait.
  std::optional<txn::Deadlock> Note(WaitId id, const txn::WaitFor& wait, Instant now);
  // It waits no more, or for nobody.
  void Forget(WaitId id);
  bool has_news() const { return !changed_.empty(); }

  // What is new since the last call for this judge in this office of his; all that there is for
  // another one, and with `all`. In pieces that a message can hold.
  std::vector<DeadlockReport> Take(StoreId judge, Term term, bool all);

 private:
  const StoreId self_;
  txn::DeadlockDetector detector_;
  std::map<WaitId, txn::WaitFor> waits_;
  std::set<WaitId> changed_;  // Told as they are now: as ended where they are not there.
  std::uint64_t number_;
  std::pair<StoreId, Term> told_;
};

}  // namespace rutile::store
