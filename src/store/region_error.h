#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "store/region.h"

namespace rutile::store {

// Why a store does not serve a request. Every alternative tells the client what to do next; only
// Undetermined leaves open whether the request took effect.

struct NotLeader {  // Ask `leader`; without one, wait a little and ask placement.
  RegionId region = {};
  std::optional<Peer> leader = {};
};
struct RegionNotFound {  // Ask placement where the region is.
  RegionId region = {};
};
struct EpochNotMatch {  // Retry with what is given here.
  std::vector<Region> current = {};
};
struct KeyNotInRegion {
  RegionId region = {};
  std::string key = {};
  std::string start_key = {};
  std::string end_key = {};
};
struct StoreNotMatch {
  StoreId requested = {};
  StoreId actual = {};
};
struct MismatchPeerId {
  PeerId requested = {};
  PeerId actual = {};
};
struct ServerIsBusy {  // Retry after a while.
  std::string reason = {};
  Duration backoff = {};
};
struct StaleCommand {};     // The request was certainly not executed; retry.
struct RaftEntryTooLarge {  // Final: the request can never succeed.
  RegionId region = {};
  std::uint64_t entry_bytes = 0;
  std::uint64_t limit_bytes = 0;
};
struct DiskFull {  // Not executed. Wait for space; what deletes goes on.
  StoreId store = {};
  std::string reason = {};
};
// The region is being brought back to what it was: nothing was executed. Retry when that is over.
struct FlashbackInProgress {
  RegionId region = {};
  std::uint64_t start = 0;  // Of the flashback; reads below are served.
};
struct FlashbackNotPrepared {  // Of that flashback. Prepare the region first.
  RegionId region = {};
};
struct Undetermined {  // The request may or may not take effect.
  std::string reason = {};
};

using RegionError =
    std::variant<NotLeader, RegionNotFound, EpochNotMatch, KeyNotInRegion, StoreNotMatch,
                 MismatchPeerId, ServerIsBusy, StaleCommand, RaftEntryTooLarge, DiskFull,
                 FlashbackInProgress, FlashbackNotPrepared, Undetermined>;

// A request has waited for longer than it may: nothing of it was executed. The reason is the one by
// which clients know it, and that tells them not to wait before they ask again.
ServerIsBusy TimeIsUp();

// That `key`, in the form that borders have or as the user knows it, is not the region's.
KeyNotInRegion NotIn(const Region& region, std::string key);

// One line for people: what happened and to which region.
std::string ToString(const RegionError& error);

}  // namespace rutile::store
