#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "codec/integers.h"

namespace rutile::placement {

// A part of the keys of a cluster of API version V2 that has a name of its own. It exists as long
// as the cluster does: an id is never given twice, so that nobody finds another's keys.
struct Keyspace {
  // As clients of PD know them. It says what others think of the keyspace; stores serve all.
  enum class State : std::uint8_t { kEnabled = 0, kDisabled = 1, kArchived = 2, kTombstone = 3 };

  std::uint32_t id = 0;
  std::string name = {};
  State state = State::kEnabled;
  std::uint64_t created_at = 0;  // Seconds since 1970, as the two below.
  std::uint64_t state_changed_at = 0;
  std::map<std::string, std::string> config = {};  // What clients read; means nothing here.

  friend bool operator==(const Keyspace&, const Keyspace&) = default;
};

// The keyspace that is there from the beginning. It keeps its state.
inline constexpr std::uint32_t kDefaultKeyspaceId = 0;
inline constexpr std::string_view kDefaultKeyspaceName = "DEFAULT";

using Keyspaces = std::map<std::uint32_t, Keyspace>;
// With the default one alone.
Keyspaces NewKeyspaces();
// Null: there is none.
const Keyspace* FindKeyspace(const Keyspaces& keyspaces, std::string_view name);
const Keyspace* FindKeyspace(const Keyspaces& keyspaces, std::uint32_t id);

// Whether a new keyspace may be called that: 1 to 20 letters, digits, '-' and '_'.
Status CheckKeyspaceName(std::string_view name);
// Whether a keyspace may go from one state to the other: it is disabled before it is archived, and
// archived before it is a tombstone; only the first of these ways leads back.
bool MayChange(Keyspace::State from, Keyspace::State to);

std::string_view ToString(Keyspace::State state);

// What came of a command about a keyspace.
struct KeyspaceOutcome {
  enum class Kind : std::uint8_t {
    kDone = 0,  // `keyspace` is how it is now. For all others nothing has changed.
    kExists = 1,
    kNotFound = 2,
    kRefused = 3,  // It may not go from its state, which `keyspace` has, to the one asked for.
    kNoIdLeft = 4,
  };
  Kind kind = Kind::kDone;
  Keyspace keyspace = {};

  friend bool operator==(const KeyspaceOutcome&, const KeyspaceOutcome&) = default;
};

void PutKeyspace(std::string* out, const Keyspace& keyspace);
Keyspace GetKeyspace(codec::Reader& reader);
std::string EncodeKeyspaceOutcome(const KeyspaceOutcome& outcome);
Result<KeyspaceOutcome> DecodeKeyspaceOutcome(std::string_view bytes);

// The commands, applied. `now_seconds` is whoever's asked: the state machine has no clock.
KeyspaceOutcome CreateIn(Keyspaces* keyspaces, std::string_view name,
                         const std::map<std::string, std::string>& config,
                         std::uint64_t now_seconds);
KeyspaceOutcome ChangeIn(Keyspaces* keyspaces, std::uint32_t id, Keyspace::State state,
                         std::uint64_t now_seconds);

}  // namespace rutile::placement
