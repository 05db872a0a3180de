#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace rutile::sim {

// One call to a register (the value under one key), as its caller saw it.
struct RegisterCall {
  enum class Kind : std::uint8_t { kGet, kPut, kDelete, kCompareAndSwap };
  Kind kind = Kind::kGet;
  std::optional<std::string> value = {};     // kPut, kCompareAndSwap: what to write.
  std::optional<std::string> expected = {};  // kCompareAndSwap; nothing: the key is to be absent.
  // kGet: what was read. kCompareAndSwap: the value found before.
  std::optional<std::string> seen = {};
  bool swapped = false;
  std::uint64_t client = 0;  // Who called; one call at a time.
  std::uint64_t store = 0;   // Which one was asked last; for people.
  Duration invoked = {};
  // Nothing: no answer came, so the call took effect at some time after `invoked`, or never.
  std::optional<Duration> returned = {};
};

std::string ToString(const RegisterCall& call);

// Whether there is an order of the calls in which each takes effect between its beginning and its
// end and in which every answer is right; the key is absent to begin with. Nothing when there is,
// else the calls around the first answer for which there is none.
//
// The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory
// of visited states ("Testing for Linearizability", 2017). Its time grows fast with the number of
// calls that overlap; values that are written should differ. When what it remembers exceeds
// `memory` numbers of eight bytes, it gives up, which is no answer and so said as a failure.
std::optional<std::string> FindNonLinearizable(const std::vector<RegisterCall>& calls,
                                               std::size_t memory = 30'000'000);

}  // namespace rutile::sim
