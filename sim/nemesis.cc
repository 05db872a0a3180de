#include "sim/nemesis.h"

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "sim/bit_rot.h"

namespace rutile::sim {
namespace {

using Operation = SimFileSystem::Operation;

constexpr Duration kWatchEvery = Milliseconds(20);
constexpr Duration kAskLeader = Milliseconds(5);
// Nearly: a clock that does not run at all could not be asked how long a second is.
constexpr std::int64_t kFrozenPpm = -999'999;

bool Has(std::int64_t mask, std::size_t node) { return ((mask >> node) & 1) != 0; }

// Which node leads the user's data, for a fault that is meant for it.
struct Leadership {
  Term term = {};
  std::size_t node = 0;
};

}  // namespace

Nemesis::Nemesis(World& world, Cluster& cluster, const LinkOptions& network, FaultScript script)
    : world_(world),
      cluster_(cluster),
      network_(network),
      script_(std::move(script)),
      nodes_(cluster.size()),
      operator_(world, cluster) {}

void Nemesis::Later(Duration delay, Task task) {
  world_.After(delay, [this, task = std::move(task)]() mutable {
    if (!stopped_) task();
  });
}

void Nemesis::Start() {
  Watch();
  for (const TimedFault& fault : script_) {
    Later(fault.at - world_.Now(), [this, &fault] { Meet(fault); });
  }
}

void Nemesis::Watch() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    if (cluster_.machine(i).is_running()) {
      node.start_at.reset();
      continue;
    }
    if (dead_.contains(i)) continue;
    if (!node.start_at) {
      // One that cannot start for damage is tried now and then.
      const Duration wait = lost_.contains(i) ? Seconds(1) : node.down_for;
      node.start_at = world_.Now() + (stopped_ ? Duration(0) : wait);
      node.down_for = Milliseconds(100);
    }
    if (world_.Now() < *node.start_at && !(stopped_ && !lost_.contains(i))) continue;
    cluster_.Start(i);
    if (node.crashes_left > 0 && !stopped_) {
      --node.crashes_left;
      node.down_for = Duration(0);
      cluster_.CutPowerAfter(i, node.changes);
    }
  }
  world_.After(kWatchEvery, [this] { Watch(); });
}

void Nemesis::Meet(const TimedFault& fault) {
  if (fault.node != TimedFault::kLeader) return Bring(fault);
  const auto found = std::make_shared<Leadership>();
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!cluster_.is_up(i)) continue;
    cluster_.node(i)->store().CollectStatus([found, i](const auto& replicas) {
      for (const store::ReplicaStatus& status : replicas) {
        if (status.region.id != store::kFirstUserRegion || status.role != raft::Role::kLeader ||
            status.term < found->term) {
          continue;
        }
        *found = {.term = status.term, .node = i};
      }
    });
  }
  Later(kAskLeader, [this, found, meant = fault]() mutable {
    meant.node = found->node;
    Bring(meant);
  });
}

void Nemesis::Bring(const TimedFault& fault) {
  ++counts_[static_cast<std::size_t>(fault.fault)];
  if (observer_) observer_(&fault);
  switch (fault.fault) {
    case Fault::kLoss:
    case Fault::kDelay:
    case Fault::kDuplicate:
    case Fault::kEcho:
    case Fault::kReorder:
    case Fault::kIsolate:
    case Fault::kHalves:
    case Fault::kOneWay:
    case Fault::kBridge:
    case Fault::kRing:
    case Fault::kFlap:
    case Fault::kClog:
    case Fault::kStale: return BringToNetwork(fault);
    case Fault::kKill:
    case Fault::kRestart:
    case Fault::kEstrange:
    case Fault::kPause:
    case Fault::kSlow:
    case Fault::kStop:
    case Fault::kCrashLoop:
    case Fault::kBlackout:
    case Fault::kTransfer:
    case Fault::kMembers: return BringToProcess(fault);
    case Fault::kWallJump:
    case Fault::kDrift:
    case Fault::kFreeze:
    case Fault::kLeap: return BringToClock(fault);
    case Fault::kPowerCut:
    case Fault::kDiskFull:
    case Fault::kDiskSlow:
    case Fault::kDiskStall: return BringToDisk(fault);
    case Fault::kWriteError:
    case Fault::kSyncError:
    case Fault::kReadError:
    case Fault::kBitRot:
    case Fault::kDiskLost: return BreakDisk(fault);
  }
}

void Nemesis::BringToNetwork(const TimedFault& fault) {
  if (fault.fault == Fault::kClog) return Clog(fault);
  const std::uint64_t effect = Begin(fault);
  Later(fault.span, [this, effect] { End(effect); });
  if (fault.fault == Fault::kFlap) Flap(effect);
  if (fault.fault == Fault::kStale) {
    // What waits at the door was sent to, and by, the process that dies now.
    Later(fault.span / 4, [this, fault] {
      cluster_.Kill(fault.node);
      Down(fault.node, fault.span / 4);
    });
  }
}

// Nodes go deaf one after another and hear again in another order, each with a burst.
void Nemesis::Clog(const TimedFault& fault) {
  TimedFault one = fault;
  const auto count = static_cast<Duration::rep>(cluster_.size());
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    if (!Has(fault.first, i)) continue;
    one.node = i;
    const auto turn = static_cast<Duration::rep>(i);
    Later(fault.span * turn / (4 * count), [this, one] {
      const std::uint64_t effect = Begin(one);
      const auto other = static_cast<Duration::rep>((one.node * 2 + 1) % cluster_.size());
      const auto nodes = static_cast<Duration::rep>(cluster_.size());
      Later(one.span / 2 + one.span * other / (4 * nodes), [this, effect] { End(effect); });
    });
  }
}

void Nemesis::Flap(std::uint64_t effect) {
  const auto found = effects_.find(effect);
  if (found == effects_.end()) return;
  const auto period = Microseconds(std::max<std::int64_t>(found->second.fault.first, 1000));
  Later(period, [this, effect] {
    const auto flapping = effects_.find(effect);
    if (flapping == effects_.end()) return;
    flapping->second.is_on = !flapping->second.is_on;
    Rewire();
    Flap(effect);
  });
}

std::uint64_t Nemesis::Begin(const TimedFault& fault) {
  effects_.emplace(next_effect_, Effect{.fault = fault});
  Rewire();
  return next_effect_++;
}

void Nemesis::End(std::uint64_t effect) {
  effects_.erase(effect);
  Rewire();
}

void Nemesis::AddCuts(const TimedFault& fault, std::set<Path>* cuts) const {
  const std::size_t count = nodes_.size();
  const std::size_t node = fault.node;
  const std::size_t next = (node + 1) % count;
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = 0; b < count; ++b) {
      bool cut = false;
      const bool sides = Has(fault.first, a) != Has(fault.first, b);
      switch (fault.fault) {
        case Fault::kIsolate: cut = a == node || b == node; break;
        case Fault::kHalves: cut = sides; break;
        case Fault::kOneWay: cut = fault.first != 0 ? b == node : a == node; break;
        case Fault::kBridge: cut = sides && a != node && b != node; break;
        case Fault::kRing:
          // Each hears its neighbours only; of three, two lose each other.
          cut = count > 3 ? (a + 1) % count != b && (b + 1) % count != a
                          : std::pair(std::min(a, b), std::max(a, b)) ==
                                std::pair(std::min(node, next), std::max(node, next));
          break;
        case Fault::kFlap: cut = (a == node && b == next) || (a == next && b == node); break;
        default: break;
      }
      if (cut && a != b) cuts->emplace(a, b);
    }
  }
}

void Nemesis::Impair(const TimedFault& fault, LinkOptions* link) {
  const auto number = [&] {
    return static_cast<std::uint32_t>(std::max<std::int64_t>(fault.first, 0));
  };
  switch (fault.fault) {
    case Fault::kLoss: link->loss_per_million = std::max(link->loss_per_million, number()); return;
    case Fault::kDelay:
      link->tail_per_million = number();
      link->max_tail = Microseconds(std::max<std::int64_t>(fault.second, 0));
      return;
    case Fault::kDuplicate:
      link->duplicate_per_million = std::max(link->duplicate_per_million, number());
      return;
    case Fault::kEcho: link->echo = Milliseconds(std::max<std::int64_t>(fault.first, 0)); return;
    case Fault::kReorder:
      link->in_order = false;
      link->max_delay = std::max(link->max_delay, Microseconds(fault.first));
      return;
    default: return;
  }
}

void Nemesis::Rewire() {
  SimNetwork& network = cluster_.network();
  std::set<Path> cuts, holds;
  network.SetAllLinks(network_);
  std::map<Path, LinkOptions> impaired;
  for (const auto& [id, effect] : effects_) {
    if (!effect.is_on) continue;
    const TimedFault& fault = effect.fault;
    AddCuts(fault, &cuts);
    for (std::size_t other = 0; other < nodes_.size(); ++other) {
      if (other == fault.node) continue;
      const Path to(other, fault.node), from(fault.node, other);
      if (fault.fault == Fault::kClog || fault.fault == Fault::kStale) holds.insert(to);
      if (fault.fault == Fault::kStale) holds.insert(from);
      for (const Path& path : {to, from}) {
        Impair(fault, &impaired.try_emplace(path, network_).first->second);
      }
    }
  }
  const auto store = [&](std::size_t node) { return cluster_.store(node); };
  for (const auto& [path, link] : impaired)
    network.SetLink(store(path.first), store(path.second), link);
  for (const Path& path : cuts) {
    if (!cut_.contains(path)) network.Cut(store(path.first), store(path.second));
  }
  for (const Path& path : cut_) {
    if (!cuts.contains(path)) network.Heal(store(path.first), store(path.second));
  }
  for (const Path& path : holds) {
    if (!held_.contains(path)) network.Hold(store(path.first), store(path.second));
  }
  for (const Path& path : held_) {
    if (!holds.contains(path)) network.Release(store(path.first), store(path.second));
  }
  cut_ = std::move(cuts);
  held_ = std::move(holds);
}

void Nemesis::BringToProcess(const TimedFault& fault) {
  const std::size_t node = fault.node;
  switch (fault.fault) {
    case Fault::kKill: Down(node, fault.span); return cluster_.Kill(node);
    case Fault::kRestart:
      for (std::size_t i = 0; i < cluster_.size(); ++i) {
        if (i != node && !Has(fault.first, i)) continue;
        Down(i, Milliseconds(std::max<std::int64_t>(fault.second, 0)));
        cluster_.Kill(i);
      }
      return;
    case Fault::kEstrange: return Estrange(fault);
    case Fault::kTransfer: return Transfer(fault);
    case Fault::kMembers:
      return operator_.ChangeMembers(
          static_cast<std::uint64_t>(std::max<std::int64_t>(fault.first, 0)), fault.span);
    case Fault::kPause:
      cluster_.machine(node).Pause();
      return Later(fault.span, [this, node] { cluster_.machine(node).Resume(); });
    case Fault::kSlow: return SlowDown(fault, /*stop=*/false);
    case Fault::kStop: return SlowDown(fault, /*stop=*/true);
    case Fault::kCrashLoop:
      nodes_[node].crashes_left = fault.first;
      nodes_[node].changes = static_cast<std::uint64_t>(std::max<std::int64_t>(fault.second, 1));
      Down(node, Duration(0));
      return cluster_.CutPower(node);
    case Fault::kBlackout:
      for (std::size_t i = 0; i < cluster_.size(); ++i) {
        Down(i, fault.span);
        if (fault.first <= 0) {
          cluster_.CutPower(i);
        } else {
          cluster_.CutPowerAfter(i, static_cast<std::uint64_t>(fault.first));
        }
      }
      return;
    default: RUTILE_UNREACHABLE();
  }
}

// The node and its neighbour do not hear each other, so that the neighbour would lead if anybody
// else voted for it; and then all others lose their memory of what they promised the node.
void Nemesis::Estrange(const TimedFault& fault) {
  TimedFault cut = fault;
  cut.fault = Fault::kFlap;  // The cut that it makes; it does not flap.
  const std::uint64_t effect = Begin(cut);
  Later(fault.span, [this, effect] { End(effect); });
  const std::size_t neighbour = (fault.node + 1) % cluster_.size();
  Later(Milliseconds(std::max<std::int64_t>(fault.first, 0)), [this, fault, neighbour] {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (i == fault.node || i == neighbour) continue;
      Down(i, Milliseconds(std::max<std::int64_t>(fault.second, 0)));
      cluster_.Kill(i);
    }
  });
}

// What an operator may ask for at any time: of each group that the node leads.
void Nemesis::Transfer(const TimedFault& fault) {
  if (!cluster_.is_up(fault.node)) return;
  const auto to = static_cast<std::size_t>(std::max<std::int64_t>(fault.first, 0));
  node::Node& node = *cluster_.node(fault.node);
  for (const store::GateState& gate : node.store().Gates()) {
    if (!gate.is_leader || gate.region->id == store::kFirstUserRegion) continue;
    for (const store::Peer& peer : gate.region->peers) {
      if (peer.store == cluster_.store(to)) node.TransferLeadership(gate.region->id, peer.id);
    }
  }
  operator_.Transfer(to);
  if (fault.second <= 0) return;
  // It does not hear how its order was carried out.
  Later(Microseconds(fault.second), [this, fault] {
    TimedFault deaf = fault;
    deaf.fault = Fault::kOneWay;
    deaf.first = 1;
    const std::uint64_t effect = Begin(deaf);
    Later(fault.span, [this, effect] { End(effect); });
  });
}

void Nemesis::SlowDown(const TimedFault& fault, bool stop) {
  const auto& executors = cluster_.machine(fault.node).executors();
  if (!cluster_.machine(fault.node).is_running() || executors.empty()) return;
  const auto wanted = static_cast<std::size_t>(std::max<std::int64_t>(fault.first, 0));
  SimExecutor& executor = *executors[wanted % executors.size()];
  stop ? executor.Pause()
       : executor.SetSlowness(Microseconds(std::max<std::int64_t>(fault.second, 0)));
  Later(fault.span,
        [this, node = fault.node, stop, &executor, boot = cluster_.machine(fault.node).boots()] {
          if (cluster_.machine(node).boots() != boot) return;
          stop ? executor.Resume() : executor.SetSlowness(Duration(0));
        });
}

void Nemesis::BringToClock(const TimedFault& fault) {
  Machine& machine = cluster_.machine(fault.node);
  SimClock& clock = machine.clock();
  switch (fault.fault) {
    case Fault::kWallJump: return clock.JumpWall(fault.first);
    case Fault::kDrift: return clock.SetDrift(std::max(fault.first, kFrozenPpm));
    case Fault::kFreeze: {
      clock.FreezeWall();
      if (fault.first != 0) clock.SetDrift(kFrozenPpm);
      return Later(fault.span, [&clock, monotonic = fault.first != 0] {
        clock.ThawWall();
        if (monotonic) clock.SetDrift(0);
      });
    }
    case Fault::kLeap:
      // Longer than any lease: who wakes up holding one must not trust it.
      machine.Pause();
      clock.JumpWall(fault.first);
      return Later(std::max(fault.span, Milliseconds(1200)), [&machine] { machine.Resume(); });
    default: RUTILE_UNREACHABLE();
  }
}

void Nemesis::BringToDisk(const TimedFault& fault) {
  const std::size_t node = fault.node;
  SimFileSystem& disk = cluster_.machine(node).disk();
  switch (fault.fault) {
    case Fault::kPowerCut:
      Down(node, fault.span);
      // At rest, or in the middle of something.
      if (fault.first <= 0) return cluster_.CutPower(node);
      return cluster_.CutPowerAfter(node, static_cast<std::uint64_t>(fault.first));
    case Fault::kDiskFull:
      disk.SetCapacity(disk.used_bytes() +
                       static_cast<std::uint64_t>(std::max<std::int64_t>(fault.first, 0)));
      return Later(fault.span,
                   [this, node, &disk] { disk.SetCapacity(cluster_.capacity_bytes(node)); });
    case Fault::kDiskSlow: return SlowDisk(fault);
    case Fault::kDiskStall: return disk.StallFor(fault.span);
    default: RUTILE_UNREACHABLE();
  }
}

void Nemesis::SlowDisk(const TimedFault& fault) {
  SimFileSystem& disk = cluster_.machine(fault.node).disk();
  const Operation all[] = {Operation::kRead, Operation::kWrite, Operation::kSync};
  for (std::size_t i = 0; i < std::size(all); ++i) {
    // 0: all that it does; else one kind.
    if (fault.second != 0 && fault.second != static_cast<std::int64_t>(i) + 1) continue;
    disk.SlowFor(all[i], std::max<std::int64_t>(fault.first, 1), fault.span);
  }
}

void Nemesis::BreakDisk(const TimedFault& fault) {
  const std::size_t node = fault.node;
  SimFileSystem& disk = cluster_.machine(node).disk();
  const auto fail = [&](Operation operation, std::int64_t count) {
    if (!cluster_.is_up(node)) return;
    cluster_.ExpectFailure(node);
    Down(node, fault.span);
    disk.FailNext(operation, static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1)));
  };
  switch (fault.fault) {
    case Fault::kWriteError: return fail(Operation::kWrite, fault.first);
    case Fault::kSyncError: return fail(Operation::kSync, 1);
    case Fault::kReadError: return fail(Operation::kRead, 1);
    case Fault::kBitRot: {
      const auto choice = static_cast<std::uint64_t>(fault.second);
      // Of an entry that the engine has not, if the process does not live to see to that.
      const auto entry = choice % 2 == 0 ? BitOfAnEntry(disk, choice / 2) : std::nullopt;
      if (entry) {
        lost_.insert(node);
        cluster_.ExpectDamage(node);
        Down(node, fault.span);
        cluster_.Kill(node);
        return disk.FlipBit(entry->path, entry->bit);
      }
      const std::vector<std::string> paths = disk.Paths();
      if (paths.empty()) return;
      const std::string& path = paths[static_cast<std::size_t>(fault.first) % paths.size()];
      const std::uint64_t bits = BytesThatMayRot(disk, path) * 8;
      if (bits == 0) return;
      lost_.insert(node);
      cluster_.ExpectDamage(node);
      return disk.FlipBit(path, static_cast<std::uint64_t>(fault.second) % bits);
    }
    case Fault::kDiskLost:
      lost_.insert(node);
      dead_.insert(node);
      cluster_.Kill(node);
      return disk.Wipe();
    default: RUTILE_UNREACHABLE();
  }
}

void Nemesis::Stop(const std::vector<std::size_t>& dead) {
  stopped_ = true;
  operator_.Stop();
  effects_.clear();
  Rewire();
  LinkOptions calm = network_;
  calm.loss_per_million = 0;
  calm.duplicate_per_million = 0;
  cluster_.network().SetAllLinks(calm);
  for (std::size_t i = 0; i < cluster_.size(); ++i) {
    Machine& machine = cluster_.machine(i);
    machine.Resume();
    for (const auto& executor : machine.executors()) executor->SetSlowness(Duration(0));
    machine.clock().ThawWall();
    machine.clock().SetDrift(0);
    SimFileSystem& disk = machine.disk();
    disk.EndStall();
    disk.EndSlowness();
    disk.SetCapacity(cluster_.capacity_bytes(i));
    for (const Operation one : {Operation::kRead, Operation::kWrite, Operation::kSync}) {
      disk.FailNext(one, 0);
    }
  }
  for (const std::size_t node : dead) {
    lost_.insert(node);
    dead_.insert(node);
    cluster_.Kill(node);
  }
  if (observer_) observer_(nullptr);
}

}  // namespace rutile::sim
