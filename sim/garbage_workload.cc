#include "sim/garbage_workload.h"

#include "base/status.h"

namespace rutile::sim {

GarbageWorkload::GarbageWorkload(World& world, Cluster& cluster, const Options& options)
    : random_(world.NewRandom()), network_(world, cluster, options.max_one_way) {
  if (options.interval <= Duration()) return;
  const client::GarbageKeeper::Node node = {.makes_rounds = [] { return true; },
                                            .on_round =
                                                [this](const Result<client::GarbageRound>& round) {
                                                  if (round.ok() && round.value().is_raised)
                                                    ++raised_;
                                                }};
  keeper_ = std::make_unique<client::GarbageKeeper>(
      client::GarbageOptions{.client = {.endpoints = network_.Endpoints(0),
                                        .timeout = 5 * options.timeout,
                                        .attempt_timeout = options.timeout},
                             .life = options.life,
                             .batch_locks = options.batch_locks},
      options.interval, node, network_.Connector([](StoreId) {}), network_.clock(), random_,
      network_.executor());
}

void GarbageWorkload::Start() {
  if (keeper_ != nullptr) keeper_->Start();
}

void GarbageWorkload::Stop() {
  if (keeper_ != nullptr) keeper_->Stop();
}

}  // namespace rutile::sim
