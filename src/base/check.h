#pragma once

#include <string>

namespace rutile {

// Prints `expression`, the place and `detail` to stderr and aborts. Never returns.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line,
                              const std::string& detail) noexcept;

}  // namespace rutile

// RUTILE_CHECK states what must hold for the process to be allowed to continue. It is compiled into
// every build, release included: a store that has lost an invariant must stop before it spreads
// the damage. Use it for programmer errors only; anything the outside world can cause (bad input,
// a failing disk, a peer's message) is a Status, never a check.
//
// `detail` is evaluated only on failure: RUTILE_CHECK(applied <= committed, DebugString());
#define RUTILE_CHECK(condition, ...)                                                     \
  do {                                                                                   \
    if (!(condition)) [[unlikely]]                                                       \
      ::rutile::CheckFailed(#condition, __FILE__, __LINE__, ::std::string{__VA_ARGS__}); \
  } while (false)

// After a switch that returns for every enumerator. (A plain RUTILE_CHECK(false) will not do: at
// -O0 g++ does not see that it never returns.)
#define RUTILE_UNREACHABLE() ::rutile::CheckFailed("unreachable", __FILE__, __LINE__, {})

// RUTILE_DCHECK is for checks too slow for production: whole-log scans, ordering of every key. It
// is on in debug, sanitizer and simulator builds.
#ifdef RUTILE_EXPENSIVE_CHECKS
#define RUTILE_DCHECK(...) RUTILE_CHECK(__VA_ARGS__)
#else
#define RUTILE_DCHECK(condition, ...) static_cast<void>(sizeof(!(condition)))
#endif
