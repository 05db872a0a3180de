#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/time.h"
#include "env/sim/world.h"
#include "sim/cluster.h"
#include "store/member_change.h"
#include "store/read_gate.h"

namespace rutile::sim {

// Has the group of the user's data change its members, and hand over its leadership, as people who
// run a cluster might. A function of what it is asked and of what the cluster does: it draws
// nothing.
//
// What is asked is chosen, by a number, from all that makes sense at that moment; what is refused
// is asked again, and something else instead.
class Operator {
 public:
  // Both outlive it. It must not be destroyed before the world has stopped.
  Operator(World& world, Cluster& cluster) : world_(world), cluster_(cluster) {}

  // Nodes that may be lost, a minority of those with data: the data never come to depend on them.
  void SetFragile(const std::set<std::size_t>& nodes) { fragile_ = nodes; }

  // One change of members, tried for `span` and at least some seconds.
  void ChangeMembers(std::uint64_t choice, Duration span);
  // The leadership goes to a voter, of `wish` if it has one. Tried once.
  void Transfer(std::uint64_t wish);
  // Ends all that is being tried.
  void Stop() { ++round_; }
  // A change and a transfer, tried until each has taken effect once more. Whatever was asked before
  // is ended. All nodes are up except those in `gone`.
  void DemandBoth(const std::set<std::size_t>& gone);

  // How often the configuration changed, the leaving of joint ones included, as far as any node
  // that is up has applied it.
  std::uint64_t changes() const;
  // How often the leadership went where it was told to go.
  std::uint64_t transfers() const { return transfers_; }

 private:
  using Steps = std::vector<store::MemberStep>;
  using Answer = std::shared_ptr<std::optional<bool>>;  // Whether what was asked is done.

  std::optional<store::GateState> Leader() const;
  bool MayVote(const store::Region& region, const Steps& steps) const;
  // All that makes sense, kind by kind; no kind is empty.
  std::vector<std::vector<Steps>> Sensible(const store::Region& region) const;
  // One of these; nothing while there are none, or the last change is still under way.
  Steps Choose(const store::Region& region, std::uint64_t number) const;
  void TryChange(std::uint64_t choice, Duration until);
  void AwaitChange(std::uint64_t choice, Duration until, const Answer& answer);
  // Adds a replica and, when it has caught up, removes a voter in its favour.
  void Move(std::uint64_t choice, PeerId to, Duration until);
  // To whoever leads by `gate`, for the region as it is there.
  Answer Propose(const store::GateState& gate, Steps steps);
  void AwaitTransfer(PeerId to, Term after, Duration until);
  void Demand(std::uint64_t attempt, std::uint64_t changes, std::uint64_t transfers);
  // What brings the leadership to somebody else, in the end.
  void DemandTransfer(const store::GateState& gate, std::uint64_t attempt);
  // Unless Stop() is called before.
  void Later(Duration delay, Task task);

  World& world_;
  Cluster& cluster_;
  std::set<std::size_t> fragile_;
  std::set<std::size_t> gone_;
  std::uint64_t next_peer_ = 10'000;  // As if placement had given them out.
  std::uint64_t transfers_ = 0;
  std::uint64_t round_ = 0;
};

}  // namespace rutile::sim
