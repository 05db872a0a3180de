#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "codec/api_version.h"

namespace rutile::client {

// How the keys of a client stand in requests, and where regions have raw ones. In V1 all forms of a
// key are the same.
class KeyForm {
 public:
  KeyForm(codec::ApiVersion api, codec::KeyMode mode, std::uint32_t keyspace);

  // Whether a key is sent as the user has it.
  bool is_plain() const { return begin_.empty(); }

  // A user's key as requests have it, which is how it is called below.
  std::string ToSent(std::string_view key) const { return begin_ + std::string(key); }
  // Likewise of the upper border of a range, where an empty one is the end of all keys.
  std::string ToSentEnd(const std::string& end) const { return end.empty() ? end_ : ToSent(end); }
  // Requires a key that was sent.
  std::string ToUser(std::string_view sent) const {
    return std::string(sent.substr(begin_.size()));
  }
  // Whether a key from an answer is one of this client's.
  bool IsOurs(std::string_view sent) const { return sent.starts_with(begin_); }

  // Where regions have a key that is sent.
  std::string ToPlace(std::string_view sent) const;
  // The key at a region's border, in the form in which it is sent; empty: there is no border.
  Result<std::string> FromBorder(std::string_view border) const;

 private:
  const bool is_encoded_;
  const std::string begin_;
  const std::string end_;
};

}  // namespace rutile::client
