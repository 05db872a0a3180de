#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/kv_engine.h"

namespace rutile::sim {

// An engine on whose writes somebody looks on, before they are made.
class ObservedEngine final : public engine::KvEngine {
 public:
  using OnWrite = std::function<void(const engine::WriteBatch&)>;
  ObservedEngine(std::unique_ptr<engine::KvEngine> engine, OnWrite on_write)
      : engine_(std::move(engine)), on_write_(std::move(on_write)) {}

  Status Write(const engine::WriteBatch& batch) override {
    on_write_(batch);
    return engine_->Write(batch);
  }
  std::unique_ptr<const engine::Snapshot> GetSnapshot() const override {
    return engine_->GetSnapshot();
  }
  Result<std::optional<std::string>> Get(engine::Family family,
                                         std::string_view key) const override {
    return engine_->Get(family, key);
  }
  Status Flush() override { return engine_->Flush(); }
  std::uint64_t WrittenSequence() const override { return engine_->WrittenSequence(); }
  std::uint64_t DurableSequence() const override { return engine_->DurableSequence(); }
  std::uint64_t ApproximateBytes(engine::Family family,
                                 const engine::Bounds& bounds) const override {
    return engine_->ApproximateBytes(family, bounds);
  }
  std::vector<std::pair<std::string, std::uint64_t>> Statistics() const override {
    return engine_->Statistics();
  }

 private:
  const std::unique_ptr<engine::KvEngine> engine_;
  const OnWrite on_write_;
};

}  // namespace rutile::sim
