#include "store/region_error.h"

#include <utility>

namespace rutile::store {
namespace {

struct Describe {
  std::string operator()(const NotLeader& e) const {
    std::string out = "peer is not the leader of region " + ToString(e.region);
    if (e.leader) out += ", which is on store " + ToString(e.leader->store);
    return out;
  }
  std::string operator()(const RegionNotFound& e) const {
    return "region " + ToString(e.region) + " is not on this store";
  }
  std::string operator()(const EpochNotMatch& e) const {
    std::string out = "the region has changed; now";
    for (const Region& region : e.current) out += " [" + ToString(region) + "]";
    return out;
  }
  std::string operator()(const KeyNotInRegion& e) const {
    return "key is not in region " + ToString(e.region);
  }
  std::string operator()(const StoreNotMatch& e) const {
    return "request is for store " + ToString(e.requested) + ", this is store " +
           ToString(e.actual);
  }
  std::string operator()(const MismatchPeerId& e) const {
    return "request is for peer " + ToString(e.requested) + ", here is peer " + ToString(e.actual);
  }
  std::string operator()(const ServerIsBusy& e) const { return "server is busy: " + e.reason; }
  std::string operator()(const StaleCommand&) const {
    return "the command was overtaken by a change of leader and not executed";
  }
  std::string operator()(const RaftEntryTooLarge& e) const {
    return "raft entry of " + std::to_string(e.entry_bytes) + " bytes is too large for region " +
           ToString(e.region) + "; the limit is " + std::to_string(e.limit_bytes);
  }
  std::string operator()(const DiskFull& e) const {
    return "store " + ToString(e.store) + " takes nothing that needs space: " + e.reason;
  }
  std::string operator()(const FlashbackInProgress& e) const {
    return "region " + ToString(e.region) +
           " is being brought back to what it was, by a flashback " + "that started at " +
           std::to_string(e.start);
  }
  std::string operator()(const FlashbackNotPrepared& e) const {
    return "region " + ToString(e.region) + " is not prepared for this flashback";
  }
  std::string operator()(const Undetermined& e) const {
    return "the result is undetermined: " + e.reason;
  }
};

}  // namespace

KeyNotInRegion NotIn(const Region& region, std::string key) {
  return {.region = region.id,
          .key = std::move(key),
          .start_key = region.start_key,
          .end_key = region.end_key};
}

ServerIsBusy TimeIsUp() { return {.reason = "deadline is exceeded"}; }

std::string ToString(const RegionError& error) { return std::visit(Describe{}, error); }

}  // namespace rutile::store
