#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/forwarding_engine.h"

namespace rutile::store::testing {

// Keeps the batches that were written, and fails when told to. Of the thread that uses it.
class WatchedEngine final : public engine::ForwardingEngine {
 public:
  explicit WatchedEngine(std::unique_ptr<engine::KvEngine> engine)
      : ForwardingEngine(std::move(engine)) {}

  // In the order of writing.
  const std::vector<engine::WriteBatch>& batches() const { return batches_; }
  std::uint64_t flushes() const { return flushes_; }
  // The write after the next `writes` fails, and so do all that follow.
  void FailAfter(std::uint64_t writes) { writes_left_ = writes; }

  Status Write(const engine::WriteBatch& batch) override {
    if (writes_left_ && *writes_left_ == 0) return Status(Code::kIoError, "the engine is broken");
    if (writes_left_) --*writes_left_;
    batches_.push_back(batch);
    return ForwardingEngine::Write(batch);
  }
  Status Flush() override {
    ++flushes_;
    return ForwardingEngine::Flush();
  }

 private:
  std::vector<engine::WriteBatch> batches_;
  std::uint64_t flushes_ = 0;
  std::optional<std::uint64_t> writes_left_;
};

}  // namespace rutile::store::testing
