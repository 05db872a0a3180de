#include "client/write_buffer.h"

#include <algorithm>
#include <iterator>

namespace rutile::client {

using Kind = BufferedWrite::Kind;

namespace {

bool ChecksAbsence(const BufferedWrite& write) {
  return write.kind == Kind::kInsert || write.kind == Kind::kCheckNotExists;
}

// What the transaction itself reads of a key that it has written.
WriteBuffer::Own OwnOf(const BufferedWrite& write) {
  switch (write.kind) {
    case Kind::kPut:
    case Kind::kInsert: return std::optional(write.value);
    case Kind::kDelete:
    case Kind::kCheckNotExists: return std::optional<std::string>();
    case Kind::kLock: break;
  }
  return std::nullopt;
}

}  // namespace

void WriteBuffer::Put(std::string key, std::string value) {
  BufferedWrite& write = writes_[std::move(key)];
  write.kind = ChecksAbsence(write) ? Kind::kInsert : Kind::kPut;
  write.value = std::move(value);
}

void WriteBuffer::Insert(std::string key, std::string value) {
  const auto [place, is_new] = writes_.try_emplace(std::move(key));
  // After a delete of its own the key is absent whatever was there before.
  const bool is_known = !is_new && place->second.kind == Kind::kDelete;
  place->second = {.kind = is_known ? Kind::kPut : Kind::kInsert, .value = std::move(value)};
}

void WriteBuffer::Delete(std::string key) {
  BufferedWrite& write = writes_[std::move(key)];
  write = {.kind = ChecksAbsence(write) ? Kind::kCheckNotExists : Kind::kDelete};
}

void WriteBuffer::Lock(std::string key) {
  writes_.try_emplace(std::move(key), BufferedWrite{.kind = Kind::kLock});
}

WriteBuffer::Own WriteBuffer::Find(const std::string& key) const {
  const auto found = writes_.find(key);
  return found == writes_.end() ? std::nullopt : OwnOf(found->second);
}

std::vector<WriteBuffer::Pair> WriteBuffer::Merge(std::vector<Pair> stored, const std::string& from,
                                                  const std::string& to) const {
  std::vector<Pair> merged;
  auto own = writes_.lower_bound(from);
  const auto end = to.empty() ? writes_.end() : writes_.lower_bound(to);
  const auto add_own = [&] {
    const Own value = OwnOf(own->second);
    if (value && *value) merged.emplace_back(own->first, **value);
    ++own;
  };
  for (Pair& pair : stored) {
    while (own != end && own->first < pair.first) add_own();
    const bool is_hidden = own != end && own->first == pair.first && OwnOf(own->second).has_value();
    if (!is_hidden) merged.push_back(std::move(pair));
  }
  while (own != end) add_own();
  return merged;
}

}  // namespace rutile::client
