#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "store/region.h"

namespace rutile::store {

// One change of a region's data. Keys are users' keys; values are as the engine shall hold them.
struct Mutation {
  enum class Kind : std::uint8_t {
    kPut = 1,
    kDelete = 2,
    kDeleteRange = 3,     // [key, value)
    kCompareAndSwap = 4,  // Raw: compares the live user value, see RawValue.
    // The region's safe point becomes `value` (see safe_point.h) if it is lower. `key` is any of
    // the region's.
    kRaiseSafePoint = 5,
    // How far the region is with a flashback (see region_marks.h): `value`. Goes through whatever
    // it was if it begins one; otherwise it must be the one that is in progress. `key` as above.
    kSetFlashback = 6,
    // First in a command: the others are of the flashback that started at `value`, and no others
    // go through while there is one. `key` as above.
    kOfFlashback = 7,
  };
  Kind kind = Kind::kPut;
  engine::Family family = engine::Family::kDefault;
  std::string key = {};
  std::string value = {};
  // kCompareAndSwap only.
  std::optional<std::string> expected = {};  // User value; nothing: the key must be absent.
  bool swap_deletes = false;                 // On a match the key is deleted instead.
};

// What one log entry of a region does: all its mutations or, on an epoch mismatch, none.
struct Command {
  RegionEpoch epoch = {};  // The proposer's; checked again when applied.
  // The proposer's wall clock, in seconds: what "expired" means to every replica that applies it.
  std::uint64_t now_seconds = 0;
  std::vector<Mutation> mutations = {};

  std::size_t size_bytes() const;
};

// The stored form; docs/formats/command.md.
std::string EncodeCommand(const Command& command);
Result<Command> DecodeCommand(std::string_view bytes);

// What applying a command gave back to its proposer.
struct CommandResult {
  bool swapped = false;                      // kCompareAndSwap.
  std::optional<std::string> previous = {};  // kCompareAndSwap: the live value before it.
  std::string payload = {};                  // What a state machine of another kind answers.
};

}  // namespace rutile::store
