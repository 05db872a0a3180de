#include "store/snapshot_receiver.h"

#include <utility>
#include <vector>

#include "base/buggify.h"
#include "base/probe.h"

namespace rutile::store {

SnapshotReceiver::SnapshotReceiver(const ReplicaOptions& options, FileSystem& files,
                                   const Clock& clock, Send send, OnComplete on_complete)
    : options_(options),
      files_(files),
      clock_(clock),
      send_(std::move(send)),
      on_complete_(std::move(on_complete)) {}

Status SnapshotReceiver::RemoveLeftovers(const std::set<std::string>& needed) {
  RUTILE_RETURN_IF_ERROR(files_.CreateDirectories(SnapshotFile::Directory()));
  RUTILE_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          files_.List(SnapshotFile::Directory()));
  for (const std::string& name : names) {
    const std::string path = std::string(SnapshotFile::Directory()) + "/" + name;
    if (!needed.contains(path)) RUTILE_RETURN_IF_ERROR(files_.Remove(path));
  }
  return {};
}

void SnapshotReceiver::Reply(StoreId to, const SnapshotPart& part, std::uint64_t next,
                             bool refused) {
  send_(to, Encode(SnapshotPartReply{.region = part.region,
                                     .from = part.to,
                                     .to = part.from,
                                     .transfer = part.transfer,
                                     .next = next,
                                     .refused = refused}));
}

void SnapshotReceiver::OnPart(StoreId from, const SnapshotPart& part) {
  DropSilent();
  const std::pair<PeerId, std::uint64_t> identity{part.from, part.transfer};
  if (const auto done = completed_.find(part.region);
      done != completed_.end() && done->second == identity) {
    RUTILE_SOMETIMES(true, "store: a part of a snapshot that is complete");
    return Reply(from, part, part.number + 1, false);
  }
  auto found = transfers_.find(part.region);
  if (found != transfers_.end() &&
      std::pair(found->second.from, found->second.number) != identity) {
    // A new attempt of the same sender replaces its old one; another sender has to wait.
    if (found->second.from != part.from || part.transfer < found->second.number) {
      RUTILE_SOMETIMES(found->second.from != part.from,
                       "store: a second sender of a snapshot waits");
      RUTILE_SOMETIMES(found->second.from == part.from,
                       "store: a part of an attempt that was given up");
      return Reply(from, part, 0, true);
    }
    if (part.number != 0) return Reply(from, part, 0, false);
    RUTILE_SOMETIMES(true, "store: a new attempt replaces a snapshot halfway");
    found->second.writer->Abandon();
    transfers_.erase(found);
    found = transfers_.end();
  }
  if (found == transfers_.end()) {
    // Its beginning is late, or it is not here any more.
    RUTILE_SOMETIMES(part.acknowledged > 0, "store: a crash took the beginning of a snapshot");
    RUTILE_SOMETIMES(part.number > part.acknowledged,
                     "store: the first part of a snapshot is late");
    if (part.number != 0) return Reply(from, part, 0, part.acknowledged > 0);
    if (RUTILE_BUGGIFY("buggify store: a snapshot is refused")) return Reply(from, part, 0, true);
    Result<std::unique_ptr<SnapshotFileWriter>> writer =
        SnapshotFileWriter::Create(files_, part.region, part.meta.id);
    if (!writer.ok()) return Reply(from, part, 0, true);
    found =
        transfers_.emplace(part.region, Transfer{.number = part.transfer, .from = part.from}).first;
    found->second.writer = std::move(writer).value();
  }
  Transfer& transfer = found->second;
  if (part.number != transfer.next_part) return Reply(from, part, transfer.next_part, false);
  if (Status status = Accept(transfer, part); !status.ok()) {
    RUTILE_SOMETIMES(true, "store: the disk does not take a snapshot");
    transfer.writer->Abandon();
    transfers_.erase(found);
    return Reply(from, part, 0, true);
  }
  Reply(from, part, transfer.next_part, false);
  if (!part.last) return;
  transfers_.erase(found);
  completed_[part.region] = identity;
  on_complete_(part);
}

Status SnapshotReceiver::Accept(Transfer& transfer, const SnapshotPart& part) {
  RUTILE_RETURN_IF_ERROR(transfer.writer->Append(part.data));
  if (part.last) RUTILE_RETURN_IF_ERROR(transfer.writer->Finish());
  ++transfer.next_part;
  transfer.last_progress = clock_.Now();
  return {};
}

Status SnapshotReceiver::Forget(RegionId region) {
  if (const auto found = transfers_.find(region); found != transfers_.end()) {
    RUTILE_SOMETIMES(true, "store: a replica is destroyed while a snapshot comes in");
    found->second.writer->Abandon();
    transfers_.erase(found);
  }
  completed_.erase(region);
  RUTILE_ASSIGN_OR_RETURN(const std::vector<std::string> paths,
                          SnapshotFile::PathsOf(files_, region));
  for (const std::string& path : paths) RUTILE_RETURN_IF_ERROR(files_.Remove(path));
  return paths.empty() ? Status() : files_.SyncDirectory(SnapshotFile::Directory());
}

void SnapshotReceiver::DropSilent() {
  const Instant now = clock_.Now();
  for (auto it = transfers_.begin(); it != transfers_.end();) {
    if (now - it->second.last_progress > options_.snapshot_timeout &&
        it->second.last_progress != Instant()) {
      RUTILE_SOMETIMES(true, "store: the sender of a snapshot fell silent");
      it->second.writer->Abandon();
      it = transfers_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace rutile::store
