#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "store/region.h"
#include "store/region_marks.h"
#include "store/state_machine.h"

namespace rutile::store {

// The state machine of a region of users' keys: applies Commands to the engine.
class KvStateMachine final : public StateMachine {
 public:
  explicit KvStateMachine(Region region) : region_(std::move(region)) {}

  Result<WriteOutcome> Apply(LogId id, std::string_view command, ApplyBatch& batch) override;
  std::vector<DataRange> Ranges() const override;
  Status Load(engine::KvEngine& engine) override;

 private:
  Result<CommandResult> ApplyCompareAndSwap(const Command& command, const Mutation& mutation,
                                            ApplyBatch& batch) const;

  Result<RegionMarks> Marks(ApplyBatch& batch) const;
  Status RaiseSafePoint(const Mutation& mutation, ApplyBatch& batch) const;
  Status SetFlashback(const Mutation& mutation, ApplyBatch& batch);
  // Why the command changes nothing: a flashback keeps others out.
  Result<std::optional<RegionError>> Refusal(const Command& command) const;

  Region region_;
  FlashbackState flashback_;  // As of the last entry applied.
};

}  // namespace rutile::store
