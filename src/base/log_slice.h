#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/small_vector.h"

namespace rutile {

enum class EntryType : std::uint8_t {
  kEmpty = 0,   // What a leader appends first in its term. No payload.
  kNormal = 1,  // A command of the state machine.
  kConfig = 2,  // An encoded raft::Configuration, in force from the moment it is appended.
  // What a witness has in place of a kNormal entry of the same id: that it was there. No payload.
  // Only in the logs of witnesses and in appends to them; see raft_witness.cc.
  kStripped = 3,
};

// One entry of the log. Immutable once it is in a LogTail: it is copied by reference to its
// payload.
struct Entry {
  LogId id = {};
  EntryType type = EntryType::kEmpty;
  Bytes payload = {};

  // What the entry costs in memory, in messages and in quotas.
  std::size_t size_bytes() const { return kOverheadBytes + payload.size(); }
  static constexpr std::size_t kOverheadBytes = 32;

  friend bool operator==(const Entry&, const Entry&) = default;
};

// One entry needs no memory beside its payload: most writes and messages of a group that is not
// under load have one.
using Entries = SmallVector<Entry, 1>;

// Entries in order, together with the id of the entry before them.
//   (1) entries[i].id.index == prev.index + 1 + i
//   (2) terms never decrease, starting from prev.term
// Code that takes a slice from outside calls Validate(); code that is given one may rely on it.
struct LogSlice {
  LogId prev = {};
  Entries entries = {};

  bool empty() const { return entries.empty(); }
  LogId last() const { return entries.empty() ? prev : entries.back().id; }
  bool Validate() const;
};

}  // namespace rutile
