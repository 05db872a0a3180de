#include <cstdio>
#include <string>

#include "cmd/commands.h"
#include "cmd/read_file.h"
#include "cmd/wal_flags.h"
#include "wal/log_streams.h"
#include "wal/region_copy.h"

namespace rutile::cmd {
namespace {

constexpr const char* kWarning =
    "WARNING: this replaces what a replica has promised. If the node's own log holds, or held, "
    "newer entries or a newer vote of this region than the file, the replica forgets writes that "
    "it had acknowledged and may vote a second time in one term: acknowledged writes can be lost, "
    "and two leaders can be elected. It is safe only when the file is the newest that this very "
    "replica (region and peer) has ever written. Copy the data directory first; when the region "
    "has a majority elsewhere, rebuild the replica from its peers instead (rutile region "
    "rebuild-peer).\n";

// Of the one stream that has the region. Damage in another one matters too: it may have had it
// once.
Result<wal::RegionCopy> CopyFrom(const StoppedNode& node, RegionId region) {
  Result<wal::RegionCopy> found = Status(Code::kNotFound, "no log");
  for (const std::string& log : node.logs) {
    Result<wal::RegionCopy> copy = wal::CopyRegion(*node.files, log, region);
    if (!copy.ok() && copy.status().code() != Code::kNotFound) return copy;
    if (copy.ok() || !found.ok()) found = std::move(copy);
  }
  return found;
}

Status Export(const WalFlags& flags, wal::RegionCopy* copy) {
  const std::size_t slash = flags.out.rfind('/');
  const std::string name = slash == std::string::npos ? flags.out : flags.out.substr(slash + 1);
  posix::PosixFileSystem target(slash == std::string::npos ? "." : flags.out.substr(0, slash + 1));
  if (name.empty() || target.Exists(name)) {
    return Status(Code::kInvalidArgument,
                  "--out " + flags.out + ": it exists already; name a file that does not");
  }
  RUTILE_ASSIGN_OR_RETURN(const StoppedNode node, StoppedNode::Open(flags.data));
  RUTILE_ASSIGN_OR_RETURN(*copy, CopyFrom(node, RegionId(flags.region)));
  return WriteFileAtomically(target, ".", name, wal::EncodeRegionCopy(*copy));
}

Status Import(const WalFlags& flags, wal::RegionCopy* copy) {
  if (!flags.accept_data_loss) {
    return Status(Code::kInvalidArgument,
                  "nothing was changed; who has read the warning and wants it all the same gives "
                  "--i-accept-data-loss");
  }
  RUTILE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(flags.in));
  Result<wal::RegionCopy> read = wal::DecodeRegionCopy(bytes);
  if (!read.ok()) return Status(read.status()).WithContext("--in " + flags.in);
  *copy = std::move(read).value();
  if (flags.region != 0 && copy->region.value() != flags.region) {
    return Status(Code::kInvalidArgument, "--in " + flags.in + ": it is of region " +
                                              ToString(copy->region) + ", not of region " +
                                              std::to_string(flags.region));
  }
  RUTILE_ASSIGN_OR_RETURN(const StoppedNode node,
                          StoppedNode::Open(flags.data, posix::PosixFileSystem::Access::kChange));
  // Where a start with as many streams looks for it.
  wal::Options options;
  options.directory = node.logs[wal::HomeOf(copy->region, node.logs.size())];
  return wal::ImportRegion(*node.files, options, *copy, flags.replace);
}

void PrintDone(const char* what, const wal::RegionCopy& copy, const std::string& file) {
  std::printf("%s region %s of peer %s: (%s, %s], %zu entries: %s\n", what,
              ToString(copy.region).c_str(), ToString(copy.peer).c_str(),
              ToString(copy.slice.prev).c_str(), ToString(copy.slice.last()).c_str(),
              copy.slice.entries.size(), file.c_str());
}

}  // namespace

int WalExport(const WalFlags& flags) {
  wal::RegionCopy copy;
  if (const Status status = Export(flags, &copy); !status.ok()) return Fail(status);
  PrintDone("exported", copy, flags.out);
  return kExitOk;
}

int WalImport(const WalFlags& flags) {
  std::fputs(kWarning, stderr);
  wal::RegionCopy copy;
  if (const Status status = Import(flags, &copy); !status.ok()) return Fail(status);
  PrintDone("imported", copy, flags.in);
  return kExitOk;
}

}  // namespace rutile::cmd
