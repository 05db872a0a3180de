#include "node/status_json.h"

#include <nlohmann/json.hpp>

namespace rutile::node {
namespace {

using Json = nlohmann::ordered_json;

// Printable ASCII as it is, everything else as \xNN: JSON strings hold text, keys hold bytes.
std::string Escaped(const std::string& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    if (c >= 0x20 && c < 0x7F && c != '\\') {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

Json PeerJson(const store::Region& region, const raft::PeerStatus& peer, Index last) {
  const store::Peer* where = region.FindPeer(peer.id);
  return {{"peer", peer.id.value()},   {"store", where == nullptr ? 0 : where->store.value()},
          {"state", peer.state},       {"match", peer.match.value()},
          {"next", peer.next.value()}, {"lag", last.value() - peer.match.value()},
          {"active", peer.active},     {"inflight", peer.inflight}};
}

std::string_view RoleName(store::PeerRole role) {
  switch (role) {
    case store::PeerRole::kVoter: return "voter";
    case store::PeerRole::kLearner: return "learner";
    case store::PeerRole::kIncomingVoter: return "incoming";
    case store::PeerRole::kDemotingVoter: return "demoting";
    case store::PeerRole::kLeavingVoter: return "leaving";
  }
  return "";
}

Json ReplicaJson(const store::ReplicaStatus& replica) {
  const store::Region& region = replica.region;
  Json json = {{"region", region.id.value()},
               {"kind", region.id == store::kPlacementRegion ? "placement" : "keys"},
               {"start_key", Escaped(region.start_key)},
               {"end_key", Escaped(region.end_key)},
               {"conf_version", region.epoch.conf_version},
               {"version", region.epoch.version},
               {"peer", replica.self.value()},
               {"role", raft::ToString(replica.role)},
               {"quiet", replica.quiet},
               {"leader", replica.leader.value()},
               {"term", replica.term.value()},
               {"base", replica.base.value()},
               {"applied", replica.applied.value()},
               {"durable", replica.durable.value()},
               {"committed", replica.committed.value()},
               {"last", replica.last.value()},
               {"terms", Json::array()},
               {"applying", replica.applying.value()},
               {"submitted", replica.submitted.value()},
               {"first_in_memory", replica.first_resident.value()},
               {"log_bytes_in_memory", replica.resident_bytes},
               {"log_segments", replica.log_segments},
               {"waiting_writes", replica.waiting_writes},
               {"waiting_write_bytes", replica.waiting_write_bytes},
               {"waiting_reads", replica.waiting_reads},
               {"members", Json::array()},
               {"peers", Json::array()}};
  for (const raft::TermRun& run : replica.terms) {
    json["terms"].push_back({{"from", run.start.value()}, {"term", run.term.value()}});
  }
  for (const store::Peer& peer : region.peers) {
    json["members"].push_back(
        {{"peer", peer.id.value()}, {"store", peer.store.value()}, {"role", RoleName(peer.role)}});
  }
  for (const raft::PeerStatus& peer : replica.peers) {
    json["peers"].push_back(PeerJson(region, peer, replica.last));
  }
  if (replica.impaired_until) json["impaired_until"] = replica.impaired_until->value();
  if (!replica.poisoned.empty()) json["poisoned"] = replica.poisoned;
  return json;
}

}  // namespace

std::string StatusJson(const StatusParts& parts) {
  Json json = {{"cluster_id", parts.identity.cluster.value()},
               {"store_id", parts.identity.store.value()},
               {"name", parts.identity.name},
               {"api_version", ToString(parts.identity.api)},
               {"uptime_seconds", ToSeconds(parts.uptime)}};
  const std::optional<placement::Member> leader = parts.placement.Leader();
  json["placement_leader"] = leader ? Json(leader->name) : Json(nullptr);
  json["members"] = Json::array();
  for (const placement::StoreStatus& store : parts.placement.Stores()) {
    Json member = {{"store_id", store.info.id.value()},
                   {"name", store.info.name},
                   {"address", store.info.address},
                   {"version", store.info.version}};
    member["silent_seconds"] =
        store.silent_for ? Json(ToSeconds(*store.silent_for)) : Json(nullptr);
    json["members"].push_back(std::move(member));
  }
  json["replicas"] = Json::array();
  for (const store::ReplicaStatus& replica : parts.replicas) {
    json["replicas"].push_back(ReplicaJson(replica));
  }
  json["disk"] = {{"free_bytes", parts.disk.free_bytes()}};
  if (const std::string reason = parts.disk.reason(); !reason.empty()) {
    json["disk"]["refuses_growth"] = reason;
  }
  const store::GarbageCollector::Totals& garbage = parts.garbage;
  json["garbage"] = {
      {"safe_point", garbage.safe_point.value()}, {"waiting_regions", garbage.waiting},
      {"records_removed", garbage.records},       {"records_looked_at", garbage.looked_at},
      {"records_filtered", parts.filtered},       {"regions_done", garbage.regions},
      {"regions_spared", garbage.spared},         {"regions_given_up", garbage.failures}};
  json["engine"] = Json::object();
  for (const auto& [name, value] : parts.engine) json["engine"][name] = value;
  return json.dump();
}

}  // namespace rutile::node
