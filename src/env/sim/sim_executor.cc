#include "env/sim/sim_executor.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "base/check.h"

namespace rutile::sim {
namespace {

constexpr Duration kLongestSleep = Seconds(1);

}  // namespace

struct SimExecutor::State : std::enable_shared_from_this<State> {
  State(World& the_world, const SimClock& the_clock, std::string the_name,
        const Options& the_options)
      : world(the_world), clock(the_clock), name(std::move(the_name)), options(the_options) {}

  // Makes sure that an event is under way when there is something to run.
  void Schedule() {
    if (scheduled || running || paused || ready.empty()) return;
    scheduled = true;
    const Duration wait = busy_until > world.Now() ? busy_until - world.Now() : Duration(0);
    world.After(wait + slowness + world.Between(options.min_dispatch, options.max_dispatch),
                [self = shared_from_this()] { self->RunOne(); });
  }

  void RunOne() {
    scheduled = false;
    if (paused || ready.empty()) return;
    Task task = std::move(ready.front());
    ready.pop_front();
    running = true;  // What the task posts here waits for the end of the time that it takes.
    task();
    task = nullptr;
    running = false;
    busy_until = world.Now();
    Schedule();
  }

  void Add(Task task) {
    if (stopped) return;
    ready.push_back(std::move(task));
    Schedule();
  }

  // Adds the task once `wait` has gone by in the world and the clock shows `due`.
  void AddAfter(Duration wait, Instant due, Task task) {
    if (stopped) return;
    const std::uint64_t id = next_timer++;
    timers.emplace(id, std::move(task));
    Arm(wait, due, id);
  }

  void Arm(Duration wait, Instant due, std::uint64_t id) {
    // A clock that nearly stands still may run again: it is looked at now and then.
    world.After(std::min(wait, kLongestSleep), [self = shared_from_this(), due, id] {
      const auto timer = self->timers.find(id);
      if (timer == self->timers.end()) return;
      // The clock may have become slower meanwhile.
      if (const Instant now = self->clock.Now(); now < due) {
        return self->Arm(self->clock.InWorld(due - now) + Duration(1), due, id);
      }
      Task task = std::move(timer->second);
      self->timers.erase(timer);
      self->Add(std::move(task));
    });
  }

  World& world;
  const SimClock& clock;
  const std::string name;
  const Options options;
  std::deque<Task> ready;
  std::map<std::uint64_t, Task> timers;  // By order of posting. Here, so that Shutdown finds them.
  std::uint64_t next_timer = 0;
  Duration slowness = {};
  Duration busy_until = {};
  bool scheduled = false;
  bool running = false;
  bool paused = false;
  bool stopped = false;
};

SimExecutor::SimExecutor(World& world, const SimClock& clock, std::string name)
    : SimExecutor(world, clock, std::move(name), Options()) {}

SimExecutor::SimExecutor(World& world, const SimClock& clock, std::string name,
                         const Options& options)
    : state_(std::make_shared<State>(world, clock, std::move(name), options)) {}

SimExecutor::~SimExecutor() { Shutdown(); }

void SimExecutor::Post(Task task) {
  // What an event posts after it has taken up time arrives only then; others may be quicker.
  if (state_->world.taken() > Duration(0)) {
    state_->AddAfter(Duration(0), Instant::min(), std::move(task));
  } else {
    state_->Add(std::move(task));
  }
}

void SimExecutor::PostAfter(Duration delay, Task task) {
  delay = std::max(delay, Duration(0));
  // One nanosecond for what the division may have rounded away.
  state_->AddAfter(state_->clock.InWorld(delay) + Duration(1), state_->clock.Now() + delay,
                   std::move(task));
}

void SimExecutor::Pause() { state_->paused = true; }

void SimExecutor::Resume() {
  state_->paused = false;
  state_->Schedule();
}

void SimExecutor::SetSlowness(Duration per_task) { state_->slowness = per_task; }

void SimExecutor::Shutdown() {
  state_->stopped = true;
  // Destroying a task may run code that posts: refused by now, but not while a queue is walked.
  const std::deque<Task> ready = std::exchange(state_->ready, {});
  const std::map<std::uint64_t, Task> timers = std::exchange(state_->timers, {});
}

const std::string& SimExecutor::name() const { return state_->name; }
std::size_t SimExecutor::queued() const { return state_->ready.size(); }

}  // namespace rutile::sim
