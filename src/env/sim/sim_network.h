#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/random.h"
#include "base/time.h"
#include "env/env.h"
#include "env/sim/world.h"

namespace rutile::sim {

// How messages fare on the way from one store to another.
struct LinkOptions {
  Duration min_delay = Microseconds(50);
  Duration max_delay = Microseconds(500);
  std::uint32_t loss_per_million = 0;
  std::uint32_t duplicate_per_million = 0;
  // So many are much later than the others, by up to `max_tail`.
  std::uint32_t tail_per_million = 0;
  Duration max_tail = {};
  // Messages arrive in the order in which they were sent, as on one connection; without it each
  // has a delay of its own.
  bool in_order = true;
  std::size_t max_queued_bytes = std::size_t{64} << 20;  // What is beyond is dropped.
  // Above zero: every message arrives once more, so much later, in the same order.
  Duration echo = {};
};

// The network between the stores of a world. Links are one-way: a store may hear and not be heard.
// The network outlives its transports.
class SimNetwork {
 public:
  explicit SimNetwork(World& world) : SimNetwork(world, LinkOptions()) {}
  SimNetwork(World& world, const LinkOptions& defaults);
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  // The transport of a process. While it lives it is where messages to `store` go; there is one at
  // a time. What is on its way outlives the sender's process, and reaches the receiver's next one.
  std::unique_ptr<Transport> NewTransport(StoreId store);

  void SetLink(StoreId from, StoreId to, const LinkOptions& options);
  void SetAllLinks(const LinkOptions& options);

  // Loses what is sent from now on, and what is on its way.
  void Cut(StoreId from, StoreId to);
  void Heal(StoreId from, StoreId to);
  // Both directions between each store of `a` and each of `b`.
  void Partition(const std::set<StoreId>& a, const std::set<StoreId>& b);
  void HealAll();

  // What arrives from now on waits at the receiver's door until Release, and then arrives in one
  // burst, at whoever listens there by then.
  void Hold(StoreId from, StoreId to);
  void Release(StoreId from, StoreId to);

  struct Counts {
    std::uint64_t sent = 0;
    std::uint64_t delivered = 0;  // Duplicates included.
    std::uint64_t lost = 0;       // For whatever reason.
  };
  const Counts& counts() const { return counts_; }

 private:
  class SimTransport;
  using Path = std::pair<StoreId, StoreId>;  // From, to.
  struct Waiting {
    std::shared_ptr<const std::string> message;
    std::uint64_t cuts = 0;  // Of the link when the message was sent.
  };
  struct Link {
    std::size_t queued_bytes = 0;
    Duration last_arrival = {};
    std::uint64_t cuts = 0;  // A message sent before the last cut is lost.
    bool is_cut = false;
    bool is_held = false;
    std::vector<Waiting> waiting = {};  // While it is held.
  };

  void Send(StoreId from, StoreId to, std::string message);
  void Launch(const Path& path, const std::shared_ptr<const std::string>& message);
  void Arrive(const Path& path, const Waiting& arriving);
  const LinkOptions& OptionsOf(const Path& path) const;

  World& world_;
  SeededRandom random_;
  LinkOptions defaults_;
  std::map<Path, LinkOptions> options_;
  std::map<Path, Link> links_;
  std::map<StoreId, SimTransport*> transports_;
  Counts counts_;
};

}  // namespace rutile::sim
