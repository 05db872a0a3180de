#include "sim/linearizability.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/random.h"

namespace rutile::sim {
namespace {

using CallKind = RegisterCall::Kind;

std::string Show(const std::optional<std::string>& value) {
  constexpr std::size_t kShown = 16;
  if (!value) return "(absent)";
  return value->size() <= kShown ? *value : value->substr(0, kShown) + "...";
}

// A state of the register; values are numbered, 0 is absent.
using State = std::size_t;

// Depth first: each step takes one of the calls that may come next. Some things keep it small:
//   - a call that changes nothing and whose answer fits is taken at once, and no other is tried in
//     its place: if there is an order at all, there is one that begins with it;
//   - a call without an answer is taken only right before one that sees its effect;
//   - of deletes without an answer the one that began first is taken: they are alike, and the
//   others
//     are of use for longer;
//   - a set of calls taken that led nowhere with a state is not tried again with that state.
class Search {
 public:
  // `calls` are sorted by their beginning.
  Search(std::vector<RegisterCall> calls, std::size_t memory)
      : calls_(std::move(calls)), memory_(memory) {
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      const RegisterCall& call = calls_[i];
      values_.push_back({.value = Number(call.value),
                         .expected = Number(call.expected),
                         .seen = Number(call.seen)});
      places_.push_back(answered_.size());
      (call.returned ? answered_ : unanswered_).push_back(i);
    }
    taken_.assign(calls_.size(), false);
    // Each place has the next and the last that is left; behind the last place is the end of both.
    const std::size_t end = answered_.size();
    for (std::size_t place = 0; place <= end; ++place) {
      next_.push_back(place == end ? 0 : place + 1);
      last_.push_back(place == 0 ? end : place - 1);
    }
  }

  enum class End : std::uint8_t { kFound, kNone, kGivenUp };

  End Run() {
    std::vector<std::size_t> choices = Choices();
    while (path_.size() - unanswered_taken_ < answered_.size()) {
      if (remembered_ > memory_) return End::kGivenUp;
      if (!choices.empty()) {
        const std::size_t call = choices.back();
        choices.pop_back();
        Take(call, std::move(choices));
        choices = IsNew() ? Choices() : std::vector<std::size_t>();
        RememberFarthest();
      } else if (!path_.empty()) {
        choices = TakeBack();
      } else {
        return End::kNone;
      }
    }
    return End::kFound;
  }

  // The end of the longest order that was found, and the calls that could not be put behind it.
  std::string Explain() const {
    constexpr std::size_t kBefore = 6, kBehind = 10;
    std::vector<bool> done(calls_.size());
    std::string text;
    for (std::size_t i = 0; i < farthest_.size(); ++i) {
      done[farthest_[i]] = true;
      if (i + kBefore >= farthest_.size()) text += "\n    " + ToString(calls_[farthest_[i]]);
    }
    text += "\n  and then none of";
    std::size_t shown = 0;
    // Those with answers first: the others explain little, and may be many.
    for (const std::vector<std::size_t>* kind : {&answered_, &unanswered_}) {
      for (const std::size_t i : *kind) {
        if (done[i] || shown == kBehind) continue;
        text += "\n    " + ToString(calls_[i]);
        ++shown;
      }
    }
    return text;
  }

 private:
  struct Values {
    State value = 0;
    State expected = 0;
    State seen = 0;
  };
  struct Step {
    std::size_t call;
    State before;
    std::size_t high_before;
    std::vector<std::size_t> others;  // Still to be tried in its place.
  };

  State Number(const std::optional<std::string>& value) {
    if (!value) return 0;
    return numbers_.try_emplace(*value, numbers_.size() + 1).first->second;
  }

  void Take(std::size_t call, std::vector<std::size_t> others) {
    path_.push_back({call, state_, high_, std::move(others)});
    state_ = After(call);
    taken_[call] = true;
    if (!calls_[call].returned) {
      ++unanswered_taken_;
      NoteUnanswered(call, 1);
      return;
    }
    const std::size_t place = places_[call];
    next_[last_[place]] = next_[place];
    last_[next_[place]] = last_[place];
    high_ = std::max(high_, place + 1);
  }

  std::vector<std::size_t> TakeBack() {
    Step step = std::move(path_.back());
    path_.pop_back();
    state_ = step.before;
    taken_[step.call] = false;
    if (!calls_[step.call].returned) {
      --unanswered_taken_;
      NoteUnanswered(step.call, -1);
      return std::move(step.others);
    }
    // The last one taken is the first to come back, so its neighbours are those that it had.
    const std::size_t place = places_[step.call];
    next_[last_[place]] = place;
    last_[next_[place]] = place;
    high_ = step.high_before;
    return std::move(step.others);
  }

  void NoteUnanswered(std::size_t call, int taken) {
    if (calls_[call].kind == CallKind::kDelete) {
      deletes_taken_ += static_cast<std::size_t>(taken);
    } else {
      taken_digest_ ^= SeededRandom(call).Next();
    }
  }

  // The calls that may come next: those that began before all that are left have ended.
  std::vector<std::size_t> Choices() const {
    Duration first_end = Duration::max();
    std::vector<std::size_t> open;
    const std::size_t end = answered_.size();
    for (std::size_t place = next_[end]; place != end; place = next_[place]) {
      const RegisterCall& call = calls_[answered_[place]];
      if (call.invoked > first_end) break;
      first_end = std::min(first_end, *call.returned);
      open.push_back(answered_[place]);
    }
    const bool must_see = MustSee();
    std::vector<std::size_t> answered;
    for (const std::size_t i : open) {
      if (calls_[i].invoked > first_end || !Fits(i)) continue;
      if (Sees(i) && After(i) == state_) return {i};
      if (Sees(i) || !must_see) answered.push_back(i);
    }
    // Tried from the end: first what was answered first, and what need not have happened last.
    std::vector<std::size_t> choices;
    bool may_delete = true;
    for (const std::size_t i : unanswered_) {
      if (taken_[i] || calls_[i].invoked > first_end || After(i) == state_) continue;
      if (calls_[i].kind == CallKind::kDelete && !std::exchange(may_delete, false)) continue;
      const bool swaps = calls_[i].kind == CallKind::kCompareAndSwap;
      if (swaps || !must_see) choices.push_back(i);
    }
    std::sort(answered.begin(), answered.end(), [this](std::size_t a, std::size_t b) {
      return *calls_[a].returned > *calls_[b].returned;
    });
    choices.insert(choices.end(), answered.begin(), answered.end());
    return choices;
  }

  // The last call taken had no answer: the next one has to see its effect.
  bool MustSee() const { return !path_.empty() && !calls_[path_.back().call].returned; }

  bool Sees(std::size_t i) const {
    return calls_[i].kind == CallKind::kGet || calls_[i].kind == CallKind::kCompareAndSwap;
  }

  // Whether the call's answer is right now.
  bool Fits(std::size_t i) const {
    const RegisterCall& call = calls_[i];
    switch (call.kind) {
      case CallKind::kGet: return values_[i].seen == state_;
      case CallKind::kPut:
      case CallKind::kDelete: return true;
      case CallKind::kCompareAndSwap:
        return values_[i].seen == state_ && call.swapped == (values_[i].expected == state_);
    }
    RUTILE_UNREACHABLE();
  }

  State After(std::size_t i) const {
    switch (calls_[i].kind) {
      case CallKind::kGet: return state_;
      case CallKind::kPut: return values_[i].value;
      case CallKind::kDelete: return 0;
      case CallKind::kCompareAndSwap:
        return values_[i].expected == state_ ? values_[i].value : state_;
    }
    RUTILE_UNREACHABLE();
  }

  // What the next choices depend on besides the state. Shortly: all answered calls below high_ are
  // taken but those named, which are no more than overlap; one that lasts for long would otherwise
  // make a list of all that came meanwhile. Of those without an answer hundreds may be taken: they
  // are in it as a digest of 64 bits, which two sets among some millions share once in a million
  // searches.
  std::vector<std::size_t> Key() const {
    std::vector<std::size_t> key = {MustSee() ? std::size_t{1} : 0, high_, taken_digest_};
    for (std::size_t place = next_[answered_.size()]; place < high_; place = next_[place]) {
      key.push_back(answered_[place]);
    }
    return key;
  }

  // Whether the search has not been here before, or only with more of the deletes without an answer
  // taken: those taken are the first (Choices()), so the fewer they are, the more is possible yet.
  bool IsNew() {
    const auto [at, is_new] = visited_.try_emplace({Key(), state_}, deletes_taken_);
    if (is_new) {
      remembered_ += at->first.first.size();
      return true;
    }
    if (at->second <= deletes_taken_) return false;
    at->second = deletes_taken_;
    return true;
  }

  void RememberFarthest() {
    if (path_.size() <= farthest_.size()) return;
    farthest_.clear();
    for (const Step& step : path_) farthest_.push_back(step.call);
  }

  const std::vector<RegisterCall> calls_;
  const std::size_t memory_;
  std::vector<std::size_t> answered_, unanswered_;  // Calls, in order of their beginning.
  std::vector<std::size_t> places_;                 // Of a call in answered_.
  std::vector<Values> values_;
  std::map<std::string, State> numbers_;

  State state_ = 0;
  std::vector<Step> path_;
  std::vector<bool> taken_;
  std::size_t unanswered_taken_ = 0;
  std::vector<std::size_t> next_, last_;  // Places in answered_ that are not taken.
  std::size_t high_ = 0;                  // Behind the last place that is taken.
  std::size_t deletes_taken_ = 0;         // Of those without an answer.
  std::uint64_t taken_digest_ = 0;        // Of the others without an answer that are taken.
  std::map<std::pair<std::vector<std::size_t>, State>, std::size_t> visited_;
  std::size_t remembered_ = 0;         // Numbers in visited_.
  std::vector<std::size_t> farthest_;  // The longest order that was found.
};

// Calls without an answer that nobody can have noticed: whether they took effect does not matter,
// and each would double the search.
std::vector<RegisterCall> WithoutUnnoticed(const std::vector<RegisterCall>& calls) {
  std::set<std::string> noticed;
  for (const RegisterCall& call : calls) {
    if (call.returned && call.seen) noticed.insert(*call.seen);
    if (!call.returned && call.expected) noticed.insert(*call.expected);
  }
  std::vector<RegisterCall> kept;
  for (const RegisterCall& call : calls) {
    const bool writes_value = call.kind == CallKind::kPut || call.kind == CallKind::kCompareAndSwap;
    const bool unnoticed = call.kind == CallKind::kGet ||
                           (writes_value && (!call.value || !noticed.contains(*call.value)));
    if (call.returned || !unnoticed) kept.push_back(call);
  }
  return kept;
}

}  // namespace

std::string ToString(const RegisterCall& call) {
  char when[96];
  std::snprintf(when, sizeof(when), "[%.6fs, %.6fs] store %llu ", ToSeconds(call.invoked),
                call.returned ? ToSeconds(*call.returned) : -1.0,
                static_cast<unsigned long long>(call.store));
  std::string text = when;
  switch (call.kind) {
    case CallKind::kGet: text += "get"; break;
    case CallKind::kPut: text += "put " + Show(call.value); break;
    case CallKind::kDelete: text += "delete"; break;
    case CallKind::kCompareAndSwap:
      text += "swap " + Show(call.expected) + " for " + Show(call.value);
      break;
  }
  if (!call.returned) return text + ": no answer";
  if (call.kind == CallKind::kGet) text += ": " + Show(call.seen);
  if (call.kind == CallKind::kCompareAndSwap) {
    text += std::string(call.swapped ? ": done" : ": refused") + ", found " + Show(call.seen);
  }
  return text;
}

std::optional<std::string> FindNonLinearizable(const std::vector<RegisterCall>& calls,
                                               std::size_t memory) {
  std::vector<RegisterCall> kept = WithoutUnnoticed(calls);
  std::stable_sort(kept.begin(), kept.end(), [](const RegisterCall& a, const RegisterCall& b) {
    return a.invoked < b.invoked;
  });
  Search search(std::move(kept), memory);
  switch (search.Run()) {
    case Search::End::kFound: return std::nullopt;
    case Search::End::kNone: return "no order explains all answers; after" + search.Explain();
    case Search::End::kGivenUp:
      return "the search for an order was given up, none was found; the longest ends with" +
             search.Explain();
  }
  RUTILE_UNREACHABLE();
}

}  // namespace rutile::sim
