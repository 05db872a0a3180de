#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "base/status.h"
#include "placement/keyspace.h"
#include "store/state_machine.h"

namespace rutile::placement {

// A node of the cluster as placement knows it.
struct StoreInfo {
  StoreId id = {};
  std::string name = {};
  std::string address = {};  // Where clients dial: host:port.
  std::string version = {};

  friend bool operator==(const StoreInfo&, const StoreInfo&) = default;
};

// A service that needs old versions: collection of garbage stops at `safe_point` until
// `expires_at`.
struct ServiceSafePoint {
  std::uint64_t safe_point = 0;
  std::uint64_t expires_at = 0;  // Seconds since 1970; kNever: it does not.

  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  friend bool operator==(const ServiceSafePoint&, const ServiceSafePoint&) = default;
};

// What placement replicates. Small and rarely written; routes are not in it, they are reported by
// the regions' leaders again and again.
struct State {
  std::map<StoreId, StoreInfo> stores = {};
  std::uint64_t next_id = kFirstFreeId;
  std::uint64_t timestamp_bound_ms = 0;
  std::uint64_t gc_safe_point = 0;
  std::map<std::string, ServiceSafePoint> service_safe_points = {};
  // Small values that clients keep with placement (the etcd corner of the protocol).
  std::map<std::string, std::string> values = {};
  Keyspaces keyspaces = NewKeyspaces();

  // Ids below are given to the members, groups and peers of a cluster that begins.
  static constexpr std::uint64_t kFirstFreeId = 1000;
};

// The commands in the placement group's log.
struct PutStore {
  StoreInfo store = {};
};
struct AllocateIds {  // Result: the first of `count`, as decimal text.
  std::uint64_t count = 1;
};
struct RaiseTimestampBound {
  std::uint64_t bound_ms = 0;
};
struct RaiseGcSafePoint {  // Result: the safe point now in force, as decimal text.
  std::uint64_t safe_point = 0;
};
struct SetServiceSafePoint {  // Refused below the lowest in force. Result: EncodeLowestSafePoint.
  std::string service = {};
  ServiceSafePoint point = {};  // An expiry in the past removes it.
  std::uint64_t now_seconds = 0;
};
struct PutValue {
  std::string key = {};
  std::optional<std::string> value = {};  // Nothing: delete.
};
// Does what PutValue does if the key has the value `expected` (nothing: has none). Result: "1" if
// it had, else "0".
struct CompareAndPutValue {
  std::string key = {};
  std::optional<std::string> expected = {};
  std::optional<std::string> value = {};
};
struct CreateKeyspace {  // Result: EncodeKeyspaceOutcome, as of the next.
  std::string name = {};
  std::map<std::string, std::string> config = {};
  std::uint64_t now_seconds = 0;
};
struct SetKeyspaceState {
  std::uint32_t id = 0;
  Keyspace::State state = Keyspace::State::kEnabled;
  std::uint64_t now_seconds = 0;
};
using Command =
    std::variant<PutStore, AllocateIds, RaiseTimestampBound, RaiseGcSafePoint, SetServiceSafePoint,
                 PutValue, CompareAndPutValue, CreateKeyspace, SetKeyspaceState>;

std::string EncodeCommand(const Command& command);
Result<Command> DecodeCommand(std::string_view bytes);

// The service that holds the collection of garbage back most. Where none does, it is the collector
// itself, kGcWorker, which never expires, at the point up to which it has collected.
struct LowestSafePoint {
  std::string service = {};
  ServiceSafePoint point = {};

  friend bool operator==(const LowestSafePoint&, const LowestSafePoint&) = default;
};
inline constexpr std::string_view kGcWorker = "gc_worker";
LowestSafePoint FindLowestSafePoint(const State& state, std::uint64_t now_seconds);
std::string EncodeLowestSafePoint(const LowestSafePoint& lowest);
Result<LowestSafePoint> DecodeLowestSafePoint(std::string_view bytes);

// The placement group's state machine. Apply and Load run on the group's apply executor; View is
// safe from any thread.
class StateMachine final : public store::StateMachine {
 public:
  Result<store::WriteOutcome> Apply(LogId id, std::string_view command,
                                    store::ApplyBatch& batch) override;
  std::vector<store::DataRange> Ranges() const override;
  Status Load(engine::KvEngine& engine) override;

  // The state after the last applied command; never changes once returned.
  std::shared_ptr<const State> View() const;

 private:
  void Publish(std::shared_ptr<const State> state);

  mutable Mutex mutex_;
  std::shared_ptr<const State> state_ GUARDED_BY(mutex_) = std::make_shared<const State>();
};

}  // namespace rutile::placement
