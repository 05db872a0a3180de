#include "store/snapshot_receiver.h"

#include <utility>
#include <vector>

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

void SnapshotReceiver::Reply(const SnapshotPart& part, std::uint64_t next, bool refused) {
  send_(part.region, part.from,
        Encode(SnapshotPartReply{.region = part.region,
                                 .from = part.to,
                                 .to = part.from,
                                 .transfer = part.transfer,
                                 .next = next,
                                 .refused = refused}));
}

void SnapshotReceiver::OnPart(const SnapshotPart& part) {
  DropSilent();
  const std::pair<PeerId, std::uint64_t> identity{part.from, part.transfer};
  if (const auto done = completed_.find(part.region);
      done != completed_.end() && done->second == identity) {
    return Reply(part, part.number + 1, false);
  }
  auto found = transfers_.find(part.region);
  if (found != transfers_.end() &&
      std::pair(found->second.from, found->second.number) != identity) {
    // A new attempt of the same sender replaces its old one; another sender has to wait.
    if (found->second.from != part.from || part.number != 0) return Reply(part, 0, true);
    found->second.writer->Abandon();
    transfers_.erase(found);
    found = transfers_.end();
  }
  if (found == transfers_.end()) {
    if (part.number != 0) return Reply(part, 0, true);  // Its beginning is not here any more.
    Result<std::unique_ptr<SnapshotFileWriter>> writer =
        SnapshotFileWriter::Create(files_, part.region, part.meta.id);
    if (!writer.ok()) return Reply(part, 0, true);
    found =
        transfers_.emplace(part.region, Transfer{.number = part.transfer, .from = part.from}).first;
    found->second.writer = std::move(writer).value();
  }
  Transfer& transfer = found->second;
  if (part.number != transfer.next_part) return Reply(part, transfer.next_part, false);
  if (Status status = Accept(transfer, part); !status.ok()) {
    transfer.writer->Abandon();
    transfers_.erase(found);
    return Reply(part, 0, true);
  }
  Reply(part, transfer.next_part, false);
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

void SnapshotReceiver::DropSilent() {
  const Instant now = clock_.Now();
  for (auto it = transfers_.begin(); it != transfers_.end();) {
    if (now - it->second.last_progress > options_.snapshot_timeout &&
        it->second.last_progress != Instant()) {
      it->second.writer->Abandon();
      it = transfers_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace rutile::store
