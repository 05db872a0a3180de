// What a store finds on its disk: which replicas there are, and what was left of others.

#include <algorithm>
#include <set>
#include <utility>

#include "base/probe.h"
#include "codec/keys.h"
#include "store/apply_queue.h"
#include "store/kv_state_machine.h"
#include "store/log_repair.h"
#include "store/snapshot_file.h"
#include "store/store.h"

namespace rutile::store {
namespace {

// Where the log of a group begins that a cluster begins with. All of its first members have the
// state machine at this place; whoever comes later has nothing, and cannot be brought there by
// entries: it must get a snapshot, with the descriptor.
constexpr LogId kFirst{Term(1), Index(1)};

// The entries after `from` up to `last`, payload and all; none when there is nothing in between.
Result<LogSlice> ReadEnd(wal::Wal& wal, RegionId region, Index from, LogId last) {
  LogSlice all;
  all.prev = last;
  for (Index prev = from; prev < last.index; prev = all.last().index) {
    RUTILE_ASSIGN_OR_RETURN(LogSlice slice,
                            wal.Read(region, prev, last.index, std::size_t{64} << 20));
    if (prev == from) {
      all = std::move(slice);
    } else {
      std::move(slice.entries.begin(), slice.entries.end(), std::back_inserter(all.entries));
    }
  }
  return all;
}

Status NotWhole(RegionId region, const std::string& why) {
  return Status(Code::kCorruption, "region " + ToString(region) + ": " + why +
                                       "; put back all of the data directory as it was");
}

}  // namespace

Status Store::LoadTombstones() {
  const std::unique_ptr<const engine::Snapshot> snapshot = parts_.engine.GetSnapshot();
  const std::unique_ptr<engine::Iterator> iterator = snapshot->NewIterator(
      engine::Family::kMeta, {.lower = codec::RegionKeysBegin(), .upper = codec::RegionKeysEnd()});
  MutexLock lock(mutex_);
  for (iterator->Seek(codec::RegionKeysBegin()); iterator->Valid(); iterator->Next()) {
    const RegionId id = codec::RegionOfTombstoneKey(iterator->key());
    if (id == RegionId()) continue;
    RUTILE_ASSIGN_OR_RETURN(tombstones_[id], DecodeTombstone(iterator->value()));
  }
  return iterator->status();
}

Result<std::map<RegionId, Region>> Store::LoadRegions(
    const std::map<RegionId, wal::RegionLog>& logs, const std::vector<Region>& initial) {
  std::map<RegionId, Region> regions;
  const std::unique_ptr<const engine::Snapshot> snapshot = parts_.engine.GetSnapshot();
  const std::unique_ptr<engine::Iterator> iterator = snapshot->NewIterator(
      engine::Family::kMeta, {.lower = codec::RegionKeysBegin(), .upper = codec::RegionKeysEnd()});
  for (iterator->Seek(codec::RegionKeysBegin()); iterator->Valid(); iterator->Next()) {
    const RegionId id = codec::RegionOfDescriptorKey(iterator->key());
    if (id == RegionId()) continue;
    RUTILE_ASSIGN_OR_RETURN(Region region, DecodeRegion(iterator->value()));
    regions.emplace(id, std::move(region));
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());

  engine::WriteBatch batch;
  MutexLock lock(mutex_);
  for (const Region& region : initial) {
    // Where a first member was, and is no more, another may wait.
    const bool begun = logs.contains(region.id) || tombstones_.contains(region.id);
    if (begun || regions.contains(region.id) || region.PeerOn(options_.id) == nullptr) continue;
    batch.Put(engine::Family::kMeta, codec::RegionKey(region.id), EncodeRegion(region));
    batch.Put(engine::Family::kMeta, codec::AppliedKey(region.id), EncodeApplied(kFirst));
    regions.emplace(region.id, region);
  }
  if (!batch.empty()) {
    // Descriptors must not be lost while their logs are kept.
    RUTILE_RETURN_IF_ERROR(parts_.engine.Write(batch));
    RUTILE_RETURN_IF_ERROR(parts_.engine.Flush());
  }
  return regions;
}

Status Store::Recover(const std::map<RegionId, wal::RegionLog>& logs,
                      const std::vector<Region>& initial) {
  RUTILE_RETURN_IF_ERROR(LoadTombstones());
  RUTILE_ASSIGN_OR_RETURN(const auto regions, LoadRegions(logs, initial));
  std::set<std::string> needed;
  std::vector<LogRepair> repairs;
  MutexLock lock(mutex_);
  const auto open = [&](Region region, PeerId self, const wal::RegionLog* log)
                        REQUIRES(mutex_) -> Status {
    const RegionId id = region.id;
    const std::size_t repaired = repairs.size();
    RUTILE_ASSIGN_OR_RETURN(std::shared_ptr<Replica> replica,
                            OpenReplica(std::move(region), self, log, &repairs));
    if (repairs.size() > repaired) {
      RUTILE_RETURN_IF_ERROR(CheckPeersCanRepair(id, repairs.back(), replica->raft()));
    }
    needed.insert(SnapshotFile(parts_.files, id, replica->raft().tail().base()).path());
    replicas_.emplace(id, std::move(replica));
    return {};
  };
  for (const auto& [id, region] : regions) {
    const auto log = logs.find(id);
    if (log != logs.end()) {
      RUTILE_RETURN_IF_ERROR(open(region, log->second.peer, &log->second));
    } else if (const Peer* peer = region.PeerOn(options_.id)) {
      RUTILE_RETURN_IF_ERROR(open(region, peer->id, nullptr));
    } else {
      return NotWhole(id, "there is a descriptor, which names no peer of store " +
                              ToString(options_.id) + ", and no log");
    }
  }
  for (const auto& [id, log] : logs) {
    if (regions.contains(id)) continue;
    const auto buried = tombstones_.find(id);
    if (buried != tombstones_.end() && log.peer <= buried->second.peer) {
      RUTILE_SOMETIMES(true, "store: a crash came between a tombstone and the end of its log");
      CleanLog(id, log.peer, [] {});
      continue;
    }
    RUTILE_SOMETIMES(true, "store: a replica that waits for its first snapshot starts again");
    RUTILE_RETURN_IF_ERROR(open({.id = id}, log.peer, &log));
  }
  // Nothing is given up before it is known that all can be had back.
  for (LogRepair& repair : repairs) {
    Report(parts_.logger, repair);
    wal::LogWriter& writer = logs_->WriterOf(repair.write.region);
    writer.Submit(std::move(repair.write), [] {});
  }
  return receiver_->RemoveLeftovers(needed);
}

// The log begins with a snapshot that the engine does not hold yet.
Status Store::ReadInstall(const wal::RegionLog& log, Region* region,
                          Replica::Recovered* recovered) {
  const SnapshotFile file(parts_.files, region->id, log.base);
  if (!file.Exists()) {
    return NotWhole(region->id, "the log begins after " + ToString(log.base) +
                                    ", the data ends at " + ToString(recovered->applied) + " and " +
                                    file.path() + " is missing");
  }
  RUTILE_SOMETIMES(region->IsWaiting(), "store: a crash came before a descriptor was installed");
  recovered->install_pending = true;
  // What is in force where the log begins; the engine may still have what was before.
  RUTILE_ASSIGN_OR_RETURN(*region, ReadDescriptor(file, region->id));
  return {};
}

Result<std::shared_ptr<Replica>> Store::OpenReplica(Region region, PeerId self,
                                                    const wal::RegionLog* log,
                                                    std::vector<LogRepair>* repairs) {
  Replica::Recovered recovered;
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> applied,
                          parts_.engine.Get(engine::Family::kMeta, codec::AppliedKey(region.id)));
  if (applied) {
    RUTILE_ASSIGN_OR_RETURN(recovered.applied, DecodeApplied(*applied));
  }
  if (log == nullptr) {
    if (recovered.applied.index > kFirst.index) {
      return NotWhole(region.id, "the data are at " + ToString(recovered.applied) +
                                     " and there is no log of it");
    }
    recovered.fresh = true;
    recovered.log.base = recovered.log.last = recovered.resident.prev = recovered.applied;
  } else {
    recovered.log = *log;
    if (log->base.index > recovered.applied.index) {
      RUTILE_RETURN_IF_ERROR(ReadInstall(*log, &region, &recovered));
    }
    const LogId from = recovered.install_pending ? log->base : recovered.applied;
    if (log->lost) repairs->push_back(PlanLogRepair(region.id, from, &recovered.log));
    RUTILE_ASSIGN_OR_RETURN(recovered.resident, ReadEnd(logs_->WalOf(region.id), region.id,
                                                        from.index, recovered.log.last));
    for (Entry& entry : recovered.resident.entries) {
      if (!entry.payload.empty()) entry.payload = log_memory_.Copy(entry.payload.view(), 1);
    }
  }
  std::unique_ptr<StateMachine> machine;
  if (options_.machine_of) machine = options_.machine_of(region);
  if (machine == nullptr) machine = std::make_unique<KvStateMachine>(region);
  RUTILE_RETURN_IF_ERROR(machine->Load(parts_.engine));
  const std::size_t lane = region.id.value();
  const Executors& executors = parts_.executors;
  return Replica::Create(
      options_.replica,
      Replica::Parts{.clock = parts_.clock,
                     .files = parts_.files,
                     .engine = parts_.engine,
                     .log_writer = logs_->WriterOf(region.id),
                     .wal = logs_->WalOf(region.id),
                     .executor = *executors.regions[lane % executors.regions.size()],
                     .apply_executor = *executors.apply[lane % executors.apply.size()],
                     .background = *executors.background,
                     .logger = parts_.logger,
                     .log_memory = log_memory_,
                     .log_metrics = log_metrics_,
                     .garbage_filter = *garbage_filter_,
                     .observer = observer_.of_core ? observer_.of_core(region.id, self) : nullptr},
      static_cast<Replica::Host&>(*this), region, self, parts_.random.Next(), recovered,
      std::move(machine));
}

}  // namespace rutile::store
