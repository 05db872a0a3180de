#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace rutile::store {

// How the replicas of one store behave. docs/operations/running.md names those an operator may set.
struct ReplicaOptions {
  Duration tick = Milliseconds(50);
  int election_ticks = 20;
  int heartbeat_ticks = 2;
  // The lease must end before a follower may vote again, by more than two clocks can drift apart in
  // that time: lease < vote_refusal < tick * election_ticks.
  Duration lease = Milliseconds(800);
  Duration vote_refusal = Milliseconds(900);
  bool apply_before_durable = true;
  // How much the replicas of this store are wanted as leaders; see raft::Raft::SetPriority().
  std::int32_t leader_priority = 0;
  // While the log of this store lets a write wait for so long, and for a while afterwards, its
  // replicas would rather not lead: see Replica::WatchLog(). Zero: they do not mind.
  Duration late_log = Milliseconds(500);
  // A region with nothing to do costs no ticks and no messages; which stores live is watched once
  // for all regions, by NodeBeat: with the period of heartbeats, and a timeout as long as votes are
  // refused.
  bool quiet_groups = false;
  bool lease_reads = true;  // Off: every read asks a quorum.

  std::size_t max_entry_bytes = std::size_t{8} << 20;
  std::size_t max_append_bytes = std::size_t{1} << 20;
  std::size_t max_inflight_messages = 256;
  std::size_t max_inflight_bytes = std::size_t{16} << 20;
  std::size_t max_uncommitted_bytes = std::size_t{64} << 20;
  // Received and not yet on this store's disk, or handed out and not applied, in one replica.
  std::size_t max_backlog_bytes = std::size_t{64} << 20;
  std::size_t max_apply_batch_bytes = std::size_t{4} << 20;
  // Payload of durable entries kept in memory for followers that are a little behind.
  std::size_t cached_log_bytes = std::size_t{16} << 20;
  // A peer that is further behind than this is sent a snapshot instead of the log.
  std::uint64_t kept_log_entries = 10'000;
  Duration log_collect_every = Seconds(1);
  // How long, and how many, requests wait for a leader while none is known.
  Duration park_time = Seconds(1);
  std::size_t max_parked_requests = 10'000;

  // Of the store: what the log path of all its replicas may hold in memory; see LogMemory. Beyond
  // it writes are told ServerIsBusy.
  std::size_t log_memory_bytes = std::size_t{256} << 20;

  // What may wait for an answer in one replica; see Admission. Beyond it requests are told
  // ServerIsBusy.
  std::size_t max_waiting_writes = 100'000;
  std::size_t max_waiting_write_bytes = std::size_t{128} << 20;
  std::size_t max_waiting_reads = 100'000;

  // Of the store: writes that grow are refused while the disk has less left; see DiskGuard.
  std::uint64_t disk_reserve_bytes = std::uint64_t{256} << 20;

  std::size_t snapshot_part_bytes = std::size_t{256} << 10;
  std::uint64_t snapshot_window = 8;
  Duration snapshot_timeout = Seconds(10);
};

}  // namespace rutile::store
