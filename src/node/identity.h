#pragma once

#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "env/env.h"
#include "node/cluster_spec.h"

namespace rutile::node {

// Whose data a directory holds. Written when the directory is first used, and compared at every
// start, so that a node never runs on another's data or on a format it does not know.
struct Identity {
  ClusterId cluster = {};
  StoreId store = {};
  std::string name = {};

  friend bool operator==(const Identity&, const Identity&) = default;
};

// The format of the data directory that this version writes; it reads no newer one.
inline constexpr std::uint32_t kDataFormat = 1;

// Reads the identity of the directory; kNotFound when it is not in use yet.
Result<Identity> LoadIdentity(FileSystem& files);
// Makes the directory `identity`'s, durably.
Status CreateIdentity(FileSystem& files, const Identity& identity);

// The identity under which `name` takes part in `spec`: the directory's if it has one and it fits,
// else a new one. kFailedPrecondition says what does not fit and what to do.
Result<Identity> EstablishIdentity(FileSystem& files, const ClusterSpec& spec,
                                   const std::string& name);

}  // namespace rutile::node
