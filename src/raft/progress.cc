#include "raft/progress.h"

#include <algorithm>

#include "base/check.h"

namespace rutile::raft {

bool Progress::CanSend(const Window& window) const {
  if (reading_) return false;
  switch (state_) {
    case State::kProbe: return !probe_sent_;
    case State::kReplicate:
      return inflight_.size() < window.messages && inflight_bytes_ < window.bytes &&
             inflight_bytes_ < room_;
    case State::kSnapshot: return false;
  }
  RUTILE_UNREACHABLE();
}

void Progress::OnSent(Index last, std::size_t bytes) {
  RUTILE_CHECK(state_ != State::kSnapshot);
  if (state_ == State::kProbe) {
    probe_sent_ = true;
    return;
  }
  RUTILE_CHECK(last >= next_);
  next_ = last.Next();
  inflight_.emplace_back(last, bytes);
  inflight_bytes_ += bytes;
}

void Progress::OnAccepted(Index match, Index base) {
  if (match < match_) return;
  match_ = match;
  next_ = std::max(next_, match_.Next());
  while (!inflight_.empty() && inflight_.front().last <= match_) {
    inflight_bytes_ -= inflight_.front().bytes;
    inflight_.pop_front();
  }
  // A probe that hit, or a snapshot that arrived, is followed by the stream.
  const bool found = state_ == State::kProbe || (state_ == State::kSnapshot && match_ >= base);
  if (found) {
    ClearWindow();
    state_ = State::kReplicate;
    probe_sent_ = false;
    next_ = match_.Next();
  }
  CheckInvariants();
}

bool Progress::OnRejected(Index rejected, Index agreement) {
  const bool stale = state_ == State::kSnapshot || rejected <= match_ ||
                     (state_ == State::kProbe && rejected.Next() != next_);
  if (stale) return false;
  // At least one step back, so that probing ends; at most to what is known to match.
  BecomeProbe(std::max(match_.Next(), std::min(rejected, agreement.Next())));
  return true;
}

void Progress::OnLost(Index agreement) { match_ = std::min(match_, agreement); }

void Progress::OnUnreachable() {
  if (state_ != State::kReplicate) return;
  BecomeProbe(match_.Next());
  probe_sent_ = true;
}

void Progress::BecomeSnapshot() {
  ClearWindow();
  state_ = State::kSnapshot;
  CheckInvariants();
}

void Progress::OnSnapshotSent(Index index) {
  if (state_ != State::kSnapshot) return;
  BecomeProbe(std::max(match_, index).Next());
  probe_sent_ = true;
}

void Progress::Pause() {
  if (state_ != State::kProbe) BecomeProbe(match_.Next());
  probe_sent_ = true;
}

void Progress::OnRoundAnswered(Round round) { answered_round_ = std::max(answered_round_, round); }

void Progress::BecomeProbe(Index next) {
  ClearWindow();
  state_ = State::kProbe;
  next_ = next;
  probe_sent_ = false;
  CheckInvariants();
}

void Progress::ClearWindow() {
  inflight_.clear();
  inflight_bytes_ = 0;
}

void Progress::CheckInvariants() const {
  RUTILE_CHECK(match_ < next_);
  RUTILE_CHECK(state_ == State::kReplicate || inflight_.empty());
  RUTILE_CHECK(!inflight_.empty() || inflight_bytes_ == 0);
  RUTILE_CHECK(inflight_.empty() || inflight_.back().last < next_);
}

std::string_view ToString(Progress::State state) {
  switch (state) {
    case Progress::State::kProbe: return "probe";
    case Progress::State::kReplicate: return "replicate";
    case Progress::State::kSnapshot: return "snapshot";
  }
  RUTILE_UNREACHABLE();
}

}  // namespace rutile::raft
