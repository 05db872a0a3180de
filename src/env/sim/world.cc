#include "env/sim/world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::sim {

bool World::Later(const Event& a, const Event& b) {
  return std::pair(a.at, a.sequence) > std::pair(b.at, b.sequence);
}

void World::After(Duration delay, Task event) {
  RUTILE_CHECK(delay >= Duration(0));
  queue_.push_back({Now() + delay, next_sequence_++, std::move(event)});
  std::push_heap(queue_.begin(), queue_.end(), Later);
}

void World::Take(Duration span) {
  RUTILE_CHECK(span >= Duration(0));
  if (in_event_) {
    taken_ += span;
  } else {
    RunFor(span);
  }
}

bool World::Step() {
  RUTILE_CHECK(!in_event_, "an event must not run another");
  if (queue_.empty()) return false;
  std::pop_heap(queue_.begin(), queue_.end(), Later);
  Event event = std::move(queue_.back());
  queue_.pop_back();
  now_ = event.at;
  ++events_;
  Note(static_cast<std::uint64_t>(now_.count()));
  Note(event.sequence);
  in_event_ = true;
  event.task();
  event.task = nullptr;  // What it holds may do something on its way out: still part of the event.
  in_event_ = false;
  taken_ = {};
  if (observer_) observer_();
  return true;
}

void World::RunFor(Duration span) {
  const Duration end = now_ + span;
  while (!queue_.empty() && queue_.front().at <= end) Step();
  now_ = end;
}

bool World::RunUntil(const std::function<bool()>& done, Duration limit) {
  const Duration end = now_ + limit;
  while (!done()) {
    if (queue_.empty() || queue_.front().at > end) {
      now_ = end;
      return false;
    }
    Step();
  }
  return true;
}

Duration World::Between(Duration low, Duration high) {
  RUTILE_CHECK(low <= high);
  const auto width = static_cast<std::uint64_t>((high - low).count());
  return low + Duration(static_cast<Duration::rep>(random_.Below(width + 1)));
}

void World::Note(std::uint64_t value) {
  trace_hash_ = (trace_hash_ ^ value) * 0x9E3779B97F4A7C15u;
  trace_hash_ ^= trace_hash_ >> 32;
}

void World::Note(std::string_view bytes) {
  std::uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a.
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001B3u;
  }
  Note(hash ^ bytes.size());
}

}  // namespace rutile::sim
