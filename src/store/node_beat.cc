#include "store/node_beat.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/check.h"
#include "base/probe.h"

namespace rutile::store {
namespace {

// Of one store, more than can have anything on its way.
constexpr std::size_t kFormerProcesses = 8;

}  // namespace

NodeBeat::NodeBeat(const Options& options, Parts parts, std::uint64_t incarnation)
    : options_(options),
      parts_(std::move(parts)),
      own_{.incarnation = incarnation},
      looked_at_(parts_.clock.Now()) {
  RUTILE_CHECK(!parts_.executors.empty());
  RUTILE_CHECK(options_.interval > Duration::zero() && options_.interval * 2 < options_.timeout);
}

void NodeBeat::Start() {
  parts_.executors.front()->Post([this] { Round(0); });
}

void NodeBeat::Stop() {
  MutexLock lock(mutex_);
  stopped_ = true;
}

void NodeBeat::Round(std::size_t position) {
  if (position < parts_.executors.size()) {
    parts_.executors[position]->Post([this, position] { Round(position + 1); });
    return;
  }
  Send();
  FindDead();
  parts_.executors.front()->PostAfter(options_.interval, [this] { Round(0); });
}

void NodeBeat::Send() {
  std::set<StoreId> to;
  Beat beat;
  {
    MutexLock lock(mutex_);
    if (stopped_) return;
    ++own_.number;
    beat = own_;
    to = greeted_;
  }
  for (StoreId store : to) parts_.send(store, beat);
}

void NodeBeat::FindDead() {
  const Instant now = parts_.clock.Now();
  bool tell = false;
  {
    MutexLock lock(mutex_);
    // Who did not listen cannot say who was silent.
    const bool slept = now - looked_at_ > options_.timeout / 2;
    looked_at_ = now;
    for (auto& [store, other] : others_) {
      if (slept) other.at = now;
      if (!other.live || now - other.at < options_.timeout) continue;
      RUTILE_SOMETIMES(true, "store: another store is not heard any more");
      other.live = false;
      changes_.emplace_back(store, false);
    }
    tell = !changes_.empty();
  }
  if (tell) Tell();
}

void NodeBeat::Tell() {
  parts_.executors.front()->Post([this] {
    std::vector<std::pair<StoreId, bool>> changes;
    {
      MutexLock lock(mutex_);
      changes.swap(changes_);
    }
    for (const auto& [store, live] : changes) parts_.on_change(store, live);
  });
}

void NodeBeat::Greet(StoreId store) {
  MutexLock lock(mutex_);
  greeted_.insert(store);
}

bool NodeBeat::Take(Other& other, const Beat& beat) {
  if (beat.number == 0) return false;
  const bool known = other.heard.number != 0;
  if (!known || beat.incarnation == other.heard.incarnation) {
    if (known && beat.number <= other.heard.number) return false;
    other.heard = beat;
    return true;
  }
  const auto former =
      std::find_if(other.former.begin(), other.former.end(),
                   [&](const Beat& before) { return before.incarnation == beat.incarnation; });
  if (former != other.former.end()) {
    RUTILE_SOMETIMES(true, "store: a beat of a process that is no more");
    if (beat.number <= former->number) return false;
    former->number = beat.number;
    if (other.live) return false;
    RUTILE_SOMETIMES(true, "store: a process is alive that was taken for a former one");
    other.former.erase(former);
  }
  other.former.push_back(std::exchange(other.heard, beat));
  if (other.former.size() > kFormerProcesses) other.former.erase(other.former.begin());
  return true;
}

void NodeBeat::OnBeat(StoreId from, const Beat& beat) {
  {
    MutexLock lock(mutex_);
    Other& other = others_[from];
    const Beat before = other.heard;
    if (!Take(other, beat)) return;
    const bool another = before.number != 0 &&
                         (beat.incarnation != before.incarnation || beat.trouble != before.trouble);
    other.at = parts_.clock.Now();
    const bool was_live = std::exchange(other.live, true);
    if (was_live && !another) return;
    RUTILE_SOMETIMES(was_live, "store: another store is another process, or has trouble");
    if (was_live) changes_.emplace_back(from, false);
    changes_.emplace_back(from, true);
  }
  Tell();
}

void NodeBeat::NoteTrouble() {
  MutexLock lock(mutex_);
  ++own_.trouble;
}

bool NodeBeat::IsLive(StoreId store) const {
  MutexLock lock(mutex_);
  const auto found = others_.find(store);
  return found != others_.end() && found->second.live;
}

}  // namespace rutile::store
