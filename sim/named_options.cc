#include <algorithm>
#include <string>

#include "sim/options.h"

namespace rutile::sim {
namespace {

using Options = SimulationOptions;

// An option that is a number somewhere in SimulationOptions.
#define RUTILE_SIM_NUMBER(name, what, simple, field)                                         \
  NamedOption {                                                                              \
    name, what, simple, [](const Options& o) { return static_cast<std::int64_t>(o.field); }, \
        [](Options* o, std::int64_t value) {                                                 \
          o->field = static_cast<std::remove_cvref_t<decltype(o->field)>>(value);            \
        }                                                                                    \
  }
// The same for a time, in microseconds.
#define RUTILE_SIM_TIME(name, what, simple, field)                                \
  NamedOption {                                                                   \
    name, what, simple, [](const Options& o) { return ToMicroseconds(o.field); }, \
        [](Options* o, std::int64_t value) { o->field = Microseconds(value); }    \
  }

std::int64_t MaskOf(const std::vector<std::size_t>& nodes) {
  std::int64_t mask = 0;
  for (const std::size_t node : nodes) mask |= std::int64_t{1} << node;
  return mask;
}

NamedOption Nodes() {
  return {
      "nodes", "how many nodes", 3,
      [](const Options& o) { return static_cast<std::int64_t>(o.cluster.machines.size()); },
      [](Options* o, std::int64_t value) {
        o->cluster.machines.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(value, 1, 9)));
        const auto is_gone = [&](std::size_t node) { return node >= o->cluster.machines.size(); };
        std::erase_if(o->dead, is_gone);
        std::erase_if(o->faults.expendable, is_gone);
      }};
}

NamedOption Dead() {
  return {"dead", "mask of the nodes that never come back", 0,
          [](const Options& o) { return MaskOf(o.dead); },
          [](Options* o, std::int64_t value) {
            o->dead.clear();
            for (std::size_t i = 0; i < o->cluster.machines.size(); ++i) {
              if (((value >> i) & 1) != 0) o->dead.push_back(i);
            }
          }};
}

NamedOption Sync() {
  return {"sync-us", "the longest sync of each disk", 200,
          [](const Options& o) { return ToMicroseconds(o.cluster.machines[0].disk.sync.max); },
          [](Options* o, std::int64_t value) {
            for (Machine::Options& machine : o->cluster.machines) {
              machine.disk.sync = {std::min(machine.disk.sync.min, Microseconds(value)),
                                   Microseconds(value)};
            }
          }};
}

std::vector<NamedOption> OfTransactions() {
  return {
      RUTILE_SIM_NUMBER("txn-clients", "clients of transactions", 0, transactions.clients),
      RUTILE_SIM_NUMBER("txn-accounts", "accounts of the bank, at least two", 2,
                        transactions.accounts),
      RUTILE_SIM_NUMBER("txn-keys", "other keys of transactions", 2, transactions.keys),
      RUTILE_SIM_TIME("txn-think-us", "a transactional client's longest pause", 400'000,
                      transactions.max_think),
      RUTILE_SIM_TIME("txn-timeout-us", "a transactional client's patience", 2'000'000,
                      transactions.timeout),
      RUTILE_SIM_TIME("txn-ttl-us", "how long locks live", 3'000'000, transactions.lock_ttl),
      RUTILE_SIM_NUMBER("txn-batch-keys", "keys of one request of a transaction", 256,
                        transactions.batch_keys),
      RUTILE_SIM_NUMBER("txn-long-percent", "long values of transactions", 0,
                        transactions.long_value_percent),
      RUTILE_SIM_NUMBER("txn-death-percent", "commits whose client dies", 0,
                        transactions.death_percent),
      RUTILE_SIM_NUMBER("txn-readers-pass", "readers pass locks", 0, transactions.readers_pass),
      RUTILE_SIM_NUMBER("txn-follower-reads", "followers serve reads of transactions", 0,
                        transactions.follower_reads),
      RUTILE_SIM_NUMBER("txn-pessimistic-percent", "pessimistic transactions", 0,
                        transactions.pessimistic_percent),
      RUTILE_SIM_NUMBER("txn-memory-lock-bytes",
                        "pessimistic locks of a region in its leader's memory", 0,
                        cluster.memory_locks.max_region_bytes),
      RUTILE_SIM_NUMBER("txn-async-percent", "transactions that ask for an asynchronous commit", 0,
                        transactions.async_percent),
      RUTILE_SIM_NUMBER("txn-one-phase-percent", "transactions that ask for one phase", 0,
                        transactions.one_phase_percent),
      RUTILE_SIM_NUMBER("txn-async-keys", "most keys of an asynchronous commit", 256,
                        transactions.async_keys),
      RUTILE_SIM_TIME("txn-window-us", "how far ahead stores may choose a commit", 2'000'000,
                      transactions.commit_window),
      RUTILE_SIM_TIME("garbage-interval-us", "between rounds of collection; 0: none", 0,
                      garbage.interval),
      RUTILE_SIM_TIME("garbage-life-us", "how long versions live", 10'000'000, garbage.life),
      RUTILE_SIM_NUMBER("garbage-batch-locks", "locks that are looked for at once", 256,
                        garbage.batch_locks),
      RUTILE_SIM_TIME("garbage-timeout-us", "a round's patience", 2'000'000, garbage.timeout),
      RUTILE_SIM_NUMBER("garbage-share", "one record in so many has to be old for a pass", 1000,
                        cluster.garbage.share),
      RUTILE_SIM_TIME("compaction-interval-us", "between compactions on any node; 0: none", 0,
                      compactions.interval),
      RUTILE_SIM_NUMBER("garbage-look", "records looked at at once", 4096,
                        cluster.garbage.region.look_records),
      RUTILE_SIM_NUMBER("garbage-remove", "records removed at once", 4096,
                        cluster.garbage.region.remove_records),
  };
}

std::vector<NamedOption> OfAllElse() {
  return {
      Nodes(),
      Dead(),
      Sync(),
      RUTILE_SIM_NUMBER("replicas", "on how many nodes the data begin", 3, cluster.replicas),
      RUTILE_SIM_NUMBER("moves", "changes of members and transfers of leadership", 0, faults.moves),
      RUTILE_SIM_NUMBER("disk-faults", "faults of disks, besides those that are drawn", 0,
                        faults.disk_faults),
      RUTILE_SIM_TIME("faulty-us", "how long faults come", 20'000'000, faulty_time),
      RUTILE_SIM_NUMBER("clients", "how many clients", 2, registers.clients),
      RUTILE_SIM_NUMBER("keys", "how many registers", 1, registers.keys),
      RUTILE_SIM_TIME("think-us", "a client's longest pause", 50'000, registers.max_think),
      RUTILE_SIM_TIME("timeout-us", "a client's patience", 2'000'000, registers.timeout),
      RUTILE_SIM_NUMBER("read-percent", "reads", 50, registers.read_percent),
      RUTILE_SIM_NUMBER("fresh-percent", "calls to the set", 0, registers.fresh_percent),
      RUTILE_SIM_NUMBER("value-bytes", "size of values", 16, registers.value_bytes),
      RUTILE_SIM_NUMBER("follower-reads", "followers serve reads", 0, registers.follower_reads),
      RUTILE_SIM_NUMBER("timestamp-clients", "clients that ask for timestamps", 0,
                        timestamps.clients),
      RUTILE_SIM_NUMBER("loss", "messages lost, per million", 0, cluster.network.loss_per_million),
      RUTILE_SIM_NUMBER("duplicate", "messages sent twice, per million", 0,
                        cluster.network.duplicate_per_million),
      RUTILE_SIM_NUMBER("in-order", "links keep the order", 1, cluster.network.in_order),
      RUTILE_SIM_TIME("delay-us", "the longest delay of a link", 500, cluster.network.max_delay),
      RUTILE_SIM_NUMBER("segment-bytes", "size of a log segment", 1 << 20,
                        cluster.wal.segment_bytes),
      RUTILE_SIM_NUMBER("max-segments", "log segments", 6, cluster.wal.max_segments),
      RUTILE_SIM_NUMBER("spare-segments", "log segments kept for reuse", 2,
                        cluster.wal.spare_segments),
      RUTILE_SIM_NUMBER("log-streams", "streams of a node's log", 1, cluster.log_streams),
      RUTILE_SIM_NUMBER("log-streams-change", "each start has another number of them", 0,
                        cluster.log_streams_change),
      RUTILE_SIM_NUMBER("compress-from-bytes", "log entries that are compressed", 4096,
                        cluster.wal.compress_from_bytes),
      RUTILE_SIM_NUMBER("kept-entries", "entries kept in the log", 10'000,
                        cluster.replica.kept_log_entries),
      RUTILE_SIM_NUMBER("cached-bytes", "log kept in memory", 1 << 20,
                        cluster.replica.cached_log_bytes),
      RUTILE_SIM_NUMBER("log-memory-bytes", "what the log path of a node may hold in memory",
                        256 << 20, cluster.replica.log_memory_bytes),
      RUTILE_SIM_NUMBER("append-bytes", "size of an append message", 1 << 16,
                        cluster.replica.max_append_bytes),
      RUTILE_SIM_NUMBER("inflight", "messages under way to a follower", 256,
                        cluster.replica.max_inflight_messages),
      RUTILE_SIM_NUMBER("apply-bytes", "size of an apply batch", 4 << 20,
                        cluster.replica.max_apply_batch_bytes),
      RUTILE_SIM_NUMBER("snapshot-bytes", "size of a part of a snapshot", 4096,
                        cluster.replica.snapshot_part_bytes),
      RUTILE_SIM_TIME("collect-us", "pause between collections of the log", 1'000'000,
                      cluster.replica.log_collect_every),
      RUTILE_SIM_TIME("lease-us", "length of a lease", 800'000, cluster.replica.lease),
      RUTILE_SIM_NUMBER("early-apply", "apply before the own disk has it", 0,
                        cluster.replica.apply_before_durable),
      RUTILE_SIM_NUMBER("buggify", "percent of the places that take unusual choices", 0,
                        buggify_percent),
      RUTILE_SIM_NUMBER("quiet-groups", "a region with nothing to do sends nothing", 0,
                        cluster.replica.quiet_groups),
      RUTILE_SIM_NUMBER("lease-reads", "a lease serves reads", 1, cluster.replica.lease_reads),
  };
}

}  // namespace

const std::vector<NamedOption>& NamedOptions() {
  static const auto* const options = [] {
    auto* const all = new std::vector<NamedOption>(OfAllElse());
    for (const NamedOption& option : OfTransactions()) all->push_back(option);
    return all;
  }();
  return *options;
}

#undef RUTILE_SIM_NUMBER
#undef RUTILE_SIM_TIME

Status SetOption(std::string_view name, std::int64_t value, SimulationOptions* options) {
  std::string names;
  for (const NamedOption& option : NamedOptions()) {
    names.append(" ").append(option.name);
    if (option.name != name) continue;
    if (value < 0) {
      return Status(Code::kInvalidArgument,
                    std::string(name) + ": expected a number of at least 0");
    }
    option.set(options, value);
    if (option.get(*options) != value) {
      return Status(Code::kInvalidArgument,
                    std::string(name) + ": " + std::to_string(value) + " is out of range");
    }
    return {};
  }
  return Status(Code::kInvalidArgument,
                "unknown option '" + std::string(name) + "', expected one of" + names);
}

}  // namespace rutile::sim
