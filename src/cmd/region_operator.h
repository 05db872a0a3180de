#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "cmd/client_session.h"
#include "store/member_change.h"

namespace rutile::cmd {

// Changes the members of regions from outside, by what nodes say of themselves and by calls to
// whoever leads. It keeps nothing: what was begun and not finished is in the region's members, and
// can be finished, or undone, by another command.
class RegionOperator {
 public:
  struct Member {
    PeerId peer = {};
    StoreId store = {};
    std::string role = {};  // "voter", "learner"; others while a change is under way.
  };
  // A region as its leader sees it.
  struct View {
    std::string leader_address = {};
    PeerId leader = {};
    Term term = {};
    std::vector<Member> members = {};
    const Member* Find(PeerId peer) const;
  };

  // Waits for what takes time (a leader, a peer that catches up) until `limit` from now.
  RegionOperator(ClientSession& session, const ClientFlags& flags, RegionId region, Duration limit);

  // Each returns when the leader has applied the change. `out` is told what is done.
  Status AddPeer(StoreId store, bool learner, PeerId* added);
  Status RemovePeer(PeerId peer);
  Status MovePeer(PeerId peer, StoreId to);
  // A new replica in the place of one on the same store, whose data are not used.
  Status RebuildPeer(PeerId peer);
  Status TransferLeader(PeerId peer);

  Result<View> Look();

 private:
  using Steps = std::vector<store::MemberStep>;
  using Goal = std::function<bool(const View&)>;

  Result<PeerId> AllocatePeer();
  // Until `reached`, or a refusal that no waiting mends.
  Status Change(const Steps& steps, const Goal& reached);
  Status Promote(const Steps& steps, PeerId learner);
  Status Wait(const Status& why) const;

  ClientSession& session_;
  const ClientFlags& flags_;
  const RegionId region_;
  const Instant end_;
  std::map<StoreId, std::string> addresses_;  // Of all nodes that were named.
  ClusterId cluster_ = {};
};

}  // namespace rutile::cmd
