#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "engine/forwarding_engine.h"

namespace rutile::sim {

// An engine on whose writes somebody looks on, before they are made.
class ObservedEngine final : public engine::ForwardingEngine {
 public:
  using OnWrite = std::function<void(const engine::WriteBatch&)>;
  ObservedEngine(std::unique_ptr<engine::KvEngine> engine, OnWrite on_write)
      : ForwardingEngine(std::move(engine)), on_write_(std::move(on_write)) {}

  Status Write(const engine::WriteBatch& batch) override {
    on_write_(batch);
    return ForwardingEngine::Write(batch);
  }

 private:
  const OnWrite on_write_;
};

}  // namespace rutile::sim
