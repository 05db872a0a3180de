#pragma once

#include <string>
#include <vector>

#include "store/region.h"
#include "store/region_error.h"
#include "store/store.h"

namespace errorpb {
class Error;
}
namespace kvrpcpb {
class Context;
}
namespace metapb {
class Peer;
class Region;
}  // namespace metapb

namespace rutile::rpc {

// Between our types and the protocol's, at the door.

void ToProto(const store::Peer& peer, metapb::Peer* out);
void ToProto(const store::Region& region, metapb::Region* out);
// `message` is always set: some clients show nothing else.
void ToProto(const store::RegionError& error, errorpb::Error* out);

// Of a repeated field.
template <class Strings>
std::vector<std::string> ToVector(const Strings& strings) {
  return {strings.begin(), strings.end()};
}

// What the store needs to know of a request's context.
store::RequestHeader ToHeader(const kvrpcpb::Context& context);

}  // namespace rutile::rpc
