#include "store/kv_state_machine.h"

#include <string>
#include <utility>

#include "codec/keys.h"
#include "store/raw_value.h"

namespace rutile::store {

Result<WriteOutcome> KvStateMachine::Apply(LogId /*id*/, std::string_view bytes,
                                           ApplyBatch& batch) {
  RUTILE_ASSIGN_OR_RETURN(const Command command, DecodeCommand(bytes));
  // The region may have changed between proposal and apply; every replica sees the same order.
  if (command.epoch.version != region_.epoch.version) {
    return WriteOutcome(RegionError(EpochNotMatch{{region_}}));
  }
  RUTILE_ASSIGN_OR_RETURN(std::optional<RegionError> refusal, Refusal(command));
  if (refusal) return WriteOutcome(*std::move(refusal));
  CommandResult result;
  for (const Mutation& mutation : command.mutations) {
    engine::WriteBatch& changes = batch.changes();
    switch (mutation.kind) {
      case Mutation::Kind::kPut:
        changes.Put(mutation.family, codec::DataKey(mutation.key), mutation.value);
        break;
      case Mutation::Kind::kDelete:
        changes.Delete(mutation.family, codec::DataKey(mutation.key));
        break;
      case Mutation::Kind::kDeleteRange:
        changes.DeleteRange(mutation.family, codec::DataKey(mutation.key),
                            codec::DataEndKey(mutation.value));
        break;
      case Mutation::Kind::kCompareAndSwap: {
        RUTILE_ASSIGN_OR_RETURN(result, ApplyCompareAndSwap(command, mutation, batch));
        break;
      }
      case Mutation::Kind::kRaiseSafePoint: {
        RUTILE_RETURN_IF_ERROR(RaiseSafePoint(mutation, batch));
        break;
      }
      case Mutation::Kind::kSetFlashback: {
        RUTILE_RETURN_IF_ERROR(SetFlashback(mutation, batch));
        break;
      }
      case Mutation::Kind::kOfFlashback: break;
    }
  }
  return WriteOutcome(std::move(result));
}

Result<CommandResult> KvStateMachine::ApplyCompareAndSwap(const Command& command,
                                                          const Mutation& mutation,
                                                          ApplyBatch& batch) const {
  const std::string key = codec::DataKey(mutation.key);
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> stored, batch.Get(mutation.family, key));
  CommandResult result;
  if (stored) {
    RUTILE_ASSIGN_OR_RETURN(const RawValue raw, DecodeRawValue(*stored));
    if (raw.IsLive(command.now_seconds)) result.previous = std::string(raw.value);
  }
  result.swapped = result.previous == mutation.expected;
  if (!result.swapped) return result;
  if (mutation.swap_deletes) {
    batch.changes().Delete(mutation.family, key);
  } else {
    batch.changes().Put(mutation.family, key, mutation.value);
  }
  return result;
}

Result<RegionMarks> KvStateMachine::Marks(ApplyBatch& batch) const {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                          batch.Get(engine::Family::kMeta, codec::SafePointKey(region_.id)));
  if (!stored) return RegionMarks();
  return DecodeMarks(*stored);
}

Status KvStateMachine::RaiseSafePoint(const Mutation& mutation, ApplyBatch& batch) const {
  RUTILE_ASSIGN_OR_RETURN(const mvcc::Timestamp raised, DecodeMark(mutation.value));
  RUTILE_ASSIGN_OR_RETURN(RegionMarks marks, Marks(batch));
  if (marks.safe_point >= raised) return {};
  marks.safe_point = raised;
  batch.NoteMarks();
  batch.changes().Put(engine::Family::kMeta, codec::SafePointKey(region_.id), EncodeMarks(marks));
  return {};
}

Status KvStateMachine::SetFlashback(const Mutation& mutation, ApplyBatch& batch) {
  RUTILE_ASSIGN_OR_RETURN(RegionMarks marks, Marks(batch));
  RUTILE_ASSIGN_OR_RETURN(marks.flashback, DecodeFlashback(mutation.value));
  flashback_ = marks.flashback;
  batch.NoteMarks();
  batch.changes().Put(engine::Family::kMeta, codec::SafePointKey(region_.id), EncodeMarks(marks));
  return {};
}

Result<std::optional<RegionError>> KvStateMachine::Refusal(const Command& command) const {
  mvcc::Timestamp flashback;
  if (!command.mutations.empty()) {
    const Mutation& first = command.mutations.front();
    if (first.kind == Mutation::Kind::kSetFlashback) {
      RUTILE_ASSIGN_OR_RETURN(const FlashbackState state, DecodeFlashback(first.value));
      if (state.stage == FlashbackState::Stage::kBegun) return std::optional<RegionError>();
      flashback = state.start;
    }
    if (first.kind == Mutation::Kind::kOfFlashback) {
      RUTILE_ASSIGN_OR_RETURN(flashback, DecodeMark(first.value));
    }
  }
  return RefusedBy(flashback_, region_.id, flashback);
}

std::vector<DataRange> KvStateMachine::Ranges() const {
  std::vector<DataRange> ranges;
  for (const engine::Family family :
       {engine::Family::kDefault, engine::Family::kLock, engine::Family::kWrite}) {
    ranges.push_back(
        {family, codec::DataKey(region_.start_key), codec::DataEndKey(region_.end_key)});
  }
  const std::string safe_point = codec::SafePointKey(region_.id);
  ranges.push_back({engine::Family::kMeta, safe_point, safe_point + '\0'});
  return ranges;
}

Status KvStateMachine::Load(engine::KvEngine& engine) {
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> stored,
                          engine.Get(engine::Family::kMeta, codec::RegionKey(region_.id)));
  if (stored) {
    RUTILE_ASSIGN_OR_RETURN(region_, DecodeRegion(*stored));
  }
  RUTILE_ASSIGN_OR_RETURN(const std::optional<std::string> marks,
                          engine.Get(engine::Family::kMeta, codec::SafePointKey(region_.id)));
  flashback_ = {};
  if (marks) {
    RUTILE_ASSIGN_OR_RETURN(const RegionMarks known, DecodeMarks(*marks));
    flashback_ = known.flashback;
  }
  return {};
}

}  // namespace rutile::store
