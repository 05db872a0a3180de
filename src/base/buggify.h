#pragma once

#include <cstdint>

#include "base/probe.h"
#include "base/random.h"

namespace rutile {

// Makes code take choices that are allowed and unusual: a page of one entry, a flush out of turn, a
// refusal for want of room. It decides for each place anew which of them act at all in a run, and
// when they do; both follow from the seed. (The method is FoundationDB's: "buggify".)
//
// In effect for the thread that runs a simulation while an object of this class lives. Without one,
// as in production, RUTILE_BUGGIFY() is false.
class Buggify {
 public:
  // `percent` of all places act.
  Buggify(std::uint64_t seed, std::uint64_t percent);
  ~Buggify();
  Buggify(const Buggify&) = delete;
  Buggify& operator=(const Buggify&) = delete;

  // Whether `place` acts this time.
  static bool Acts(Probe& place) { return current_ != nullptr && current_->Decide(place); }

 private:
  bool Decide(Probe& place);

  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one for each thread.
  static constinit thread_local Buggify* current_;

  const std::uint64_t seed_;
  const std::uint64_t percent_;
  Buggify* const outer_;
  SeededRandom random_;
};

// True now and then in some simulated runs, if what follows is legal at any time; else false.
#define RUTILE_BUGGIFY(name) \
  ::rutile::Buggify::Acts(::rutile::ProbePlace<name, __FILE__, __LINE__>::probe)

}  // namespace rutile
