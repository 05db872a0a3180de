#include "txn/latches.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::txn {

bool Latches::Acquire(CommandId command, std::vector<std::string> keys) {
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  const auto [place, is_new] = commands_.try_emplace(command);
  RUTILE_CHECK(is_new, "command " + ToString(command) + " has latches already");
  Command& added = place->second;
  added.arrival = arrivals_++;
  for (const std::string& key : keys) {
    std::deque<CommandId>& queue = queues_[key];
    if (!queue.empty()) ++added.blocked_keys;
    queue.push_back(command);
  }
  added.keys = std::move(keys);
  if (added.blocked_keys == 0) return true;
  ++waiting_;
  return false;
}

std::vector<CommandId> Latches::Release(CommandId command) {
  const auto place = commands_.find(command);
  RUTILE_CHECK(place != commands_.end(), "command " + ToString(command) + " has no latches");
  const Command released = std::move(place->second);
  commands_.erase(place);
  if (released.blocked_keys > 0) --waiting_;

  std::vector<std::pair<std::uint64_t, CommandId>> ready;  // By arrival.
  for (const std::string& key : released.keys) {
    const auto queue = queues_.find(key);
    std::deque<CommandId>& commands = queue->second;
    const bool had_the_key = commands.front() == command;
    commands.erase(std::find(commands.begin(), commands.end(), command));
    if (commands.empty()) {
      queues_.erase(queue);
    } else if (had_the_key) {
      Command& next = commands_.at(commands.front());
      if (--next.blocked_keys == 0) ready.emplace_back(next.arrival, commands.front());
    }
  }
  waiting_ -= ready.size();
  std::sort(ready.begin(), ready.end());
  std::vector<CommandId> result;
  result.reserve(ready.size());
  for (const auto& [arrival, id] : ready) result.push_back(id);
  return result;
}

}  // namespace rutile::txn
