#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/kv_engine.h"

namespace rutile::engine {

// Passes everything on to an engine that it owns. For those who look on at some of it: they derive,
// and override what concerns them.
class ForwardingEngine : public KvEngine {
 public:
  explicit ForwardingEngine(std::unique_ptr<KvEngine> engine) : engine_(std::move(engine)) {}

  Status Write(const WriteBatch& batch) override { return engine_->Write(batch); }
  std::unique_ptr<const Snapshot> GetSnapshot() const override { return engine_->GetSnapshot(); }
  Result<std::optional<std::string>> Get(Family family, std::string_view key) const override {
    return engine_->Get(family, key);
  }
  Status Flush() override { return engine_->Flush(); }
  std::uint64_t WrittenSequence() const override { return engine_->WrittenSequence(); }
  std::uint64_t DurableSequence() const override { return engine_->DurableSequence(); }
  void SetFilter(std::shared_ptr<RecordFilter> filter) override {
    engine_->SetFilter(std::move(filter));
  }
  Status Compact(Family family, const Bounds& bounds) override {
    return engine_->Compact(family, bounds);
  }
  std::uint64_t ApproximateBytes(Family family, const Bounds& bounds) const override {
    return engine_->ApproximateBytes(family, bounds);
  }
  std::vector<std::pair<std::string, std::uint64_t>> Statistics() const override {
    return engine_->Statistics();
  }

 private:
  const std::unique_ptr<KvEngine> engine_;
};

}  // namespace rutile::engine
