#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/time.h"
#include "env/sim/sim_network.h"
#include "env/sim/world.h"
#include "sim/cluster.h"
#include "sim/fault_script.h"
#include "sim/operator.h"

namespace rutile::sim {

// Plays a script of faults to a cluster, and starts again what died. A pure function of the script
// and of what the cluster does: it draws nothing.
class Nemesis {
 public:
  // `network` is how links are without faults. All outlive the nemesis, which must not be destroyed
  // before the world has stopped.
  Nemesis(World& world, Cluster& cluster, const LinkOptions& network, FaultScript script);

  // Is told each fault when it comes, with its node, and null when all are over.
  void SetObserver(std::function<void(const TimedFault*)> observer) {
    observer_ = std::move(observer);
  }
  void Start();
  // Ends all faults, for good, and starts what is down. What is broken already (power that is about
  // to fail) may still happen. The nodes in `dead` die and stay dead.
  void Stop(const std::vector<std::size_t>& dead);

  // How many came so far.
  std::uint64_t count(Fault fault) const { return counts_[static_cast<std::size_t>(fault)]; }
  // Nodes that need not come back: dead for good, or with a damaged disk.
  const std::set<std::size_t>& lost() const { return lost_; }
  // Who carries out faults that are orders: to change members, and to hand over.
  Operator& orders() { return operator_; }

 private:
  struct Effect {  // Of a fault of the network, while it lasts.
    TimedFault fault;
    bool is_on = true;
  };
  using Path = std::pair<std::size_t, std::size_t>;  // From, to.
  struct Node {
    Duration down_for = Milliseconds(100);  // How long it stays down when it dies.
    std::optional<Duration> start_at = {};  // While it is down.
    std::int64_t crashes_left = 0;          // Of a crash loop, with how many changes between.
    std::uint64_t changes = 0;
  };

  void Meet(const TimedFault& fault);
  void Bring(const TimedFault& fault);
  void BringToNetwork(const TimedFault& fault);
  void BringToProcess(const TimedFault& fault);
  void BringToClock(const TimedFault& fault);
  void BringToDisk(const TimedFault& fault);
  void BreakDisk(const TimedFault& fault);
  void Clog(const TimedFault& fault);
  void Flap(std::uint64_t effect);
  void Transfer(const TimedFault& fault);
  void Estrange(const TimedFault& fault);
  void SlowDown(const TimedFault& fault, bool stop);
  void SlowDisk(const TimedFault& fault);
  std::uint64_t Begin(const TimedFault& fault);
  void End(std::uint64_t effect);
  // Makes the network what the effects say.
  void Rewire();
  void AddCuts(const TimedFault& fault, std::set<Path>* cuts) const;
  static void Impair(const TimedFault& fault, LinkOptions* link);
  // Starts nodes again that are down.
  void Watch();
  void Down(std::size_t node, Duration span) { nodes_[node].down_for = span; }
  // Unless the faults are over by then.
  void Later(Duration delay, Task task);

  World& world_;
  Cluster& cluster_;
  const LinkOptions network_;
  const FaultScript script_;
  std::function<void(const TimedFault*)> observer_;
  std::array<std::uint64_t, kFaultKinds.size()> counts_ = {};
  std::vector<Node> nodes_;
  std::map<std::uint64_t, Effect> effects_;
  std::uint64_t next_effect_ = 1;
  std::set<Path> cut_;
  std::set<Path> held_;
  std::set<std::size_t> lost_;
  std::set<std::size_t> dead_;
  Operator operator_;
  bool stopped_ = false;
};

}  // namespace rutile::sim
