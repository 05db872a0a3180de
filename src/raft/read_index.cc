#include "raft/read_index.h"

#include <algorithm>

#include "base/check.h"

namespace rutile::raft {

void ReadRounds::Add(const Read& read) { waiting_.push_back({sent_.Next(), read}); }

bool ReadRounds::WantsRound() const {
  return !waiting_.empty() && waiting_.back().first > sent_ && carries_reads_ <= confirmed_;
}

Round ReadRounds::Start(Instant now) {
  sent_ = sent_.Next();
  unanswered_.push_back({sent_, now});
  if (!waiting_.empty() && waiting_.back().first == sent_) carries_reads_ = sent_;
  return sent_;
}

std::vector<ReadRounds::Read> ReadRounds::Confirm(Round round) {
  RUTILE_CHECK(round <= sent_);
  std::vector<Read> ready;
  if (round <= confirmed_) return ready;
  confirmed_ = round;
  while (!unanswered_.empty() && unanswered_.front().first <= round) {
    if (unanswered_.front().first > lease_after_) lease_start_ = unanswered_.front().second;
    unanswered_.pop_front();
  }
  while (!waiting_.empty() && waiting_.front().first <= round) {
    ready.push_back(waiting_.front().second);
    waiting_.pop_front();
  }
  return ready;
}

void ReadRounds::ForgetLease() {
  lease_after_ = sent_;
  lease_start_.reset();
}

std::vector<ReadRounds::Read> ReadRounds::Abandon() {
  std::vector<Read> reads;
  reads.reserve(waiting_.size());
  for (std::size_t i = 0; i < waiting_.size(); ++i) reads.push_back(waiting_[i].second);
  *this = ReadRounds();
  return reads;
}

ReadId ForwardedReads::Add(ReadId id, int patience) {
  const ReadId number(next_++);
  questions_[number] = {.id = id, .ticks_left = patience};
  return number;
}

std::optional<ReadId> ForwardedReads::Take(ReadId number) {
  const auto it = questions_.find(number);
  if (it == questions_.end()) return std::nullopt;
  const ReadId id = it->second.id;
  questions_.erase(it);
  return id;
}

std::vector<ReadId> ForwardedReads::Tick() {
  std::vector<ReadId> given_up;
  for (auto it = questions_.begin(); it != questions_.end();) {
    if (--it->second.ticks_left > 0) {
      ++it;
      continue;
    }
    given_up.push_back(it->second.id);
    it = questions_.erase(it);
  }
  return given_up;
}

std::vector<ReadId> ForwardedReads::Abandon() {
  std::vector<ReadId> all;
  all.reserve(questions_.size());
  for (const auto& [number, question] : questions_) all.push_back(question.id);
  questions_.clear();
  return all;
}

}  // namespace rutile::raft
