#include "rpc/services/served.h"

namespace rutile::rpc {
namespace {

std::string NotServed(kvrpcpb::APIVersion asked, const char* why) {
  return "ApiVersionNotMatched: API version " + kvrpcpb::APIVersion_Name(asked) + " is not served" +
         why;
}

}  // namespace

std::optional<std::string> Unserved(const kvrpcpb::Context& context, const Served& served,
                                    codec::KeyMode mode) {
  if (context.cluster_id() != 0 && context.cluster_id() != served.cluster.value()) {
    return "the request is for cluster " + std::to_string(context.cluster_id()) +
           ", this is cluster " + ToString(served.cluster);
  }
  const kvrpcpb::APIVersion asked = context.api_version();
  if (served.api == codec::ApiVersion::kV2) {
    if (asked == kvrpcpb::V2) return std::nullopt;
    return NotServed(asked,
                     " by this cluster, which holds keyspaces of V2; tell the client to use V2 "
                     "and a keyspace (--keyspace of rutile's own commands)");
  }
  switch (asked) {
    case kvrpcpb::V1: return std::nullopt;
    case kvrpcpb::V1TTL:
      if (mode == codec::KeyMode::kRaw) return std::nullopt;
      return NotServed(asked, " for transactions: it is one of raw keys; use V1");
    default:
      return NotServed(asked,
                       " by this cluster, which holds keys of V1; use V1, or a cluster that was "
                       "started with --api-version v2");
  }
}

}  // namespace rutile::rpc
