#include "sim/timeline.h"

#include <algorithm>

#include "sim/timeline_watch.h"

namespace rutile::sim {

TimelineRecorder::TimelineRecorder(Options options) : options_(std::move(options)) {}
TimelineRecorder::~TimelineRecorder() = default;

bool TimelineRecorder::IsRecording() const {
  if (is_over_) return false;
  if (!options_.from) return true;
  const Duration now = options_.now();
  return now >= *options_.from && now < *options_.from + options_.span;
}

raft::Observer* TimelineRecorder::Watch(RegionId group, PeerId peer, std::size_t node) {
  node_of_[{group, peer}] = node;
  std::unique_ptr<GroupWatch>& watch = watches_[group];
  if (watch == nullptr) watch = std::make_unique<GroupWatch>(*this, group);
  return watch.get();
}

std::size_t TimelineRecorder::NodeOf(RegionId group, PeerId peer) const {
  const auto found = node_of_.find({group, peer});
  return found == node_of_.end() ? kNoNode : found->second;
}

std::optional<std::uint64_t> TimelineRecorder::Add(TimelineStep step) {
  // A recovery goes on in its time while others are still in theirs; steps come in one order.
  step.at = last_at_ = std::max(last_at_, options_.now());
  EndBands([&](const Band& band) { return band.until && *band.until <= step.at; });
  if (!IsRecording()) {
    const bool is_to_come = !is_over_ && options_.from && step.at < *options_.from;
    if (is_to_come) Fold(step);
    return std::nullopt;
  }
  steps_.push_back(std::move(step));
  Prune();
  return next_step() - 1;
}

// What is before the first step knows what this one did.
void TimelineRecorder::Fold(const TimelineStep& step) {
  if (step.after) before_[{step.group, step.node}] = *step.after;
  if (step.kind != TimelineStep::Kind::kDown) return;
  for (auto& [where, replica] : before_) {
    if (where.second == step.node) replica = {};
  }
}

void TimelineRecorder::Prune() {
  const Duration now = steps_.back().at;
  const auto is_old = [&](const TimelineStep& step) {
    return !options_.from && step.at + options_.span < now;
  };
  while (is_old(steps_.front()) || steps_.size() > options_.max_steps) {
    if (!is_old(steps_.front())) dropped_at_.push_back(steps_.front().at);
    Fold(steps_.front());
    steps_.pop_front();
    ++first_step_;
  }
  while (!dropped_at_.empty() && !options_.from && dropped_at_.front() + options_.span < now) {
    dropped_at_.pop_front();
  }
  ForgetMessages();
  while (!copies_.empty() && *copies_.front().received < first_step_) copies_.pop_front();
  std::erase_if(bands_,
                [&](const Band& band) { return band.band.end && *band.band.end <= first_step_; });
}

void TimelineRecorder::ForgetMessages() {
  while (!messages_.empty() && messages_.front().sent < first_step_) {
    const auto found = in_flight_.find(KeyOf(messages_.front()));
    if (found != in_flight_.end()) {
      std::erase(found->second.open, first_message_);
      if (found->second.newest <= first_message_) in_flight_.erase(found);
    }
    messages_.pop_front();
    ++first_message_;
  }
}

TimelineRecorder::MessageKey TimelineRecorder::KeyOf(const TimelineMessage& message) {
  return {message.group, message.from, message.to, message.text};
}

void TimelineRecorder::OnSent(std::uint64_t step, TimelineMessage message) {
  const std::uint64_t number = first_message_ + messages_.size();
  InFlight& equal = in_flight_[KeyOf(message)];
  equal.open.push_back(number);
  equal.newest = number;
  message.sent = step;
  messages_.push_back(std::move(message));
}

void TimelineRecorder::OnReceived(std::uint64_t step, const TimelineMessage& message) {
  const auto found = in_flight_.find(KeyOf(message));
  if (found == in_flight_.end()) return;  // Sent before the first step.
  InFlight& equal = found->second;
  if (!equal.open.empty()) {
    messages_[equal.open.back() - first_message_].received = step;
    equal.open.pop_back();
    return;
  }
  TimelineMessage copy = messages_[equal.newest - first_message_];
  copy.received = step;
  copies_.push_back(std::move(copy));
}

void TimelineRecorder::Begin(Band band) {
  if (is_over_) return;
  band.band.begin = next_step();
  bands_.push_back(std::move(band));
}

void TimelineRecorder::EndBands(const std::function<bool(const Band&)>& whether) {
  if (is_over_) return;
  for (Band& band : bands_) {
    if (!band.band.end && whether(band)) band.band.end = next_step();
  }
}

void TimelineRecorder::OnFault(std::size_t node, const std::string& text,
                               std::optional<Duration> until) {
  Begin({.band = {.node = node, .text = text}, .until = until, .kind = Band::Kind::kFault});
  Add({.kind = TimelineStep::Kind::kFault, .node = node, .text = text});
}

void TimelineRecorder::OnFaultsEnd() {
  EndBands([](const Band& band) { return band.kind == Band::Kind::kFault; });
  Add({.kind = TimelineStep::Kind::kFault, .text = "all faults are over"});
}

void TimelineRecorder::OnDown(std::size_t node) {
  Begin({.band = {.node = node, .text = "down", .is_down = true}, .kind = Band::Kind::kDown});
  Add({.kind = TimelineStep::Kind::kDown, .node = node, .text = "is down"});
}

void TimelineRecorder::OnUp(std::size_t node) {
  EndBands(
      [&](const Band& band) { return band.kind == Band::Kind::kDown && band.band.node == node; });
}

void TimelineRecorder::OnNote(const std::string& text) {
  Add({.kind = TimelineStep::Kind::kNote, .text = text});
}

void TimelineRecorder::OnVerdict(const std::string& text) {
  if (is_over_) return;
  for (const auto& [group, watch] : watches_) watch->OnCutShort();
  Add({.kind = TimelineStep::Kind::kVerdict, .text = text});
  is_over_ = true;
}

void TimelineRecorder::SetConditions(
    const std::vector<std::pair<std::size_t, std::string>>& conditions) {
  const auto is_there = [&](const Band& band) {
    return std::find(conditions.begin(), conditions.end(),
                     std::pair(band.band.node, band.band.text)) != conditions.end();
  };
  EndBands(
      [&](const Band& band) { return band.kind == Band::Kind::kCondition && !is_there(band); });
  for (const auto& [node, text] : conditions) {
    const bool is_known = std::any_of(bands_.begin(), bands_.end(), [&](const Band& band) {
      return band.kind == Band::Kind::kCondition && !band.band.end && band.band.node == node &&
             band.band.text == text;
    });
    if (!is_known) {
      Begin({.band = {.node = node, .text = text}, .kind = Band::Kind::kCondition});
    }
  }
}

void TimelineRecorder::Clear() {
  for (; !steps_.empty(); steps_.pop_front(), ++first_step_) Fold(steps_.front());
  dropped_at_.clear();
  copies_.clear();
  ForgetMessages();
}

Timeline TimelineRecorder::Take() const {
  Timeline out{.nodes = options_.nodes, .before = before_, .dropped = dropped_at_.size()};
  for (const auto& [group, watch] : watches_) out.groups.push_back(group);
  out.steps.assign(steps_.begin(), steps_.end());
  const auto add = [&](TimelineMessage message) {
    message.sent -= first_step_;
    if (message.received) *message.received -= first_step_;
    out.messages.push_back(std::move(message));
  };
  for (const TimelineMessage& message : messages_) add(message);
  for (const TimelineMessage& message : copies_) {
    if (message.sent >= first_step_) add(message);
  }
  for (const Band& band : bands_) {
    if (band.band.end && *band.band.end <= first_step_) continue;
    TimelineBand shown = band.band;
    shown.begin = std::max(shown.begin, first_step_) - first_step_;
    if (shown.end) *shown.end -= first_step_;
    out.bands.push_back(std::move(shown));
  }
  return out;
}

}  // namespace rutile::sim
