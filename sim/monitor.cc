#include "sim/monitor.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "codec/crc64.h"
#include "codec/keys.h"
#include "engine/kv_engine.h"
#include "mvcc/garbage_sieve.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "store/apply_queue.h"
#include "store/region.h"
#include "store/safe_point.h"

namespace rutile::sim {
namespace {

constexpr std::uint64_t kCheapPairs = 16;
constexpr RegionId kGroups[] = {store::kPlacementRegion, store::kFirstUserRegion};

// Leaves out of the records of transactions what compactions may have left out on some replicas:
// they agree in the rest (store::GarbageFilter).
class RecordsThatCount {
 public:
  RecordsThatCount(const engine::Snapshot& snapshot, RegionId group) {
    const store::Region region{.id = group};
    const auto stored = store::SafePointOf({.snapshot = snapshot, .region = region});
    if (stored.ok()) safe_point_ = stored.value();
  }
  bool Has(std::string_view key, std::string_view value) {
    const auto parts = mvcc::SplitVersionKey(key);
    if (safe_point_.IsZero() || !parts) return true;
    if (parts->lock_key != of_) sieve_ = mvcc::GarbageSieve(safe_point_);
    of_ = parts->lock_key;
    const auto write = mvcc::DecodeWrite(value);
    if (!write.ok()) return true;
    return sieve_.Judge(parts->timestamp, write.value()) != mvcc::GarbageSieve::Verdict::kGarbage ||
           mvcc::HasLongValue(write.value());
  }

 private:
  mvcc::Timestamp safe_point_;
  std::string of_;  // The key whose records come.
  mvcc::GarbageSieve sieve_{{}};
};

// Of what a group has replicated; `*pairs`: how much that is.
std::uint64_t HashOf(const engine::Snapshot& snapshot, RegionId group, std::uint64_t* pairs) {
  const bool is_placement = group == store::kPlacementRegion;
  const std::string begin = is_placement ? codec::PlacementKeysBegin() : codec::DataKey("");
  const std::string end = is_placement ? codec::PlacementKeysEnd() : codec::DataEndKey("");
  using engine::Family;
  const std::vector<Family> families =
      is_placement ? std::vector{Family::kMeta}
                   : std::vector{Family::kDefault, Family::kLock, Family::kWrite};
  std::uint64_t hash = 0;
  RecordsThatCount records(snapshot, group);
  for (const Family family : families) {
    const auto iterator = snapshot.NewIterator(family, {.lower = begin, .upper = end});
    for (iterator->Seek(begin); iterator->Valid(); iterator->Next()) {
      if (family == Family::kWrite && !records.Has(iterator->key(), iterator->value())) continue;
      hash = codec::Crc64(iterator->key(), hash) * 31;
      hash = codec::Crc64(iterator->value(), hash) * 31;
      ++*pairs;
    }
    hash = hash * 31 + 1;
  }
  return hash;
}

std::optional<LogId> AppliedOf(const engine::Snapshot& snapshot, RegionId group) {
  const auto stored = snapshot.Get(engine::Family::kMeta, codec::AppliedKey(group));
  if (!stored.ok() || !stored.value()) return std::nullopt;
  const auto applied = store::DecodeApplied(*stored.value());
  return applied.ok() ? std::optional(applied.value()) : std::nullopt;
}

}  // namespace

Monitor::Monitor(World& world, Cluster& cluster, Duration every)
    : world_(world), cluster_(cluster), every_(every) {}

void Monitor::Start() {
  world_.After(every_, [this] {
    Look();
    Start();
  });
}

void Monitor::Look() {
  ++looks_;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    LookAtEngine(i);
    cluster_.node(i)->store().CollectStatus(
        [this, i, look = looks_,
         boot = cluster_.machine(i).boots()](const std::vector<store::ReplicaStatus>& replicas) {
          // The answer waits for every replica that was there, one that is being destroyed
          // included.
          std::uint64_t& newest = answered_[i];
          if (look < newest) return;
          newest = look;
          for (const store::ReplicaStatus& status : replicas) OnStatus(i, boot, status);
        });
  }
}

void Monitor::LookAtState(std::size_t node, RegionId group) {
  if (cluster_.is_up(node)) Compare(node, group, *cluster_.node(node)->engine().GetSnapshot());
}

void Monitor::LookAtEngine(std::size_t node) {
  const auto snapshot = cluster_.node(node)->engine().GetSnapshot();
  for (const RegionId group : kGroups) Compare(node, group, *snapshot);
}

void Monitor::Compare(std::size_t node, RegionId group, const engine::Snapshot& snapshot,
                      bool always) {
  const std::optional<LogId> applied = AppliedOf(snapshot, group);
  if (!applied) {
    applied_.erase({group, node});  // It has none, or none any more.
    return;
  }
  LogId& before = applied_[{group, node}];
  if (before == *applied && !always) return;
  before = *applied;
  // To hash all of a large state at each index would take most of a run's time. All nodes look at
  // the same indexes.
  std::uint64_t& stride = strides_[group];
  if (!always && stride > 1 && applied->index.value() % stride != 0) return;
  std::uint64_t pairs = 0;
  const Applied now{.term = applied->term, .hash = HashOf(snapshot, group, &pairs)};
  stride = std::bit_floor(std::max<std::uint64_t>(pairs / kCheapPairs, 1));
  const auto [seen, is_new] = states_.try_emplace({group, applied->index}, now);
  if (is_new) return;
  if (seen->second.term != now.term) {
    Problem("SM: group " + ToString(group) + ": at index " + ToString(applied->index) +
            " entries of terms " + ToString(seen->second.term) + " and " + ToString(now.term) +
            " were applied; node " + std::to_string(node + 1) + " has the latter");
  } else if (seen->second.hash != now.hash) {
    Problem("SM: group " + ToString(group) + ": after " + ToString(*applied) + " node " +
            std::to_string(node + 1) + " holds another state than was seen elsewhere");
  }
}

void Monitor::OnStatus(std::size_t node, std::uint64_t boot, const store::ReplicaStatus& status) {
  const RegionId group = status.region.id;
  const std::string who = "node " + std::to_string(node + 1) + " group " + ToString(group);
  if (!status.poisoned.empty()) Problem(who + " is poisoned: " + status.poisoned);
  if (status.role == raft::Role::kLeader) {
    const auto [leader, is_new] = leaders_.try_emplace({group, status.term}, status.self);
    if (!is_new && leader->second != status.self) {
      Problem(who + ": peers " + ToString(leader->second) + " and " + ToString(status.self) +
              " both lead in term " + ToString(status.term));
    }
  }
  if (status.applied > status.committed || status.committed > status.last) {
    Problem(who + ": applied " + ToString(status.applied) + ", committed " +
            ToString(status.committed) + ", last " + ToString(status.last));
  }
  auto& [known_boot, committed] = committed_[{group, status.self}];
  if (known_boot == boot && status.committed < committed) {
    Problem(who + ": committed went back from " + ToString(committed) + " to " +
            ToString(status.committed));
  }
  known_boot = boot;
  committed = status.committed;
}

std::optional<store::Region> Monitor::NewestDescriptor(RegionId group) {
  std::optional<store::Region> newest;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    const auto stored =
        cluster_.node(i)->engine().Get(engine::Family::kMeta, codec::RegionKey(group));
    if (!stored.ok() || !stored.value()) continue;
    auto region = store::DecodeRegion(*stored.value());
    if (!region.ok()) continue;
    if (!newest || newest->epoch.conf_version < region.value().epoch.conf_version) {
      newest = std::move(region).value();
    }
  }
  return newest;
}

bool Monitor::MembersAgree(RegionId group, const std::set<std::size_t>& lost) {
  const auto not_yet = [&](const std::string& why) {
    why_not_ = "group " + ToString(group) + ": " + why;
    return false;
  };
  const std::optional<store::Region> region = NewestDescriptor(group);
  if (!region) return not_yet("nobody has a descriptor");
  if (region->joint) return not_yet("between two configurations: " + ToString(*region));
  std::optional<LogId> first;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    const std::string name = "node " + std::to_string(i + 1);
    if (!cluster_.is_up(i)) {
      if (lost.contains(i)) continue;
      return not_yet(name + " is down");
    }
    const auto applied = applied_.find({group, i});
    const auto gate = cluster_.node(i)->store().Gate(group);
    const store::Peer* peer = region->PeerOn(cluster_.store(i));
    if (peer == nullptr) {
      if (applied == applied_.end() && !gate) continue;
      return not_yet(name + " still has a replica, which is not a member of " + ToString(*region));
    }
    if (!gate || gate->self != peer->id) {
      return not_yet(name + " lacks peer " + ToString(peer->id) + " of " + ToString(*region));
    }
    if (applied == applied_.end()) return not_yet(name + " has applied nothing");
    if (!first) first = applied->second;
    if (applied->second != *first) {
      return not_yet(name + " is at " + ToString(applied->second) + ", others at " +
                     ToString(*first));
    }
  }
  return true;
}

bool Monitor::HasConverged(const std::set<std::size_t>& lost) {
  Look();
  for (const RegionId group : kGroups) {
    if (!MembersAgree(group, lost)) return false;
  }
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (lost.contains(i) && !cluster_.is_up(i)) continue;
    const auto snapshot = cluster_.node(i)->engine().GetSnapshot();
    for (const RegionId group : kGroups) {
      Compare(i, group, *snapshot, /*always=*/true);
      if (AppliedOf(*snapshot, group)) continue;
      std::uint64_t pairs = 0;
      HashOf(*snapshot, group, &pairs);
      if (pairs == 0) continue;
      Problem("node " + std::to_string(i + 1) + " has no replica of group " + ToString(group) +
              " and still " + std::to_string(pairs) + " of its pairs");
    }
  }
  return true;
}

std::string Monitor::Describe() const {
  std::string text = why_not_;
  for (const auto& [where, applied] : applied_) {
    text += (text.empty() ? "group " : ", group ") + ToString(where.first) + " on node " +
            std::to_string(where.second + 1) + " at " + ToString(applied) +
            (cluster_.is_up(where.second) ? "" : " (down)");
  }
  return text;
}

void Monitor::Problem(const std::string& what) {
  if (problems_.size() < 20) {
    problems_.push_back("at " + std::to_string(ToSeconds(world_.Now())) + " s: " + what);
  }
}

}  // namespace rutile::sim
