#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "base/ids.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "env/env.h"
#include "store/options.h"
#include "store/peer_message.h"
#include "store/snapshot_file.h"

namespace rutile::store {

// Takes snapshots in: writes parts to a file as they come and, when the file is complete and
// durable, hands the snapshot to its replica. Everything runs on the background executor.
class SnapshotReceiver {
 public:
  using Send = UniqueFunction<void(StoreId to, std::string message)>;
  // The file is durable: the replica may be told.
  using OnComplete = UniqueFunction<void(const SnapshotPart& last)>;

  SnapshotReceiver(const ReplicaOptions& options, FileSystem& files, const Clock& clock, Send send,
                   OnComplete on_complete);

  // Of the sender on store `from`.
  void OnPart(StoreId from, const SnapshotPart& part);
  // Drops what is under way, or lies here, for replicas of this region, which are destroyed.
  Status Forget(RegionId region);
  // Removes the files that a crash left, except those `needed` for an install that it interrupted.
  // Before the first part.
  Status RemoveLeftovers(const std::set<std::string>& needed);

 private:
  struct Transfer {
    std::uint64_t number = 0;
    PeerId from = {};
    std::uint64_t next_part = 0;
    std::unique_ptr<SnapshotFileWriter> writer = {};
    Instant last_progress = {};
  };

  Status Accept(Transfer& transfer, const SnapshotPart& part);
  void Reply(StoreId to, const SnapshotPart& part, std::uint64_t next, bool refused);
  void DropSilent();

  const ReplicaOptions options_;
  FileSystem& files_;
  const Clock& clock_;
  Send send_;
  OnComplete on_complete_;
  std::map<RegionId, Transfer> transfers_;
  // The last transfer that was completed, whose final reply may have been lost.
  std::map<RegionId, std::pair<PeerId, std::uint64_t>> completed_;
};

}  // namespace rutile::store
