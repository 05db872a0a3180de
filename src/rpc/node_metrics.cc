#include "rpc/node_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

namespace rutile::rpc {
namespace {

using MetricKind = MetricRegistry::Kind;

// Zero when the system does not say.
std::uint64_t ResidentBytes() {
  const auto close = [](std::FILE* file) { std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(std::fopen("/proc/self/statm", "r"),
                                                         close);
  unsigned long long total = 0;
  unsigned long long resident = 0;
  if (file == nullptr || std::fscanf(file.get(), "%llu %llu", &total, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

double CpuSeconds() {
  rusage usage = {};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Registers numbers for one rendering.
class Numbers {
 public:
  void Add(MetricKind kind, std::string_view name, std::string_view help, double value,
           Labels labels = {}) {
    registry_.AddCallback(
        kind, name, help, [value] { return value; }, std::move(labels));
  }
  void Gauge(std::string_view name, std::string_view help, double value, Labels labels = {}) {
    Add(MetricKind::kGauge, name, help, value, std::move(labels));
  }
  std::string Render() const { return registry_.Render(); }

 private:
  MetricRegistry registry_;
};

void AddGarbage(node::Node& node, Numbers* numbers) {
  const store::GarbageCollector::Totals totals = node.garbage().totals();
  numbers->Gauge("tikv_gcworker_autogc_safe_point",
                 "The safe point up to which this node collects garbage of transactions.",
                 static_cast<double>(totals.safe_point.value()));
  numbers->Gauge("rutile_garbage_waiting_regions",
                 "Regions led here whose garbage is not collected up to the safe point yet.",
                 static_cast<double>(totals.waiting));
  const auto count = [numbers](std::string_view name, std::string_view help, std::uint64_t value) {
    numbers->Add(MetricKind::kCounter, name, help, static_cast<double>(value));
  };
  count("rutile_garbage_records_removed_total",
        "Write records that nobody needed any more and this node has had removed.", totals.records);
  count("rutile_garbage_records_looked_at_total", "Write records that were looked at for garbage.",
        totals.looked_at);
  count("rutile_garbage_regions_total", "Collections that came to the end of their region.",
        totals.regions);
  count("rutile_garbage_regions_spared_total",
        "Regions that were not gone through, little or nothing having become old since the last "
        "time.",
        totals.spared);
  count("rutile_garbage_records_filtered_total",
        "Write records that compactions of this node have left out.",
        node.store().garbage_filter().dropped());
  count("rutile_garbage_regions_given_up_total",
        "Collections that did not, and were begun again, mostly by another leader.",
        totals.failures);
}

void AddMemoryLocks(const store::TxnScheduler& scheduler, Numbers* numbers) {
  numbers->Gauge("rutile_memory_locks", "Pessimistic locks that stand in memory alone.",
                 static_cast<double>(scheduler.memory_locks().size()));
  numbers->Gauge("rutile_memory_locks_bytes", "What they take.",
                 static_cast<double>(scheduler.memory_locks().bytes()));
  const auto totals = scheduler.memory_lock_totals();
  constexpr std::string_view kName = "rutile_memory_lock_requests_total";
  constexpr std::string_view kHelp =
      "Requests that took or gave up pessimistic locks, by where these stand.";
  numbers->Add(MetricKind::kCounter, kName, kHelp, static_cast<double>(totals.in_memory),
               {{"in", "memory"}});
  numbers->Add(MetricKind::kCounter, kName, kHelp, static_cast<double>(totals.in_log),
               {{"in", "log"}});
}

void AddPlacement(const placement::Placement& placement, Numbers* numbers) {
  numbers->Gauge("rutile_placement_is_leader", "1 on the node that leads placement.",
                 placement.IsLeader() ? 1 : 0);
  for (const placement::StoreStatus& store : placement.Stores()) {
    if (!store.silent_for) continue;
    numbers->Gauge("rutile_member_silent_seconds",
                   "Time since a member of the cluster was last heard of here.",
                   ToSeconds(*store.silent_for), {{"member", store.info.name}});
  }
}

}  // namespace

LogMetrics::LogMetrics()
    : batches_(registry_.AddCounter("rutile_log_batches_total",
                                    "Batches written to the log, each with one sync.")),
      writes_(registry_.AddCounter("rutile_log_writes_total",
                                   "Writes of regions that the log's batches held.")),
      bytes_(registry_.AddCounter("rutile_log_bytes_total", "Bytes written to the log.")),
      batch_bytes_(registry_.AddHistogram("rutile_log_batch_bytes", "Bytes of a batch.",
                                          Buckets::Exponential(256, 4, 9))),
      batch_regions_(registry_.AddHistogram("rutile_log_batch_regions",
                                            "Regions whose writes went into one batch.",
                                            Buckets::Exponential(1, 2, 12))),
      sync_time_(registry_.AddHistogram("rutile_log_sync_seconds",
                                        "How long it took to write and sync a batch.",
                                        Buckets::Latency())),
      wait_time_(registry_.AddHistogram("rutile_log_wait_seconds",
                                        "How long the oldest write of a batch waited to begin.",
                                        Buckets::Latency())) {}

void LogMetrics::OnBatch(const wal::LogWriter::BatchReport& report) {
  batches_.Add();
  writes_.Add(report.writes);
  bytes_.Add(report.bytes);
  batch_bytes_.Observe(report.bytes);
  batch_regions_.Observe(report.regions);
  sync_time_.Observe(report.sync_time);
  wait_time_.Observe(report.oldest_wait);
}

std::string RenderNodeMetrics(node::Node& node) {
  Numbers numbers;
  numbers.Gauge("process_resident_memory_bytes", "Memory of this process that is in use.",
                static_cast<double>(ResidentBytes()));
  numbers.Add(MetricKind::kCounter, "process_cpu_seconds_total",
              "Processor time that this process has used, in user mode and in the kernel.",
              CpuSeconds());

  std::size_t regions = 0;
  std::size_t leaders = 0;
  for (const store::GateState& gate : node.store().Gates()) {
    if (gate.region->id < store::kFirstUserRegion) continue;
    ++regions;
    if (gate.is_leader) ++leaders;
  }
  constexpr std::string_view kRegions = "tikv_raftstore_region_count";
  constexpr std::string_view kRegionsHelp = "Regions of keys on this node, and those it leads.";
  numbers.Gauge(kRegions, kRegionsHelp, static_cast<double>(regions), {{"type", "region"}});
  numbers.Gauge(kRegions, kRegionsHelp, static_cast<double>(leaders), {{"type", "leader"}});

  AddPlacement(node.placement(), &numbers);
  numbers.Gauge("rutile_log_pending_bytes", "Bytes handed to the log and not yet durable.",
                static_cast<double>(node.store().pending_log_bytes()));
  const store::LogMemory& memory = node.store().log_memory();
  numbers.Gauge("rutile_log_memory_bytes", "What the logs of all regions hold in memory.",
                static_cast<double>(memory.used_bytes()));
  numbers.Gauge("rutile_log_memory_limit_bytes", "What they may hold.",
                static_cast<double>(memory.limit_bytes()));
  numbers.Add(MetricKind::kCounter, "tikv_raft_entries_evict_bytes",
              "Entries that were dropped from memory and are on disk only.",
              static_cast<double>(memory.evicted_bytes()));
  numbers.Add(MetricKind::kCounter, "rutile_log_memory_refused_writes_total",
              "Writes that were refused because memory for the log was full.",
              static_cast<double>(memory.refused_writes()));
  numbers.Add(MetricKind::kCounter, "rutile_log_memory_pauses_total",
              "Times that writes of a region gathered for a while because memory for the log was "
              "nearly full.",
              static_cast<double>(memory.pauses()));
  const store::LogTotals logs = node.store().log_totals();
  numbers.Gauge("tikv_raft_entries_caches", "Entries in the log tails of all regions, in bytes.",
                static_cast<double>(logs.cached_bytes));
  numbers.Gauge("rutile_log_applied_ahead_entries",
                "Entries that one replica has applied and not on its own disk yet, at most.",
                static_cast<double>(logs.most_ahead));
  numbers.Gauge("rutile_poisoned_replicas", "Replicas that stand still for good.",
                static_cast<double>(logs.poisoned));
  numbers.Gauge("rutile_impaired_replicas",
                "Replicas that do not vote until they have back what the disk has lost.",
                static_cast<double>(logs.impaired));
  const store::DiskGuard& disk = node.store().disk();
  numbers.Gauge("rutile_disk_free_bytes", "Free bytes of the disk that holds the data.",
                static_cast<double>(disk.free_bytes()));
  numbers.Gauge("rutile_disk_refuses_growth", "1 while writes that need space are refused.",
                disk.refuses_growth() ? 1 : 0);
  AddGarbage(node, &numbers);
  AddMemoryLocks(node.txn().scheduler(), &numbers);
  for (const auto& [name, value] : node.engine().Statistics()) {
    numbers.Gauge("rutile_engine", "Numbers of the key-value engine, by name.",
                  static_cast<double>(value), {{"name", name}});
  }
  return numbers.Render() + node.store().log_metrics().Render();
}

}  // namespace rutile::rpc
