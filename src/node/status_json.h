#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "node/identity.h"
#include "placement/placement.h"
#include "store/disk_guard.h"
#include "store/garbage_collector.h"
#include "store/replica.h"

namespace rutile::node {

// What the status of a node is made of.
struct StatusParts {
  const Identity& identity;
  const placement::Placement& placement;
  const store::DiskGuard& disk;
  std::vector<store::ReplicaStatus> replicas = {};
  Duration uptime = {};
  std::vector<std::pair<std::string, std::uint64_t>> engine = {};
  store::GarbageCollector::Totals garbage = {};
  std::uint64_t filtered = 0;  // Records of transactions that compactions have left out.
};

// One JSON object; docs/operations/status.md lists its fields. Keys in escaped form.
std::string StatusJson(const StatusParts& parts);

}  // namespace rutile::node
