#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "wal/format.h"

// What recovery does at one place of the log, as a table. docs/design/wal-recovery.md argues for
// each row.
namespace rutile::wal {

// What stands at the place where the next batch would begin.
enum class Found : std::uint8_t {
  kNothing,    // No batch was begun here by this life of the file.
  kBroken,     // A batch was begun here; its header or its items do not verify.
  kHoled,      // The next in sequence, and it is known whose entries it has; but one of its
               // payload blocks does not verify.
  kWhole,      // A batch that verifies in full and is the next one in sequence.
  kMisplaced,  // A header that verifies but cannot stand here: a wrong number, or beyond the end.
};

struct Facts {
  // A later segment says where the log ends in this one. It was synced up to there.
  bool sealed = false;
  // Sealed: the place is that end. Otherwise: no batch fits behind it.
  bool at_end = false;
  Found found = Found::kNothing;
  // A header behind this place verifies.
  bool valid_behind = false;
  // One of those says that this place was synced when it was written.
  bool synced = false;

  friend bool operator==(const Facts&, const Facts&) = default;
};

enum class Decision : std::uint8_t {
  kKeep,      // Take the batch and go on behind it.
  kEnd,       // The log ends here, and nothing is lost.
  kRepair,    // Take the batch and go on behind it, and report the entries that it has lost.
  kDropTail,  // The log ends here; what was begun behind it was never acknowledged.
  kCorrupt,   // What was durable does not verify, and nobody knows what it was. Do not start.
};

// One row; an unset field matches both.
struct Row {
  std::string_view name;
  std::optional<bool> sealed, at_end;
  std::optional<Found> found;
  std::optional<bool> valid_behind, synced;
  Decision decision;

  bool Matches(const Facts& facts) const;
};
std::span<const Row> RecoveryTable();

// Whether the facts can be true together: `synced` is said by a header behind.
bool Possible(const Facts& facts);
// The one row that matches. Requires Possible(facts).
const Row& Decide(const Facts& facts);

}  // namespace rutile::wal
