#include "placement/keyspace.h"

#include <algorithm>
#include <utility>

#include "codec/api_version.h"

namespace rutile::placement {
namespace {

using OutcomeKind = KeyspaceOutcome::Kind;
using KeyspaceState = Keyspace::State;

constexpr std::size_t kMaxNameBytes = 20;

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

}  // namespace

Keyspaces NewKeyspaces() {
  return {
      {kDefaultKeyspaceId, {.id = kDefaultKeyspaceId, .name = std::string(kDefaultKeyspaceName)}}};
}

const Keyspace* FindKeyspace(const Keyspaces& keyspaces, std::string_view name) {
  const auto found = std::ranges::find_if(
      keyspaces, [name](const auto& keyspace) { return keyspace.second.name == name; });
  return found == keyspaces.end() ? nullptr : &found->second;
}

const Keyspace* FindKeyspace(const Keyspaces& keyspaces, std::uint32_t id) {
  const auto found = keyspaces.find(id);
  return found == keyspaces.end() ? nullptr : &found->second;
}

Status CheckKeyspaceName(std::string_view name) {
  if (!name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, IsNameByte)) {
    return {};
  }
  return Status(Code::kInvalidArgument,
                "'" + std::string(name) + "' is no name for a keyspace: 1 to " +
                    std::to_string(kMaxNameBytes) + " letters, digits, '-' and '_' are");
}

bool MayChange(KeyspaceState from, KeyspaceState to) {
  if (from == to) return true;
  switch (from) {
    case KeyspaceState::kEnabled: return to == KeyspaceState::kDisabled;
    case KeyspaceState::kDisabled:
      return to == KeyspaceState::kEnabled || to == KeyspaceState::kArchived;
    case KeyspaceState::kArchived: return to == KeyspaceState::kTombstone;
    case KeyspaceState::kTombstone: return false;
  }
  return false;
}

std::string_view ToString(KeyspaceState state) {
  switch (state) {
    case KeyspaceState::kEnabled: return "ENABLED";
    case KeyspaceState::kDisabled: return "DISABLED";
    case KeyspaceState::kArchived: return "ARCHIVED";
    case KeyspaceState::kTombstone: return "TOMBSTONE";
  }
  return "?";
}

void PutKeyspace(std::string* out, const Keyspace& keyspace) {
  codec::PutVarint(out, keyspace.id);
  codec::PutBytes(out, keyspace.name);
  codec::PutFixed8(out, static_cast<std::uint8_t>(keyspace.state));
  codec::PutVarint(out, keyspace.created_at);
  codec::PutVarint(out, keyspace.state_changed_at);
  codec::PutVarint(out, keyspace.config.size());
  for (const auto& [key, value] : keyspace.config) {
    codec::PutBytes(out, key);
    codec::PutBytes(out, value);
  }
}

Keyspace GetKeyspace(codec::Reader& reader) {
  Keyspace keyspace;
  keyspace.id = static_cast<std::uint32_t>(reader.Varint());
  keyspace.name = reader.Bytes();
  keyspace.state = static_cast<KeyspaceState>(reader.Fixed8());
  keyspace.created_at = reader.Varint();
  keyspace.state_changed_at = reader.Varint();
  for (std::uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    std::string key(reader.Bytes());
    keyspace.config[std::move(key)] = reader.Bytes();
  }
  return keyspace;
}

std::string EncodeKeyspaceOutcome(const KeyspaceOutcome& outcome) {
  std::string out;
  codec::PutFixed8(&out, static_cast<std::uint8_t>(outcome.kind));
  PutKeyspace(&out, outcome.keyspace);
  return out;
}

Result<KeyspaceOutcome> DecodeKeyspaceOutcome(std::string_view bytes) {
  codec::Reader reader(bytes);
  KeyspaceOutcome outcome;
  outcome.kind = static_cast<OutcomeKind>(reader.Fixed8());
  outcome.keyspace = GetKeyspace(reader);
  if (!reader.Done()) return Status(Code::kCorruption, "keyspace: wrong length");
  return outcome;
}

KeyspaceOutcome CreateIn(Keyspaces* keyspaces, std::string_view name,
                         const std::map<std::string, std::string>& config,
                         std::uint64_t now_seconds) {
  if (const Keyspace* found = FindKeyspace(*keyspaces, name); found != nullptr) {
    return {.kind = OutcomeKind::kExists, .keyspace = *found};
  }
  const std::uint32_t last = keyspaces->rbegin()->first;
  if (last == codec::kMaxKeyspaceId) return {.kind = OutcomeKind::kNoIdLeft};
  const Keyspace keyspace{.id = last + 1,
                          .name = std::string(name),
                          .created_at = now_seconds,
                          .state_changed_at = now_seconds,
                          .config = config};
  (*keyspaces)[keyspace.id] = keyspace;
  return {.keyspace = keyspace};
}

KeyspaceOutcome ChangeIn(Keyspaces* keyspaces, std::uint32_t id, KeyspaceState state,
                         std::uint64_t now_seconds) {
  const auto found = keyspaces->find(id);
  if (found == keyspaces->end()) return {.kind = OutcomeKind::kNotFound};
  Keyspace& keyspace = found->second;
  if (id == kDefaultKeyspaceId || !MayChange(keyspace.state, state)) {
    return {.kind = OutcomeKind::kRefused, .keyspace = keyspace};
  }
  if (keyspace.state != state) {
    keyspace.state = state;
    keyspace.state_changed_at = now_seconds;
  }
  return {.keyspace = keyspace};
}

}  // namespace rutile::placement
