#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace rutile {

// An integer that cannot be confused with another integer: a Term is never passed where an Index
// is wanted. No arithmetic but what the domain has: Next(), Prev(), Plus() and distance.
template <class Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(std::uint64_t value) : value_(value) {}

  constexpr std::uint64_t value() const { return value_; }
  constexpr bool IsZero() const { return value_ == 0; }
  constexpr StrongId Next() const { return StrongId(value_ + 1); }
  // Requires a value above zero.
  constexpr StrongId Prev() const { return StrongId(value_ - 1); }
  constexpr StrongId Plus(std::uint64_t distance) const { return StrongId(value_ + distance); }
  // How far `from` is behind this id. Requires from <= *this.
  constexpr std::uint64_t DistanceFrom(StrongId from) const { return value_ - from.value_; }

  friend constexpr auto operator<=>(StrongId, StrongId) = default;
  friend std::string ToString(StrongId id) { return std::to_string(id.value_); }

 private:
  std::uint64_t value_ = 0;
};

}  // namespace rutile

template <class Tag>
struct std::hash<rutile::StrongId<Tag>> {
  std::size_t operator()(rutile::StrongId<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value());
  }
};
