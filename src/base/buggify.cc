#include "base/buggify.h"

#include <string_view>

namespace rutile {
namespace {

// FNV-1a: the same for the same name on every machine, wherever the linker puts the place.
std::uint64_t HashOf(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

}  // namespace

constinit thread_local Buggify* Buggify::current_ = nullptr;

Buggify::Buggify(std::uint64_t seed, std::uint64_t percent)
    : seed_(seed), percent_(percent), outer_(current_), random_(seed) {
  current_ = this;
}

Buggify::~Buggify() { current_ = outer_; }

bool Buggify::Decide(Probe& place) {
  SeededRandom own(seed_ ^ HashOf(place.name()));
  if (own.Below(100) >= percent_) return false;
  // From every second time to every 256th.
  const std::uint64_t one_in = std::uint64_t{2} << own.Below(8);
  if (!random_.OneIn(one_in)) return false;
  place.Hit();
  return true;
}

}  // namespace rutile
