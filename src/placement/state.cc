#include "placement/state.h"

#include <algorithm>
#include <utility>

#include "codec/integers.h"
#include "codec/keys.h"

namespace rutile::placement {
namespace {

using engine::Family;

// Kinds of commands on disk, in the order of the variant's alternatives.
enum class CommandKind : std::uint8_t {
  kPutStore = 1,
  kAllocateIds = 2,
  kRaiseTimestampBound = 3,
  kRaiseGcSafePoint = 4,
  kSetServiceSafePoint = 5,
  kPutValue = 6,
  kCompareAndPutValue = 7,
  kCreateKeyspace = 8,
  kSetKeyspaceState = 9,
};

std::string EncodeStore(const StoreInfo& store) {
  std::string out;
  codec::PutVarint(&out, store.id.value());
  codec::PutBytes(&out, store.name);
  codec::PutBytes(&out, store.address);
  codec::PutBytes(&out, store.version);
  return out;
}

StoreInfo GetStore(codec::Reader& reader) {
  StoreInfo store;
  store.id = StoreId(reader.Varint());
  store.name = reader.Bytes();
  store.address = reader.Bytes();
  store.version = reader.Bytes();
  return store;
}

std::string EncodeServicePoint(const ServiceSafePoint& point) {
  std::string out;
  codec::PutVarint(&out, point.safe_point);
  codec::PutVarint(&out, point.expires_at);
  return out;
}

void PutOptional(std::string* out, const std::optional<std::string>& value) {
  codec::PutFixed8(out, value ? 1 : 0);
  if (value) codec::PutBytes(out, *value);
}

std::optional<std::string> GetOptional(codec::Reader& reader) {
  if (reader.Fixed8() == 0) return std::nullopt;
  return std::string(reader.Bytes());
}

struct Encoder {
  std::string out;

  void Begin(CommandKind kind) { codec::PutFixed8(&out, static_cast<std::uint8_t>(kind)); }
  void operator()(const PutStore& c) {
    Begin(CommandKind::kPutStore);
    out += EncodeStore(c.store);
  }
  void operator()(const AllocateIds& c) {
    Begin(CommandKind::kAllocateIds);
    codec::PutVarint(&out, c.count);
  }
  void operator()(const RaiseTimestampBound& c) {
    Begin(CommandKind::kRaiseTimestampBound);
    codec::PutVarint(&out, c.bound_ms);
  }
  void operator()(const RaiseGcSafePoint& c) {
    Begin(CommandKind::kRaiseGcSafePoint);
    codec::PutVarint(&out, c.safe_point);
  }
  void operator()(const SetServiceSafePoint& c) {
    Begin(CommandKind::kSetServiceSafePoint);
    codec::PutBytes(&out, c.service);
    out += EncodeServicePoint(c.point);
    codec::PutVarint(&out, c.now_seconds);
  }
  void operator()(const PutValue& c) {
    Begin(CommandKind::kPutValue);
    codec::PutBytes(&out, c.key);
    PutOptional(&out, c.value);
  }
  void operator()(const CompareAndPutValue& c) {
    Begin(CommandKind::kCompareAndPutValue);
    codec::PutBytes(&out, c.key);
    PutOptional(&out, c.expected);
    PutOptional(&out, c.value);
  }
  void operator()(const CreateKeyspace& c) {
    Begin(CommandKind::kCreateKeyspace);
    PutKeyspace(&out, {.name = c.name, .created_at = c.now_seconds, .config = c.config});
  }
  void operator()(const SetKeyspaceState& c) {
    Begin(CommandKind::kSetKeyspaceState);
    PutKeyspace(&out, {.id = c.id, .state = c.state, .state_changed_at = c.now_seconds});
  }
};

// Where each part of the state lies in the engine, below codec::PlacementKey.
constexpr std::string_view kNextId = "id";
constexpr std::string_view kTimestampBound = "tso";
constexpr std::string_view kGcSafePoint = "gc";
constexpr std::string_view kStorePrefix = "store/";
constexpr std::string_view kServicePrefix = "service/";
constexpr std::string_view kValuePrefix = "value/";
constexpr std::string_view kKeyspacePrefix = "keyspace/";

std::string Named(std::string_view prefix, std::string_view name) {
  return codec::PlacementKey(std::string(prefix) + std::string(name));
}

std::string Number(std::uint64_t value) {
  std::string out;
  codec::PutVarint(&out, value);
  return out;
}

// Changes the state and notes the same change for the engine.
struct Applier {
  State& state;
  engine::WriteBatch& changes;
  std::string result = {};

  void PutNumber(std::string_view name, std::uint64_t value) {
    changes.Put(Family::kMeta, codec::PlacementKey(name), Number(value));
  }
  void operator()(const PutStore& c) {
    state.stores[c.store.id] = c.store;
    changes.Put(Family::kMeta, Named(kStorePrefix, ToString(c.store.id)), EncodeStore(c.store));
  }
  void operator()(const AllocateIds& c) {
    result = std::to_string(state.next_id);
    state.next_id += c.count;
    PutNumber(kNextId, state.next_id);
  }
  void operator()(const RaiseTimestampBound& c) {
    state.timestamp_bound_ms = std::max(state.timestamp_bound_ms, c.bound_ms);
    PutNumber(kTimestampBound, state.timestamp_bound_ms);
  }
  void operator()(const RaiseGcSafePoint& c) {
    state.gc_safe_point = std::max(state.gc_safe_point, c.safe_point);
    result = std::to_string(state.gc_safe_point);
    PutNumber(kGcSafePoint, state.gc_safe_point);
  }
  void operator()(const SetServiceSafePoint& c) {
    if (c.point.expires_at <= c.now_seconds) {
      state.service_safe_points.erase(c.service);
      changes.Delete(Family::kMeta, Named(kServicePrefix, c.service));
    } else if (c.point.safe_point >= FindLowestSafePoint(state, c.now_seconds).point.safe_point) {
      state.service_safe_points[c.service] = c.point;
      changes.Put(Family::kMeta, Named(kServicePrefix, c.service), EncodeServicePoint(c.point));
    }
    result = EncodeLowestSafePoint(FindLowestSafePoint(state, c.now_seconds));
  }
  void operator()(const PutValue& c) {
    if (c.value) {
      state.values[c.key] = *c.value;
      changes.Put(Family::kMeta, Named(kValuePrefix, c.key), *c.value);
    } else {
      state.values.erase(c.key);
      changes.Delete(Family::kMeta, Named(kValuePrefix, c.key));
    }
  }
  void operator()(const CompareAndPutValue& c) {
    const auto found = state.values.find(c.key);
    const bool holds = found == state.values.end() ? !c.expected : c.expected == found->second;
    if (holds) (*this)(PutValue{.key = c.key, .value = c.value});
    result = holds ? "1" : "0";
  }
  void operator()(const CreateKeyspace& c) {
    Take(CreateIn(&state.keyspaces, c.name, c.config, c.now_seconds));
  }
  void operator()(const SetKeyspaceState& c) {
    Take(ChangeIn(&state.keyspaces, c.id, c.state, c.now_seconds));
  }
  void Take(const KeyspaceOutcome& outcome) {
    if (outcome.kind == KeyspaceOutcome::Kind::kDone) {
      std::string value;
      PutKeyspace(&value, outcome.keyspace);
      changes.Put(Family::kMeta, Named(kKeyspacePrefix, std::to_string(outcome.keyspace.id)),
                  std::move(value));
    }
    result = EncodeKeyspaceOutcome(outcome);
  }
};

// Takes one stored key in. Returns false for a key or value that no version of ours has written.
bool LoadPair(std::string_view name, std::string_view value, State* state) {
  codec::Reader reader(value);
  if (name == kNextId) {
    state->next_id = reader.Varint();
  } else if (name == kTimestampBound) {
    state->timestamp_bound_ms = reader.Varint();
  } else if (name == kGcSafePoint) {
    state->gc_safe_point = reader.Varint();
  } else if (name.starts_with(kStorePrefix)) {
    StoreInfo store = GetStore(reader);
    state->stores[store.id] = std::move(store);
  } else if (name.starts_with(kServicePrefix)) {
    ServiceSafePoint point;
    point.safe_point = reader.Varint();
    point.expires_at = reader.Varint();
    state->service_safe_points[std::string(name.substr(kServicePrefix.size()))] = point;
  } else if (name.starts_with(kValuePrefix)) {
    state->values[std::string(name.substr(kValuePrefix.size()))] = std::string(value);
    return true;
  } else if (name.starts_with(kKeyspacePrefix)) {
    Keyspace keyspace = GetKeyspace(reader);
    state->keyspaces[keyspace.id] = std::move(keyspace);
  } else {
    return false;
  }
  return reader.Done();
}

}  // namespace

std::string EncodeCommand(const Command& command) {
  Encoder encoder;
  std::visit(encoder, command);
  return std::move(encoder.out);
}

Result<Command> DecodeCommand(std::string_view bytes) {
  codec::Reader reader(bytes);
  Command command;
  const std::uint8_t kind = reader.Fixed8();
  switch (static_cast<CommandKind>(kind)) {
    case CommandKind::kPutStore: command = PutStore{GetStore(reader)}; break;
    case CommandKind::kAllocateIds: command = AllocateIds{reader.Varint()}; break;
    case CommandKind::kRaiseTimestampBound: command = RaiseTimestampBound{reader.Varint()}; break;
    case CommandKind::kRaiseGcSafePoint: command = RaiseGcSafePoint{reader.Varint()}; break;
    case CommandKind::kSetServiceSafePoint: {
      SetServiceSafePoint set;
      set.service = reader.Bytes();
      set.point.safe_point = reader.Varint();
      set.point.expires_at = reader.Varint();
      set.now_seconds = reader.Varint();
      command = std::move(set);
      break;
    }
    case CommandKind::kPutValue: {
      PutValue put;
      put.key = reader.Bytes();
      put.value = GetOptional(reader);
      command = std::move(put);
      break;
    }
    case CommandKind::kCompareAndPutValue: {
      CompareAndPutValue put;
      put.key = reader.Bytes();
      put.expected = GetOptional(reader);
      put.value = GetOptional(reader);
      command = std::move(put);
      break;
    }
    case CommandKind::kCreateKeyspace: {
      Keyspace keyspace = GetKeyspace(reader);
      command = CreateKeyspace{.name = std::move(keyspace.name),
                               .config = std::move(keyspace.config),
                               .now_seconds = keyspace.created_at};
      break;
    }
    case CommandKind::kSetKeyspaceState: {
      const Keyspace keyspace = GetKeyspace(reader);
      command = SetKeyspaceState{
          .id = keyspace.id, .state = keyspace.state, .now_seconds = keyspace.state_changed_at};
      break;
    }
    default:
      return Status(Code::kCorruption, "placement command: unknown kind " + std::to_string(kind));
  }
  if (!reader.Done()) return Status(Code::kCorruption, "placement command: wrong length");
  return command;
}

LowestSafePoint FindLowestSafePoint(const State& state, std::uint64_t now_seconds) {
  const auto& points = state.service_safe_points;
  LowestSafePoint lowest{
      .service = std::string(kGcWorker),
      .point = {.safe_point = state.gc_safe_point, .expires_at = ServiceSafePoint::kNever}};
  const auto worker = points.find(lowest.service);
  if (worker != points.end() && worker->second.expires_at > now_seconds) {
    lowest.point = worker->second;
  }
  for (const auto& [service, point] : points) {
    if (point.expires_at > now_seconds && point.safe_point < lowest.point.safe_point) {
      lowest = {.service = service, .point = point};
    }
  }
  // What is collected is gone, whoever wanted it.
  lowest.point.safe_point = std::max(lowest.point.safe_point, state.gc_safe_point);
  return lowest;
}

std::string EncodeLowestSafePoint(const LowestSafePoint& lowest) {
  std::string out;
  codec::PutBytes(&out, lowest.service);
  return out + EncodeServicePoint(lowest.point);
}

Result<LowestSafePoint> DecodeLowestSafePoint(std::string_view bytes) {
  codec::Reader reader(bytes);
  LowestSafePoint lowest;
  lowest.service = reader.Bytes();
  lowest.point.safe_point = reader.Varint();
  lowest.point.expires_at = reader.Varint();
  if (!reader.Done()) return Status(Code::kCorruption, "lowest safe point: wrong length");
  return lowest;
}

Result<store::WriteOutcome> StateMachine::Apply(LogId /*id*/, std::string_view bytes,
                                                store::ApplyBatch& batch) {
  RUTILE_ASSIGN_OR_RETURN(const Command command, DecodeCommand(bytes));
  auto next = std::make_shared<State>(*View());
  Applier applier{.state = *next, .changes = batch.changes()};
  std::visit(applier, command);
  Publish(std::move(next));
  return store::WriteOutcome(store::CommandResult{.payload = std::move(applier.result)});
}

std::vector<store::DataRange> StateMachine::Ranges() const {
  return {{Family::kMeta, codec::PlacementKeysBegin(), codec::PlacementKeysEnd()}};
}

Status StateMachine::Load(engine::KvEngine& engine) {
  auto state = std::make_shared<State>();
  const auto snapshot = engine.GetSnapshot();
  const std::string begin = codec::PlacementKeysBegin();
  const auto iterator =
      snapshot->NewIterator(Family::kMeta, {.lower = begin, .upper = codec::PlacementKeysEnd()});
  for (iterator->Seek(begin); iterator->Valid(); iterator->Next()) {
    const std::string_view name = iterator->key().substr(begin.size());
    if (!LoadPair(name, iterator->value(), state.get())) {
      return Status(Code::kCorruption, "placement state: broken or unknown key " +
                                           std::string(name) +
                                           "; was it written by a newer version?");
    }
  }
  RUTILE_RETURN_IF_ERROR(iterator->status());
  Publish(std::move(state));
  return {};
}

std::shared_ptr<const State> StateMachine::View() const {
  MutexLock lock(mutex_);
  return state_;
}

void StateMachine::Publish(std::shared_ptr<const State> state) {
  MutexLock lock(mutex_);
  state_ = std::move(state);
}

}  // namespace rutile::placement
