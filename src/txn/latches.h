#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/strong_id.h"

namespace rutile::txn {

// One command of a store, for as long as it runs.
using CommandId = StrongId<struct CommandIdTag>;

// Keeps commands that touch the same keys apart: what one reads of its keys stays true until its
// changes are applied. Commands get a key in the order of their arrival, and a command begins when
// it has all its keys; since all queue in the same order, none waits for itself in a circle.
//
// Exact keys, not hashes of them: commands wait only for what they share. Not thread-safe; nothing
// here blocks.
class Latches {
 public:
  // Queues `command` for all its keys. True: it has them all and may begin. False: the Release()
  // that gives it the last one will name it. Keys may come in any order and more than once.
  // Requires a command that is not in here.
  bool Acquire(CommandId command, std::vector<std::string> keys);

  // Gives up the keys of a command that has them, or its places in the queues. Returns the commands
  // that may begin now, in the order of their arrival. Requires a command that is in here.
  std::vector<CommandId> Release(CommandId command);

  std::size_t commands() const { return commands_.size(); }
  std::size_t waiting() const { return waiting_; }

 private:
  struct Command {
    std::vector<std::string> keys = {};  // Sorted, each once.
    std::size_t blocked_keys = 0;        // Where others stand before it.
    std::uint64_t arrival = 0;
  };

  std::map<CommandId, Command> commands_;
  std::map<std::string, std::deque<CommandId>> queues_;  // None is empty; the first has the key.
  std::size_t waiting_ = 0;                              // Commands with blocked keys.
  std::uint64_t arrivals_ = 0;
};

}  // namespace rutile::txn
