#include "rpc/services/convert.h"

#include <variant>

#include "base/check.h"
#include "proto/errorpb.pb.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/metapb.pb.h"

namespace rutile::rpc {
namespace {

struct ErrorWriter {
  errorpb::Error* out;

  void operator()(const store::NotLeader& e) const {
    auto* error = out->mutable_not_leader();
    error->set_region_id(e.region.value());
    if (e.leader) ToProto(*e.leader, error->mutable_leader());
  }
  void operator()(const store::RegionNotFound& e) const {
    out->mutable_region_not_found()->set_region_id(e.region.value());
  }
  void operator()(const store::EpochNotMatch& e) const {
    auto* error = out->mutable_epoch_not_match();
    for (const store::Region& region : e.current) ToProto(region, error->add_current_regions());
  }
  void operator()(const store::KeyNotInRegion& e) const {
    auto* error = out->mutable_key_not_in_region();
    error->set_region_id(e.region.value());
    error->set_key(e.key);
    error->set_start_key(e.start_key);
    error->set_end_key(e.end_key);
  }
  void operator()(const store::StoreNotMatch& e) const {
    auto* error = out->mutable_store_not_match();
    error->set_request_store_id(e.requested.value());
    error->set_actual_store_id(e.actual.value());
  }
  void operator()(const store::MismatchPeerId& e) const {
    auto* error = out->mutable_mismatch_peer_id();
    error->set_request_peer_id(e.requested.value());
    error->set_store_peer_id(e.actual.value());
  }
  void operator()(const store::ServerIsBusy& e) const {
    auto* error = out->mutable_server_is_busy();
    error->set_reason(e.reason);
    error->set_backoff_ms(static_cast<std::uint64_t>(ToMilliseconds(e.backoff)));
  }
  void operator()(const store::StaleCommand&) const { out->mutable_stale_command(); }
  void operator()(const store::RaftEntryTooLarge& e) const {
    auto* error = out->mutable_raft_entry_too_large();
    error->set_region_id(e.region.value());
    error->set_entry_size(e.entry_bytes);
  }
  void operator()(const store::DiskFull& e) const {
    auto* error = out->mutable_disk_full();
    error->add_store_id(e.store.value());
    error->set_reason(e.reason);
  }
  void operator()(const store::FlashbackInProgress& e) const {
    auto* error = out->mutable_flashbackinprogress();
    error->set_region_id(e.region.value());
    error->set_flashback_start_ts(e.start);
  }
  void operator()(const store::FlashbackNotPrepared& e) const {
    out->mutable_flashbacknotprepared()->set_region_id(e.region.value());
  }
  void operator()(const store::Undetermined& e) const {
    out->mutable_undetermined_result()->set_message(e.reason);
  }
};

// What is longer is no limit: a sum with the clock must not overflow.
Duration ToTimeLimit(std::uint64_t millis) {
  constexpr std::uint64_t kDay = std::uint64_t{24} * 60 * 60 * 1000;
  return millis > kDay ? Duration() : Milliseconds(static_cast<std::int64_t>(millis));
}

store::Priority PriorityOf(kvrpcpb::CommandPri priority) {
  switch (priority) {
    case kvrpcpb::Low: return store::Priority::kLow;
    case kvrpcpb::High: return store::Priority::kHigh;
    default: return store::Priority::kNormal;
  }
}

metapb::PeerRole RoleOf(store::PeerRole role) {
  switch (role) {
    case store::PeerRole::kVoter: return metapb::Voter;
    case store::PeerRole::kLearner: return metapb::Learner;
    case store::PeerRole::kIncomingVoter: return metapb::IncomingVoter;
    case store::PeerRole::kDemotingVoter:
    // The protocol has no word for who leaves at once: what counts is that its vote goes.
    case store::PeerRole::kLeavingVoter: return metapb::DemotingVoter;
  }
  RUTILE_UNREACHABLE();
}

}  // namespace

void ToProto(const store::Peer& peer, metapb::Peer* out) {
  out->set_id(peer.id.value());
  out->set_store_id(peer.store.value());
  out->set_role(RoleOf(peer.role));
}

void ToProto(const store::Region& region, metapb::Region* out) {
  out->set_id(region.id.value());
  out->set_start_key(region.start_key);
  out->set_end_key(region.end_key);
  out->mutable_region_epoch()->set_conf_ver(region.epoch.conf_version);
  out->mutable_region_epoch()->set_version(region.epoch.version);
  for (const store::Peer& peer : region.peers) ToProto(peer, out->add_peers());
}

void ToProto(const store::RegionError& error, errorpb::Error* out) {
  out->set_message(store::ToString(error));
  std::visit(ErrorWriter{out}, error);
}

store::RequestHeader ToHeader(const kvrpcpb::Context& context) {
  store::RequestHeader header{.region = RegionId(context.region_id()),
                              .epoch = {},
                              .peer = PeerId(context.peer().id()),
                              .store = StoreId(context.peer().store_id()),
                              .term = Term(context.term()),
                              .from_follower = context.replica_read() || context.stale_read(),
                              .stale = context.stale_read(),
                              .is_retry = context.is_retry_request(),
                              .priority = PriorityOf(context.priority()),
                              .time_limit = ToTimeLimit(context.max_execution_duration_ms())};
  if (context.has_region_epoch()) {
    header.epoch = store::RegionEpoch{.conf_version = context.region_epoch().conf_ver(),
                                      .version = context.region_epoch().version()};
  }
  return header;
}

}  // namespace rutile::rpc
