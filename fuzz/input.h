#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace rutile::fuzz {

// What a fuzzer gave, read as choices. When it is used up, every further choice is zero.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  bool empty() const { return left_ == 0; }
  std::uint8_t Byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  bool Flag() { return (Byte() & 1) != 0; }
  // In [0, bound). Requires 0 < bound <= 256.
  std::uint64_t Below(std::uint64_t bound) { return Byte() % bound; }
  std::string Text(std::size_t size) {
    std::string text;
    while (text.size() < size) text.push_back(static_cast<char>(Byte()));
    return text;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

inline std::string_view AsText(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace rutile::fuzz

// What libFuzzer, or fuzz/replay.cc, calls with one input. Returns 0; a finding aborts.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
