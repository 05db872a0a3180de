// Three nodes in one process agree on a number, while messages are lost and nodes crash.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "node.h"

namespace {

using counter::Disk;
using counter::Node;
using counter::Packet;
using rutile::PeerId;

// The nodes, their disks and the network between them, in a time that goes by as it is told.
class Cluster {
 public:
  Cluster() {
    for (const PeerId id : kIds) disks_[id].configuration.voters = {kIds, kIds + 3};
    for (const PeerId id : kIds) Start(id, true);
  }

  void Crash(PeerId id) { nodes_.erase(id); }
  void Start(PeerId id, bool first_start = false) {
    nodes_[id] = std::make_unique<Node>(
        id, disks_[id], first_start, now_,
        [this](PeerId to, Packet packet) { wire_.emplace_back(to, std::move(packet)); });
  }

  // Lets a tenth of a second go by: one tick, and whatever messages it causes. One in ten is lost.
  void Step() {
    now_ += rutile::Milliseconds(100);
    for (const auto& [id, node] : nodes_) node->Tick(now_);
    for (std::vector<std::pair<PeerId, Packet>> packets; !wire_.empty();) {
      packets = std::exchange(wire_, {});
      for (auto& [to, packet] : packets) {
        if (chance_.OneIn(10) || !nodes_.contains(to)) continue;
        nodes_.at(to)->Receive(now_, std::move(packet));
      }
    }
  }
  template <class Condition>
  void Until(const char* what, Condition condition) {
    for (int steps = 0; !condition(); ++steps) {
      if (steps == 10'000) {
        std::fprintf(stderr, "counter: waited too long until %s\n", what);
        std::exit(1);
      }
      Step();
    }
  }

  PeerId Leader() {
    PeerId leader;
    Until("there is a leader", [&] {
      for (const auto& [id, node] : nodes_) {
        if (node->is_leader()) leader = id;
      }
      return !leader.IsZero();
    });
    return leader;
  }
  // Adds 1, once. Whether an attempt that got no answer was made is not known: it is repeated under
  // its number, and the state machine sees to it that it counts once.
  void AddOne() {
    ++request_;
    for (const auto done = std::make_shared<bool>(false); !*done;) {
      if (!nodes_.at(Leader())->Add(now_, request_, 1, [done] { *done = true; })) continue;
      for (int steps = 0; !*done && steps < 50; ++steps) Step();
    }
  }
  std::int64_t Read() {
    std::int64_t value = 0;
    for (bool read = false; !read;) {
      bool answered = false;
      nodes_.begin()->second->Read(now_, [&](const std::int64_t* current) {
        answered = true;
        read = current != nullptr;
        if (read) value = *current;
      });
      Until("a read is answered", [&] { return answered; });
      if (!read) Step();
    }
    return value;
  }
  void Restart() {
    for (const PeerId id : kIds) {
      if (!nodes_.contains(id)) Start(id);
    }
  }
  void CompactAll() {
    for (const auto& [id, node] : nodes_) node->Compact();
  }
  bool AllHave(std::int64_t value) {
    for (const PeerId id : kIds) {
      if (!nodes_.contains(id) || nodes_.at(id)->counter().value != value) return false;
    }
    return true;
  }

 private:
  static constexpr PeerId kIds[] = {PeerId(1), PeerId(2), PeerId(3)};

  rutile::Instant now_ = rutile::Instant() + rutile::Seconds(1);
  rutile::SeededRandom chance_{42};
  std::uint64_t request_ = 0;
  std::map<PeerId, Disk> disks_;
  std::map<PeerId, std::unique_ptr<Node>> nodes_;
  std::vector<std::pair<PeerId, Packet>> wire_;
};

}  // namespace

int main() {
  Cluster cluster;
  std::int64_t expected = 0;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 10; ++i, ++expected) cluster.AddOne();
    const PeerId leader = cluster.Leader();
    cluster.Crash(leader);
    // The other two go on, and forget what the third has not seen: it will need a snapshot.
    for (int i = 0; i < 10; ++i, ++expected) cluster.AddOne();
    cluster.CompactAll();
    cluster.Restart();
    cluster.Until("all have the same", [&] { return cluster.AllHave(expected); });
    std::printf("%lld, after a crash of node %llu\n", static_cast<long long>(expected),
                static_cast<unsigned long long>(leader.value()));
  }
  const std::int64_t value = cluster.Read();
  std::printf("the counter is %lld on all three nodes\n", static_cast<long long>(value));
  return value == expected ? 0 : 1;
}
