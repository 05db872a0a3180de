#include "node/cluster_spec.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "codec/crc64.h"
#include "placement/state.h"

namespace rutile::node {
namespace {

// Ids of the peers of a beginning cluster: distinct, and below what placement gives out later.
constexpr std::uint64_t kFirstPeerId = 100;

void Number(ClusterSpec* spec, std::string_view token) {
  std::sort(spec->members.begin(), spec->members.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  std::string text(token);
  std::uint64_t next = 1;
  for (placement::Member& member : spec->members) {
    member.store = StoreId(next++);
    text += "\n" + member.name + "=" + member.address;
  }
  // Nodes that began with other replicas must not take each other for members of one cluster.
  if (spec->replicas != 0) text += "\nreplicas=" + std::to_string(spec->replicas);
  // Nor those that keep other keys.
  if (spec->api != codec::ApiVersion::kV1) text += "\napi=" + std::string(ToString(spec->api));
  // Zero means "no cluster" in the protocol.
  spec->id = ClusterId(std::max<std::uint64_t>(1, codec::Crc64(text)));
}

Status Bad(std::string_view item, std::string_view why) {
  return Status(Code::kInvalidArgument, "--cluster: '" + std::string(item) +
                                            "': " + std::string(why) +
                                            "; expected name=host:port[,name=host:port...]");
}

// What keeps others from dialling the address; null: nothing. gRPC would take a port modulo 65536.
const char* AddressMistake(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return "no port";
  if (colon == 0) return "no host";
  const std::string_view port = address.substr(colon + 1);
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  const bool whole = error == std::errc() && end == port.data() + port.size();
  return whole && number >= 1 && number <= 65535 ? nullptr : "the port is not one of 1 to 65535";
}

}  // namespace

Result<ClusterSpec> ClusterSpec::Parse(std::string_view list, std::string_view token,
                                       std::size_t replicas, codec::ApiVersion api) {
  ClusterSpec spec;
  spec.api = api;
  spec.replicas = replicas;
  std::set<std::string> names;
  std::set<std::string> addresses;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const std::string_view item = list.substr(0, comma);
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
    const std::size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0) return Bad(item, "no name");
    placement::Member member;
    member.name = item.substr(0, equals);
    member.address = item.substr(equals + 1);
    if (const char* mistake = AddressMistake(member.address)) return Bad(item, mistake);
    if (!names.insert(member.name).second) return Bad(item, "this name is listed twice");
    if (!addresses.insert(member.address).second) return Bad(item, "this address is listed twice");
    spec.members.push_back(std::move(member));
  }
  if (spec.members.empty()) return Bad("", "the list is empty");
  if (spec.members.size() > 7) {
    return Status(Code::kInvalidArgument, "--cluster: " + std::to_string(spec.members.size()) +
                                              " nodes; a cluster begins with at most 7");
  }
  Number(&spec, token);
  return spec;
}

ClusterSpec ClusterSpec::Single(const std::string& name, const std::string& address,
                                std::string_view token, codec::ApiVersion api) {
  ClusterSpec spec;
  spec.api = api;
  spec.members.push_back({.store = {}, .name = name, .address = address});
  Number(&spec, token);
  return spec;
}

const placement::Member* ClusterSpec::Find(std::string_view name) const {
  for (const placement::Member& member : members) {
    if (member.name == name) return &member;
  }
  return nullptr;
}

std::vector<store::Region> ClusterSpec::InitialRegions() const {
  std::vector<store::Region> regions;
  std::uint64_t next_peer = kFirstPeerId;
  for (const RegionId group : {store::kPlacementRegion, store::kFirstUserRegion}) {
    store::Region region{.id = group, .epoch = {.conf_version = 1, .version = 1}};
    const bool on_all = group == store::kPlacementRegion || replicas == 0;
    for (const placement::Member& member : members) {
      if (!on_all && region.peers.size() == replicas) break;
      region.peers.push_back({.id = PeerId(next_peer++), .store = member.store});
    }
    regions.push_back(std::move(region));
  }
  RUTILE_CHECK(next_peer <= placement::State::kFirstFreeId);
  return regions;
}

}  // namespace rutile::node
