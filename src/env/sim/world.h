#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/task.h"
#include "base/time.h"

namespace rutile::sim {

// Virtual time and everything that will happen in it. What takes seconds in the world takes
// microseconds here, and the same seed makes the same things happen in the same order.
//
// One thread: everything of a world is used from the thread that runs it. The world outlives its
// clocks, disks, networks and executors.
class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Time since the world began. Within an event it moves on as the event takes up time.
  Duration Now() const { return now_ + taken_; }

  // Runs `event` at `delay` from now; events of one moment run in the order of these calls.
  // Requires delay >= 0.
  void After(Duration delay, Task event);

  // The running event takes up `span`: a disk that is slow, a computation. What the event does
  // posts or sends afterwards leaves that much later. What it writes to shared memory or to a disk
  // is seen at once. Without a running event the world itself moves on.
  void Take(Duration span);
  // How much of its time the running event has taken up.
  Duration taken() const { return taken_; }

  // Runs the next event. False when nothing is left to happen.
  bool Step();
  // Runs all events of the next `span` and stands at its end.
  void RunFor(Duration span);
  // Runs until `done` (asked before each event) or until `limit` has gone by; says whether `done`.
  bool RunUntil(const std::function<bool()>& done, Duration limit);

  // Chance of the world itself: of network, disks and faults. Whoever has a life of his own takes a
  // generator of his own, so that a change in one place does not reshuffle everything.
  Random& random() { return random_; }
  SeededRandom NewRandom() { return SeededRandom(random_.Next()); }
  // Uniform in [low, high].
  Duration Between(Duration low, Duration high);
  // True with the probability `per_million` / 1,000,000.
  bool Chance(std::uint32_t per_million) { return random_.Below(1'000'000) < per_million; }

  // A hash of all that has happened and of all that was noted. Two runs that differ in it differ;
  // two that agree are the same run for all practical purposes.
  std::uint64_t trace_hash() const { return trace_hash_; }
  void Note(std::uint64_t value);
  void Note(std::string_view bytes);
  std::uint64_t events() const { return events_; }

  // Is called after each event, and must neither take time nor add events: for looking on.
  void SetObserver(std::function<void()> observer) { observer_ = std::move(observer); }

 private:
  struct Event {
    Duration at;
    std::uint64_t sequence;
    Task task;
  };
  static bool Later(const Event& a, const Event& b);

  SeededRandom random_;
  Duration now_ = {};
  Duration taken_ = {};
  bool in_event_ = false;
  std::uint64_t next_sequence_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t trace_hash_ = 0x9AE16A3B2F90404Fu;
  std::vector<Event> queue_;  // A heap; the earliest in front.
  std::function<void()> observer_;
};

}  // namespace rutile::sim
