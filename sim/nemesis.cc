#include "sim/nemesis.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"

namespace rutile::sim {
namespace {

constexpr Duration kWatchEvery = Milliseconds(20);

}  // namespace

std::string_view ToString(Fault fault) {
  switch (fault) {
    case Fault::kKill: return "kill";
    case Fault::kPowerCut: return "power-cut";
    case Fault::kDiskError: return "disk-error";
    case Fault::kDiskStall: return "disk-stall";
    case Fault::kSlow: return "slow";
    case Fault::kPause: return "pause";
    case Fault::kIsolate: return "isolate";
    case Fault::kHalves: return "halves";
    case Fault::kOneWay: return "one-way";
    case Fault::kClock: return "clock";
  }
  RUTILE_UNREACHABLE();
}

Nemesis::Nemesis(World& world, Cluster& cluster, const Options& options)
    : world_(world),
      cluster_(cluster),
      options_(options),
      random_(world.NewRandom()),
      down_until_(cluster.size()) {}

Duration Nemesis::Draw(Duration max) {
  return Duration(
      static_cast<Duration::rep>(random_.Below(static_cast<std::uint64_t>(max.count()) + 1)));
}

void Nemesis::Later(Duration delay, Task task) {
  world_.After(delay, [this, task = std::move(task)]() mutable {
    if (!stopped_) task();
  });
}

void Nemesis::Start() {
  Watch();
  if (!options_.faults.empty()) {
    Later(Draw(2 * options_.mean_pause), [this] { Strike(); });
  }
}

void Nemesis::Watch() {
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (cluster_.machine(i).is_running()) {
      down_until_[i] = {};
    } else if (stopped_) {
      cluster_.Start(i);
    } else if (down_until_[i] == Duration(0)) {
      down_until_[i] = world_.Now() + Draw(options_.max_fault);
    } else if (down_until_[i] <= world_.Now()) {
      cluster_.Start(i);
    }
  }
  world_.After(kWatchEvery, [this] { Watch(); });
}

void Nemesis::Strike() {
  const Fault fault = options_.faults[random_.Below(options_.faults.size())];
  ++counts_[static_cast<std::size_t>(fault)];
  Bring(fault, random_.Below(cluster_.size()), Milliseconds(1) + Draw(options_.max_fault));
  Later(Draw(2 * options_.mean_pause), [this] { Strike(); });
}

void Nemesis::Bring(Fault fault, std::size_t node, Duration span) {
  Machine& machine = cluster_.machine(node);
  switch (fault) {
    case Fault::kKill: return cluster_.Kill(node);
    case Fault::kPowerCut:
      // Half of them at rest, the others in the middle of something.
      if (random_.OneIn(2)) return cluster_.CutPower(node);
      return cluster_.CutPowerAfter(node, 1 + random_.Below(30));
    case Fault::kDiskError: {
      if (!cluster_.is_up(node)) return;
      cluster_.ExpectFailure(node);
      machine.disk().FailNext(random_.OneIn(2) ? SimFileSystem::Operation::kWrite
                                               : SimFileSystem::Operation::kSync);
      return;
    }
    case Fault::kDiskStall: return machine.disk().StallFor(span);
    case Fault::kSlow: {
      const auto& executors = machine.executors();
      if (!machine.is_running() || executors.empty()) return;
      SimExecutor& slow = *executors[random_.Below(executors.size())];
      slow.SetSlowness(Draw(Milliseconds(20)));
      return Later(span, [this, node, &slow, boot = machine.boots()] {
        if (cluster_.machine(node).boots() == boot) slow.SetSlowness(Duration(0));
      });
    }
    case Fault::kPause:
      machine.Pause();
      return Later(span, [this, node] { cluster_.machine(node).Resume(); });
    case Fault::kIsolate:
    case Fault::kHalves:
    case Fault::kOneWay:
      CutLinks(fault, node);
      return Later(span, [this] { cluster_.network().HealAll(); });
    case Fault::kClock: {
      const auto width = static_cast<std::uint64_t>(2 * options_.max_drift_ppm + 1);
      machine.clock().SetDrift(static_cast<std::int64_t>(random_.Below(width)) -
                               options_.max_drift_ppm);
      return machine.clock().JumpWall(static_cast<std::int64_t>(random_.Below(20'001)) - 10'000);
    }
  }
}

void Nemesis::CutLinks(Fault fault, std::size_t node) {
  std::set<StoreId> one, rest;
  const bool only_this_node = fault != Fault::kHalves;
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    const bool inside = only_this_node ? i == node : random_.OneIn(2);
    (inside ? one : rest).insert(cluster_.store(i));
  }
  if (fault != Fault::kOneWay) return cluster_.network().Partition(one, rest);
  const bool deaf = random_.OneIn(2);
  for (const StoreId other : rest) {
    const StoreId self = cluster_.store(node);
    deaf ? cluster_.network().Cut(other, self) : cluster_.network().Cut(self, other);
  }
}

void Nemesis::Stop() {
  stopped_ = true;
  cluster_.network().HealAll();
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    Machine& machine = cluster_.machine(i);
    machine.Resume();
    for (const auto& executor : machine.executors()) executor->SetSlowness(Duration(0));
    machine.disk().FailNext(SimFileSystem::Operation::kWrite, 0);
    machine.disk().FailNext(SimFileSystem::Operation::kSync, 0);
  }
}

}  // namespace rutile::sim
