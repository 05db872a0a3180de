#include "sim/monitor.h"

#include <memory>
#include <optional>

#include "codec/crc64.h"
#include "codec/keys.h"
#include "engine/kv_engine.h"
#include "store/apply_queue.h"
#include "store/region.h"

namespace rutile::sim {
namespace {

constexpr RegionId kGroups[] = {store::kPlacementRegion, store::kFirstUserRegion};

// Of what a group has replicated.
std::uint64_t HashOf(const engine::Snapshot& snapshot, RegionId group) {
  const bool is_placement = group == store::kPlacementRegion;
  const std::string begin = is_placement ? codec::PlacementKeysBegin() : codec::DataKey("");
  const std::string end = is_placement ? codec::PlacementKeysEnd() : codec::DataEndKey("");
  const auto iterator =
      snapshot.NewIterator(is_placement ? engine::Family::kMeta : engine::Family::kDefault,
                           {.lower = begin, .upper = end});
  std::uint64_t hash = 0;
  for (iterator->Seek(begin); iterator->Valid(); iterator->Next()) {
    hash = codec::Crc64(iterator->key(), hash) * 31;
    hash = codec::Crc64(iterator->value(), hash) * 31;
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
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    LookAtEngine(i);
    cluster_.node(i)->store().CollectStatus([this, i, boot = cluster_.machine(i).boots()](
                                                const std::vector<store::ReplicaStatus>& replicas) {
      for (const store::ReplicaStatus& status : replicas) OnStatus(i, boot, status);
    });
  }
}

void Monitor::LookAtEngine(std::size_t node) {
  const auto snapshot = cluster_.node(node)->engine().GetSnapshot();
  for (const RegionId group : kGroups) {
    const std::optional<LogId> applied = AppliedOf(*snapshot, group);
    if (!applied) continue;
    LogId& before = applied_[{group, node}];
    if (before == *applied) continue;
    before = *applied;
    const Applied now{.term = applied->term, .hash = HashOf(*snapshot, group)};
    const auto [seen, is_new] = states_.try_emplace({group, applied->index}, now);
    if (is_new) continue;
    if (seen->second.term != now.term) {
      Problem("group " + ToString(group) + ": at index " + ToString(applied->index) +
              " entries of terms " + ToString(seen->second.term) + " and " + ToString(now.term) +
              " were applied; node " + std::to_string(node + 1) + " has the latter");
    } else if (seen->second.hash != now.hash) {
      Problem("group " + ToString(group) + ": after " + ToString(*applied) + " node " +
              std::to_string(node + 1) + " holds another state than was seen elsewhere");
    }
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
  auto& [known_boot, committed] = committed_[{group, node}];
  if (known_boot == boot && status.committed < committed) {
    Problem(who + ": committed went back from " + ToString(committed) + " to " +
            ToString(status.committed));
  }
  known_boot = boot;
  committed = status.committed;
}

bool Monitor::HasConverged() {
  Look();
  for (const RegionId group : kGroups) {
    const LogId first = applied_[{group, 0}];
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (!cluster_.is_up(i) || applied_[{group, i}] != first) return false;
    }
  }
  return true;
}

std::string Monitor::Describe() const {
  std::string text;
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
