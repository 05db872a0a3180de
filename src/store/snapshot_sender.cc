#include "store/snapshot_sender.h"

#include <algorithm>
#include <utility>

#include "base/buggify.h"
#include "base/probe.h"
#include "codec/keys.h"
#include "store/apply_queue.h"
#include "store/membership.h"
#include "store/snapshot_file.h"

namespace rutile::store {
namespace {

// How often transfers are looked at for parts to repeat. A part unanswered for this long is sent
// again.
constexpr Duration kWatchEvery = Milliseconds(500);

}  // namespace

SnapshotSender::SnapshotSender(const ReplicaOptions& options, engine::KvEngine& engine,
                               const Clock& clock, Executor& background, std::uint64_t first_number,
                               Send send, OnEnd on_end)
    : options_(options),
      engine_(engine),
      clock_(clock),
      background_(background),
      send_(std::move(send)),
      on_end_(std::move(on_end)),
      next_number_(first_number) {}

void SnapshotSender::Start(Request request) {
  const Key key{request.region, request.to.id};
  RUTILE_SOMETIMES(transfers_.contains(key), "store: a snapshot is wanted that is under way");
  if (transfers_.contains(key)) return;
  Transfer& transfer = transfers_[key];
  transfer.request = std::move(request);
  transfer.number = next_number_++;
  transfer.last_progress = clock_.Now();
  Status status = Open(transfer);
  if (status.ok()) status = Fill(transfer);
  if (!status.ok()) return End(key, false);
  if (watching_) return;
  watching_ = true;
  background_.PostAfter(kWatchEvery, [this] { Watch(); });
}

Status SnapshotSender::Open(Transfer& transfer) {
  transfer.snapshot = engine_.GetSnapshot();
  RUTILE_ASSIGN_OR_RETURN(
      const std::optional<std::string> applied,
      transfer.snapshot->Get(engine::Family::kMeta, codec::AppliedKey(transfer.request.region)));
  if (!applied) return Status(Code::kNotFound, "nothing was applied yet");
  RUTILE_ASSIGN_OR_RETURN(transfer.meta.id, DecodeApplied(*applied));
  // Somebody else may lead by now, and have brought this store what it applied last.
  transfer.term = std::max(transfer.request.term, transfer.meta.id.term);
  // Written together with the position: who was a member there, whatever has been appended since.
  const std::string key = codec::RegionKey(transfer.request.region);
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> descriptor,
                          transfer.snapshot->Get(engine::Family::kMeta, key));
  if (!descriptor) return Status(Code::kNotFound, "there is no descriptor");
  RUTILE_ASSIGN_OR_RETURN(const Region region, DecodeRegion(*descriptor));
  // The receiver goes by this descriptor, and would find that it is not wanted. Its addition will
  // be applied here soon: no commit waits for a peer that has no data yet (PlanChange).
  if (region.FindPeer(transfer.request.to.id) == nullptr) {
    RUTILE_SOMETIMES(true, "store: a snapshot for a peer whose addition is not applied yet");
    return Status(Code::kNotFound, "the receiver is not a member yet");
  }
  transfer.meta.configuration = ConfigurationOf(region);
  // First of all, so that a restart in the middle of the install finds it at once.
  transfer.request.ranges.insert(transfer.request.ranges.begin(),
                                 {engine::Family::kMeta, key, key + '\0'});
  return {};
}

Result<std::string> SnapshotSender::NextPart(Transfer& transfer) {
  std::string data;
  const std::vector<DataRange>& ranges = transfer.request.ranges;
  while (data.size() < options_.snapshot_part_bytes) {
    if (transfer.iterator == nullptr) {
      if (transfer.range == ranges.size()) {
        transfer.complete = true;
        break;
      }
      const DataRange& range = ranges[transfer.range];
      transfer.iterator =
          transfer.snapshot->NewIterator(range.family, {.lower = range.begin, .upper = range.end});
      transfer.iterator->Seek(range.begin);
    }
    if (!transfer.iterator->Valid()) {
      RUTILE_RETURN_IF_ERROR(transfer.iterator->status());
      transfer.iterator.reset();
      ++transfer.range;
      continue;
    }
    AppendSnapshotRecord(&data, ranges[transfer.range].family, transfer.iterator->key(),
                         transfer.iterator->value());
    transfer.iterator->Next();
    if (RUTILE_BUGGIFY("buggify store: a small part of a snapshot")) break;
  }
  return data;
}

Status SnapshotSender::Fill(Transfer& transfer) {
  while (!transfer.complete && transfer.sent.size() < options_.snapshot_window) {
    RUTILE_ASSIGN_OR_RETURN(std::string data, NextPart(transfer));
    SnapshotPart part{.region = transfer.request.region,
                      .from = transfer.request.from,
                      .to = transfer.request.to.id,
                      .transfer = transfer.number,
                      .number = transfer.next_part,
                      .last = transfer.complete,
                      .meta = transfer.meta,
                      .term = transfer.term,
                      .data = std::move(data)};
    const auto [sent, _] = transfer.sent.emplace(transfer.next_part++, std::move(part));
    transfer.last_sent = clock_.Now();
    SendPart(transfer, &sent->second);
  }
  return {};
}

void SnapshotSender::SendPart(const Transfer& transfer, SnapshotPart* part) {
  part->acknowledged = transfer.sent.begin()->first;
  send_(transfer.request.to.store, Encode(*part));
}

void SnapshotSender::OnReply(const SnapshotPartReply& reply) {
  const Key key{reply.region, reply.from};
  const auto found = transfers_.find(key);
  if (found == transfers_.end() || found->second.number != reply.transfer) return;
  Transfer& transfer = found->second;
  if (reply.refused) return End(key, false);
  const auto acknowledged = transfer.sent.lower_bound(reply.next);
  if (acknowledged == transfer.sent.begin()) return;
  transfer.sent.erase(transfer.sent.begin(), acknowledged);
  transfer.last_progress = clock_.Now();
  if (Status status = Fill(transfer); !status.ok()) return End(key, false);
  if (transfer.complete && transfer.sent.empty()) End(key, true);
}

void SnapshotSender::Forget(RegionId region) {
  std::erase_if(transfers_, [region](const auto& one) { return one.first.first == region; });
}

void SnapshotSender::End(const Key& key, bool sent) {
  const auto found = transfers_.find(key);
  const LogId id = found->second.meta.id;
  transfers_.erase(found);
  on_end_(key.first, key.second, id, sent);
}

void SnapshotSender::Watch() {
  const Instant now = clock_.Now();
  std::vector<Key> silent;
  for (auto& [key, transfer] : transfers_) {
    if (now - transfer.last_progress > options_.snapshot_timeout) {
      RUTILE_SOMETIMES(true, "store: the receiver of a snapshot fell silent");
      silent.push_back(key);
    } else if (now - transfer.last_sent >= kWatchEvery) {
      RUTILE_SOMETIMES(true, "store: parts of a snapshot are sent again");
      transfer.last_sent = now;
      for (auto& [number, part] : transfer.sent) SendPart(transfer, &part);
    }
  }
  for (const Key& key : silent) End(key, false);
  watching_ = !transfers_.empty();
  if (watching_) background_.PostAfter(kWatchEvery, [this] { Watch(); });
}

}  // namespace rutile::store
