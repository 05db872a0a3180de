#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/random.h"

namespace rutile::bench {

// Nothing that can be compressed.
inline Bytes RandomBytes(Random& random, std::size_t size) {
  std::string bytes;
  bytes.reserve(size);
  while (bytes.size() < size) {
    const std::uint64_t number = random.Next();
    for (int shift = 0; shift < 64 && bytes.size() < size; shift += 8) {
      bytes.push_back(static_cast<char>(number >> shift));
    }
  }
  return Bytes(std::move(bytes));
}

}  // namespace rutile::bench
