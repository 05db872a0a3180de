#include "codec/memcomparable.h"

#include <algorithm>

namespace rutile::codec {
namespace {

constexpr std::size_t kGroupBytes = 8;
constexpr unsigned char kFullGroup = 0xff;

}  // namespace

std::string EncodeMemcomparable(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() / kGroupBytes + 1) * (kGroupBytes + 1));
  for (std::size_t at = 0;; at += kGroupBytes) {
    const std::string_view group = bytes.substr(at, kGroupBytes);
    const std::size_t filling = kGroupBytes - group.size();
    out += group;
    out.append(filling, '\0');
    out.push_back(static_cast<char>(kFullGroup - filling));
    if (filling > 0) return out;
  }
}

std::optional<std::string> TakeMemcomparable(std::string_view* input) {
  std::string out;
  out.reserve(input->size() / (kGroupBytes + 1) * kGroupBytes);
  for (std::string_view rest = *input; rest.size() > kGroupBytes;) {
    const std::string_view group = rest.substr(0, kGroupBytes);
    const std::size_t filling =
        static_cast<std::size_t>(kFullGroup - static_cast<unsigned char>(rest[kGroupBytes]));
    rest.remove_prefix(kGroupBytes + 1);
    if (filling > kGroupBytes) return std::nullopt;
    const std::string_view filled = group.substr(kGroupBytes - filling);
    if (std::any_of(filled.begin(), filled.end(), [](char c) { return c != '\0'; })) {
      return std::nullopt;
    }
    out += group.substr(0, kGroupBytes - filling);
    if (filling > 0) {
      *input = rest;
      return out;
    }
  }
  return std::nullopt;
}

}  // namespace rutile::codec
