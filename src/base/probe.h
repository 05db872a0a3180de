#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rutile {

// A place in the code that is reached rarely, and that tests have to reach: RUTILE_SOMETIMES()
// makes one. The program knows all of its own, those included that it never came by, so that a long
// run of simulations can say what it did not test. Any thread.
class Probe {
 public:
  // Lives as long as the program: see ProbePlace. The texts outlive it.
  Probe(const char* name, const char* file, int line);
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  // "room: what was the case". Unique in the program.
  const char* name() const { return name_; }
  const char* file() const { return file_; }
  int line() const { return line_; }
  // How often it was reached since the process began.
  std::uint64_t hits() const { return hits_.load(std::memory_order_relaxed); }
  void Hit() { hits_.fetch_add(1, std::memory_order_relaxed); }

  // All that are linked into this program, by name.
  static std::vector<const Probe*> All();

 private:
  const char* const name_;
  const char* const file_;
  const int line_;
  const Probe* const next_;
  std::atomic<std::uint64_t> hits_ = 0;
};

// A text that can be an argument of a template.
template <std::size_t Size>
struct ProbeText {
  consteval ProbeText(const char (&from)[Size]) {  // NOLINT(google-explicit-constructor)
    for (std::size_t i = 0; i < Size; ++i) text[i] = from[i];
  }
  char text[Size] = {};
};

// The probe of one place. Whatever mentions it brings it into being when the program starts,
// whether the mention is ever reached or not.
template <ProbeText Name, ProbeText File, int Line>
struct ProbePlace {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a counter, for any thread.
  static inline Probe probe{Name.text, File.text, Line};
};

// Tests should see `condition` hold sometimes. Costs production the condition, and a counter where
// it holds: not for what happens a thousand times a second.
#define RUTILE_SOMETIMES(condition, name)                                       \
  do {                                                                          \
    if (condition) ::rutile::ProbePlace<name, __FILE__, __LINE__>::probe.Hit(); \
  } while (false)

}  // namespace rutile
