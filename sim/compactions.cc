#include "sim/compactions.h"

#include <string>

namespace rutile::sim {

using engine::Family;

Compactions::Compactions(World& world, Cluster& cluster, const Options& options, std::uint64_t seed)
    : world_(world), cluster_(cluster), options_(options), random_(seed ^ 0xC0A9u) {}

void Compactions::Start() {
  if (options_.interval > Duration()) Next();
}

void Compactions::Next() {
  const auto most = static_cast<std::uint64_t>(2 * options_.interval.count());
  world_.After(Duration(static_cast<Duration::rep>(random_.Below(most + 1))), [this] {
    Compact(random_.Below(cluster_.size()));
    Next();
  });
}

void Compactions::Compact(std::size_t node) {
  if (!cluster_.is_up(node)) return;
  // On a thread of the process, for which the disk takes its time.
  cluster_.requests(node).Post([this, node, boot = cluster_.machine(node).boots()] {
    if (!cluster_.is_up(node) || cluster_.machine(node).boots() != boot) return;
    node::Node& running = *cluster_.node(node);
    const engine::Bounds part = AnyPart(*running.engine().GetSnapshot());
    // A disk that does not take it leaves all as it was.
    static_cast<void>(running.Compact(Family::kWrite, part));
  });
}

engine::Bounds Compactions::AnyPart(const engine::Snapshot& snapshot) {
  constexpr std::uint64_t kMostRecords = 200;
  engine::Bounds part;
  const auto iterator = snapshot.NewIterator(Family::kWrite, {});
  iterator->Seek("");
  const auto forward = [&] {
    for (std::uint64_t n = random_.Below(kMostRecords); n > 0 && iterator->Valid(); --n) {
      iterator->Next();
    }
    return iterator->Valid() ? std::string(iterator->key()) : std::string();
  };
  part.lower = forward();
  part.upper = forward();
  return part;
}

}  // namespace rutile::sim
