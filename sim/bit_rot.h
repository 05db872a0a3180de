#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "env/sim/sim_files.h"

namespace rutile::sim {

// How many bytes of a file, from its beginning, may be damaged on a disk that is in use. All, but
// of the newest segment of the log: what was synced last there looks like torn by a power cut when
// it is damaged, until a batch that says so has been synced behind it (docs/design/wal-recovery.md,
// "What can not be told").
std::uint64_t BytesThatMayRot(const SimFileSystem& disk, const std::string& path);

struct BitOnDisk {
  std::string path = {};
  std::uint64_t bit = 0;
};
// One of those that may rot, in what the entries of one of the newest batches of the log say: of
// all bits they are few, and it is they that a node can do something about. `choice` says which.
std::optional<BitOnDisk> BitOfAnEntry(const SimFileSystem& disk, std::uint64_t choice);

}  // namespace rutile::sim
