#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "env/env.h"
#include "placement/timestamp_oracle.h"

namespace rutile::placement {

// Fresh timestamps for stores themselves, wherever placement's leader is: a node whose replica does
// not lead asks the leader's by datagrams, which may be lost. docs/formats/peer-message.md has the
// bytes.
//
// Safe from any thread. Callbacks run on the caller's thread, on the transport's, or on an executor
// of the node, and without a lock held.
class TimestampRelay {
 public:
  using Done = UniqueFunction<void(Result<Timestamp>)>;
  struct Parts {
    StoreId self = {};
    // Which store's replica of placement leads, as far as this node knows.
    std::function<std::optional<StoreId>()> leader = {};
    // From this node's replica; an error where it does not lead.
    std::function<void(Done)> grant = {};
    std::function<void(StoreId to, std::string payload)> send = {};
    Executor& executor;  // For the ends of waiting.
    // Above those of all earlier processes of this node: an answer to one of them is not fresh.
    std::uint64_t first_id = 0;
  };
  explicit TimestampRelay(Parts parts) : parts_(std::move(parts)), next_id_(parts_.first_id) {}

  // A timestamp above all that anybody was given before the call. kUnavailable when there is no
  // leader or it does not answer within kPatience. `done` runs once.
  void Get(Done done);

  // What another node's relay has sent.
  void OnDatagram(StoreId from, std::string_view payload);

  static constexpr std::uint8_t kChannel = 2;
  static constexpr Duration kPatience = Seconds(1);

 private:
  void Ask(StoreId leader, Done done);
  void Answer(std::uint64_t id, Result<Timestamp> timestamp);

  const Parts parts_;

  Mutex mutex_;
  std::uint64_t next_id_ GUARDED_BY(mutex_);
  std::map<std::uint64_t, Done> waiting_ GUARDED_BY(mutex_);  // None for longer than kPatience.
};

}  // namespace rutile::placement
