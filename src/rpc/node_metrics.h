#pragma once

#include <string>

#include "base/metrics.h"
#include "node/node.h"
#include "wal/wal.h"

namespace rutile::rpc {

// Counts what the log's writer reports. Safe from any thread.
class LogMetrics {
 public:
  LogMetrics();

  // One batch was written and synced: node::Node::Environment::on_log_batch.
  void OnBatch(const wal::LogWriter::BatchReport& report);
  // In Prometheus' text format.
  std::string Render() const { return registry_.Render(); }

 private:
  MetricRegistry registry_;
  Counter& batches_;
  Counter& writes_;
  Counter& bytes_;
  Histogram& batch_bytes_;
  Histogram& batch_regions_;
  Histogram& sync_time_;
  Histogram& wait_time_;
};

// The numbers of a node and of this process in Prometheus' text format, as they are now. Any
// thread; may take some milliseconds.
std::string RenderNodeMetrics(node::Node& node);

}  // namespace rutile::rpc
