#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/task.h"
#include "engine/kv_engine.h"
#include "store/command.h"
#include "store/region_error.h"

namespace rutile::store {

// A part of the engine that belongs to one group: [begin, end) of a family.
struct DataRange {
  engine::Family family = engine::Family::kDefault;
  std::string begin = {};
  std::string end = {};
};

// How a write ended, for the one who asked for it.
using WriteOutcome = std::variant<CommandResult, RegionError>;
using WriteDone = UniqueFunction<void(WriteOutcome)>;

// Where a state machine puts its changes. They reach the engine together with the position in the
// log that they bring it to, so that no entry is ever applied twice or left out.
class ApplyBatch {
 public:
  virtual ~ApplyBatch() = default;
  virtual engine::WriteBatch& changes() = 0;
  // Reads with all entries before the current one applied. (What the current entry itself has put
  // into changes() is not seen.)
  virtual Result<std::optional<std::string>> Get(engine::Family family, std::string_view key) = 0;
  // The changes have, or will have, some of the region's marks: see MarksCache.
  virtual void NoteMarks() {}
};

// What the commands in a group's log mean. Deterministic: the same entries from the same state give
// the same state on every replica. Runs on the group's apply executor only, except for what an
// implementation says otherwise.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  // A command that does not make sense changes nothing and gives an error; it never fails the
  // group. A failed Status means that the engine could not be read: the node must stop.
  virtual Result<WriteOutcome> Apply(LogId id, std::string_view command, ApplyBatch& batch) = 0;
  // What a snapshot of the group consists of.
  virtual std::vector<DataRange> Ranges() const = 0;
  // Reads from the engine whatever it keeps in memory: at start and after a snapshot was installed.
  virtual Status Load(engine::KvEngine& engine) = 0;
};

}  // namespace rutile::store
