#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/txn_core.h"
#include "client/txn_error.h"

namespace rutile::client {

// Reads of what is committed at or below a timestamp. Locks in the way are resolved, or waited for.
// Internal to the room.

// Of `keys`, sorted and each once, those that exist.
void ReadKeys(const std::shared_ptr<TxnCore>& core, Timestamp at, std::vector<std::string> keys,
              TxnDone<std::map<std::string, std::string>> done);

// [from, to); empty `to`: no end.
struct Range {
  std::string from = {};
  std::string to = {};
  bool is_reverse = false;  // From `to` down.
};
// A part of a range: pairs in order, and where to go on: there what is left begins, or of a reverse
// one ends. Nothing: the range is read to its end.
struct Page {
  std::vector<std::pair<std::string, std::string>> pairs = {};
  std::optional<std::string> next = {};
};
// The first part of a range, as far as one region and `limit` go.
void ReadPage(const std::shared_ptr<TxnCore>& core, Timestamp at, Range range, std::size_t limit,
              TxnDone<Page> done);

}  // namespace rutile::client
