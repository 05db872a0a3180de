#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/kv_engine.h"

namespace rutile::store::testing {

// Passes everything on to another engine, keeps the batches that were written, and fails when told
// to. Of the thread that uses it.
class WatchedEngine final : public engine::KvEngine {
 public:
  explicit WatchedEngine(std::unique_ptr<engine::KvEngine> engine) : engine_(std::move(engine)) {}

  // In the order of writing.
  const std::vector<engine::WriteBatch>& batches() const { return batches_; }
  std::uint64_t flushes() const { return flushes_; }
  // The write after the next `writes` fails, and so do all that follow.
  void FailAfter(std::uint64_t writes) { writes_left_ = writes; }

  Status Write(const engine::WriteBatch& batch) override {
    if (writes_left_ && *writes_left_ == 0) return Status(Code::kIoError, "the engine is broken");
    if (writes_left_) --*writes_left_;
    batches_.push_back(batch);
    return engine_->Write(batch);
  }
  std::unique_ptr<const engine::Snapshot> GetSnapshot() const override {
    return engine_->GetSnapshot();
  }
  Result<std::optional<std::string>> Get(engine::Family family,
                                         std::string_view key) const override {
    return engine_->Get(family, key);
  }
  Status Flush() override {
    ++flushes_;
    return engine_->Flush();
  }
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
  std::vector<engine::WriteBatch> batches_;
  std::uint64_t flushes_ = 0;
  std::optional<std::uint64_t> writes_left_;
};

}  // namespace rutile::store::testing
