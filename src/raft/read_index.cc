#include "raft/read_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::raft {

ReadRounds::State& ReadRounds::Used() {
  if (state_ == nullptr) state_ = std::make_unique<State>();
  return *state_;
}

void ReadRounds::Add(Read read) {
  State& state = Used();
  state.waiting.push_back({state.sent.Next(), std::move(read)});
}

bool ReadRounds::WantsRound() const {
  return HasWaiting() && state_->waiting.back().first > state_->sent &&
         state_->carries_reads <= state_->confirmed;
}

Round ReadRounds::Start(Instant now) {
  State& state = Used();
  state.sent = state.sent.Next();
  state.unanswered.push_back({state.sent, now});
  if (!state.waiting.empty() && state.waiting.back().first == state.sent) {
    state.carries_reads = state.sent;
  }
  return state.sent;
}

std::vector<ReadRounds::Read> ReadRounds::Confirm(Round round) {
  RUTILE_CHECK(round <= sent());
  std::vector<Read> ready;
  if (state_ == nullptr || round <= state_->confirmed) return ready;
  State& state = *state_;
  state.confirmed = round;
  while (!state.unanswered.empty() && state.unanswered.front().first <= round) {
    if (state.unanswered.front().first > state.lease_after) {
      state.lease_start = state.unanswered.front().second;
    }
    state.unanswered.pop_front();
  }
  while (!state.waiting.empty() && state.waiting.front().first <= round) {
    ready.push_back(std::move(state.waiting.front().second));
    state.waiting.pop_front();
  }
  return ready;
}

void ReadRounds::ForgetLease() {
  if (state_ == nullptr) return;
  state_->lease_after = state_->sent;
  state_->lease_start.reset();
}

std::vector<ReadRounds::Read> ReadRounds::Abandon() {
  std::vector<Read> reads;
  const std::unique_ptr<State> state = std::move(state_);
  if (state == nullptr) return reads;
  reads.reserve(state->waiting.size());
  for (std::size_t i = 0; i < state->waiting.size(); ++i) {
    reads.push_back(state->waiting[i].second);
  }
  return reads;
}

ReadId ForwardedReads::Add(ReadId id, int patience) {
  const ReadId number(next_++);
  questions_.push_back({.number = number, .id = id, .ticks_left = patience});
  return number;
}

std::optional<ReadId> ForwardedReads::Take(ReadId number) {
  const auto* const it = std::lower_bound(
      questions_.begin(), questions_.end(), number,
      [](const Question& question, ReadId wanted) { return question.number < wanted; });
  if (it == questions_.end() || it->number != number) return std::nullopt;
  const ReadId id = it->id;
  questions_.erase(it);
  return id;
}

std::vector<ReadId> ForwardedReads::Tick() {
  std::vector<ReadId> given_up;
  for (Question& question : questions_) {
    if (--question.ticks_left <= 0) given_up.push_back(question.id);
  }
  if (given_up.empty()) return given_up;
  erase_if(questions_, [](const Question& question) { return question.ticks_left <= 0; });
  return given_up;
}

std::vector<ReadId> ForwardedReads::Abandon() {
  std::vector<ReadId> all;
  all.reserve(questions_.size());
  for (const Question& question : questions_) all.push_back(question.id);
  questions_ = {};
  return all;
}

}  // namespace rutile::raft
