#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "codec/api_version.h"
#include "env/env.h"
#include "node/cluster_spec.h"

namespace rutile::node {

// Whose data a directory holds. Written when the directory is first used, and compared at every
// start, so that a node never runs on another's data or on a format it does not know.
struct Identity {
  ClusterId cluster = {};
  StoreId store = {};
  std::string name = {};
  std::size_t log_streams = 1;  // Which together are the node's log.
  codec::ApiVersion api = codec::ApiVersion::kV1;

  friend bool operator==(const Identity&, const Identity&) = default;
};

// The newest format of the data directory that this version knows. A directory with a log of one
// stream has format 1, with which earlier versions may go on; one with several has format 2, and
// one with keys of API version V2 has format 3.
inline constexpr std::uint32_t kDataFormat = 3;

// Reads the identity of the directory; kNotFound when it is not in use yet.
Result<Identity> LoadIdentity(FileSystem& files);
// Makes the directory `identity`'s, durably and in one step.
Status SaveIdentity(FileSystem& files, const Identity& identity);

// The identity under which `name` takes part in `spec`: the directory's if it has one and it fits,
// else a new one. kFailedPrecondition says what does not fit and what to do.
Result<Identity> EstablishIdentity(FileSystem& files, const ClusterSpec& spec,
                                   const std::string& name);

}  // namespace rutile::node
