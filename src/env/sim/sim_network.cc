#include "env/sim/sim_network.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::sim {

class SimNetwork::SimTransport final : public Transport {
 public:
  SimTransport(SimNetwork& network, StoreId store) : network_(network), store_(store) {
    const bool is_new = network_.transports_.emplace(store, this).second;
    RUTILE_CHECK(is_new, "a store has one transport at a time");
  }
  ~SimTransport() override { network_.transports_.erase(store_); }

  void Start(Receiver receiver) override {
    RUTILE_CHECK(!receiver_);
    receiver_ = std::move(receiver);
  }
  void Send(StoreId to, std::string message) override {
    network_.Send(store_, to, std::move(message));
  }

  // False before Start: a process that does not listen yet.
  bool Deliver(StoreId from, std::string_view message) {
    if (!receiver_) return false;
    receiver_(from, message);
    return true;
  }

 private:
  SimNetwork& network_;
  const StoreId store_;
  Receiver receiver_;
};

SimNetwork::SimNetwork(World& world, const LinkOptions& defaults)
    : world_(world), random_(world.NewRandom()), defaults_(defaults) {}

SimNetwork::~SimNetwork() = default;

std::unique_ptr<Transport> SimNetwork::NewTransport(StoreId store) {
  return std::make_unique<SimTransport>(*this, store);
}

const LinkOptions& SimNetwork::OptionsOf(const Path& path) const {
  const auto found = options_.find(path);
  return found != options_.end() ? found->second : defaults_;
}

void SimNetwork::Send(StoreId from, StoreId to, std::string message) {
  ++counts_.sent;
  const Path path(from, to);
  const LinkOptions& options = OptionsOf(path);
  Link& link = links_[path];
  const auto happens = [&](std::uint32_t per_million) {
    return per_million > 0 && random_.Below(1'000'000) < per_million;
  };
  if (link.is_cut || happens(options.loss_per_million) ||
      link.queued_bytes + message.size() > options.max_queued_bytes) {
    ++counts_.lost;
    return;
  }
  const auto shared = std::make_shared<const std::string>(std::move(message));
  Launch(path, shared);
  if (happens(options.duplicate_per_million)) Launch(path, shared);
  if (options.echo > Duration(0)) {
    world_.After(options.echo, [this, path, shared] {
      if (!links_[path].is_cut) Launch(path, shared);
    });
  }
}

void SimNetwork::Launch(const Path& path, const std::shared_ptr<const std::string>& message) {
  const LinkOptions& options = OptionsOf(path);
  Link& link = links_[path];
  const auto width = static_cast<std::uint64_t>((options.max_delay - options.min_delay).count());
  Duration arrival = world_.Now() + options.min_delay +
                     Duration(static_cast<Duration::rep>(random_.Below(width + 1)));
  if (options.tail_per_million > 0 && random_.Below(1'000'000) < options.tail_per_million) {
    arrival += Duration(static_cast<Duration::rep>(
        random_.Below(static_cast<std::uint64_t>(options.max_tail.count()) + 1)));
  }
  if (options.in_order) arrival = std::max(arrival, link.last_arrival);
  link.last_arrival = std::max(arrival, link.last_arrival);
  link.queued_bytes += message->size();
  world_.After(arrival - world_.Now(), [this, path, arriving = Waiting{message, link.cuts}] {
    Link& reached = links_[path];
    if (reached.is_held) {
      reached.waiting.push_back(arriving);
    } else {
      Arrive(path, arriving);
    }
  });
}

void SimNetwork::Arrive(const Path& path, const Waiting& arriving) {
  Link& link = links_[path];
  link.queued_bytes -= arriving.message->size();
  const auto to = transports_.find(path.second);
  if (link.cuts != arriving.cuts || to == transports_.end() ||
      !to->second->Deliver(path.first, *arriving.message)) {
    ++counts_.lost;
    return;
  }
  ++counts_.delivered;
  world_.Note(*arriving.message);
}

void SimNetwork::Hold(StoreId from, StoreId to) { links_[Path(from, to)].is_held = true; }

void SimNetwork::Release(StoreId from, StoreId to) {
  const Path path(from, to);
  Link& link = links_[path];
  link.is_held = false;
  for (Waiting& arriving : std::exchange(link.waiting, {})) {
    world_.After(Duration(0),
                 [this, path, arriving = std::move(arriving)] { Arrive(path, arriving); });
  }
}

void SimNetwork::SetLink(StoreId from, StoreId to, const LinkOptions& options) {
  options_[Path(from, to)] = options;
}

void SimNetwork::SetAllLinks(const LinkOptions& options) {
  defaults_ = options;
  options_.clear();
}

void SimNetwork::Cut(StoreId from, StoreId to) {
  Link& link = links_[Path(from, to)];
  link.is_cut = true;
  ++link.cuts;
}

void SimNetwork::Heal(StoreId from, StoreId to) { links_[Path(from, to)].is_cut = false; }

void SimNetwork::Partition(const std::set<StoreId>& a, const std::set<StoreId>& b) {
  for (const StoreId one : a) {
    for (const StoreId other : b) {
      if (one == other) continue;
      Cut(one, other);
      Cut(other, one);
    }
  }
}

void SimNetwork::HealAll() {
  for (auto& [path, link] : links_) link.is_cut = false;
}

}  // namespace rutile::sim
