#include "store/log_metrics.h"

namespace rutile::store {

LogMetrics::LogMetrics()
    : commit_time(registry_.AddHistogram("tikv_raftstore_commit_log_duration_seconds",
                                         "How long proposals took to be committed.",
                                         Buckets::Latency())),
      apply_wait(registry_.AddHistogram("tikv_raftstore_apply_wait_time_duration_secs",
                                        "How long committed entries waited for apply to begin.",
                                        Buckets::Latency())),
      apply_time(registry_.AddHistogram("tikv_raftstore_apply_log_duration_seconds",
                                        "How long a turn of apply took.", Buckets::Latency())),
      appends(registry_.AddCounter("rutile_log_appends_total",
                                   "Messages with entries that were sent to followers.")),
      cold_reads(registry_.AddCounter("tikv_raftstore_entry_fetches",
                                      "Entries for followers, found in memory or read from disk.",
                                      {{"type", "async_fetch"}})),
      cold_answers(registry_.AddCounter("rutile_log_cold_reads_found_total",
                                        "Reads from disk for followers that found something.")) {
  registry_.AddCallback(MetricRegistry::Kind::kCounter, "tikv_raftstore_entry_fetches",
                        "Entries for followers, found in memory or read from disk.",
                        [this] {
                          const std::uint64_t sent = appends.value();
                          const std::uint64_t cold = cold_answers.value();
                          return static_cast<double>(sent - (cold < sent ? cold : sent));
                        },
                        {{"type", "hit"}});
}

}  // namespace rutile::store
