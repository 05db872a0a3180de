#include "sim/linearizability.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"

namespace rutile::sim {
namespace {

using Kind = RegisterCall::Kind;

std::string Show(const std::optional<std::string>& value) {
  constexpr std::size_t kShown = 16;
  if (!value) return "(absent)";
  return value->size() <= kShown ? *value : value->substr(0, kShown) + "...";
}

// A state of the register; values are numbered, 0 is absent.
using State = std::size_t;

class Search {
 public:
  explicit Search(std::vector<RegisterCall> calls) : calls_(std::move(calls)) {
    for (const RegisterCall& call : calls_) {
      values_.push_back({.value = Number(call.value),
                         .expected = Number(call.expected),
                         .seen = Number(call.seen)});
      if (call.returned) ++completed_;
    }
    done_.assign(calls_.size(), false);
  }

  // True when an order was found. Depth first: each step takes one of the calls that may come next.
  bool Run() {
    struct Step {
      std::size_t call;
      State before;
    };
    std::vector<Step> path;
    State state = 0;
    std::size_t left = completed_;
    std::size_t next = 0;  // The first call to try here.
    while (left > 0) {
      const std::optional<std::size_t> call = NextCandidate(next, state);
      if (call) {
        path.push_back({*call, state});
        done_[*call] = true;
        state = After(*call, state);
        if (calls_[*call].returned) --left;
        if (visited_.insert({done_, state}).second) {
          RememberDepth(left);
          next = 0;
          continue;
        }
      } else if (path.empty()) {
        return false;
      }
      // Seen before, or a dead end: take the last step back and try the next call there.
      const Step last = path.back();
      path.pop_back();
      done_[last.call] = false;
      if (calls_[last.call].returned) ++left;
      state = last.before;
      next = last.call + 1;
    }
    return true;
  }

  // The calls that could not be put in order any more, at the farthest point that was reached.
  std::string Explain() const {
    std::string text;
    int shown = 0;
    for (std::size_t i = 0; i < calls_.size() && shown < 12; ++i) {
      if (farthest_done_.empty() || farthest_done_[i]) continue;
      text += "\n    " + ToString(calls_[i]);
      ++shown;
    }
    return text;
  }

 private:
  struct Values {
    State value = 0;
    State expected = 0;
    State seen = 0;
  };

  State Number(const std::optional<std::string>& value) {
    if (!value) return 0;
    return numbers_.try_emplace(*value, numbers_.size() + 1).first->second;
  }

  // The first call from `from` on that may take effect now and whose answer fits `state`. Calls are
  // sorted by their beginning: one may come next if it began before all that are left have ended.
  std::optional<std::size_t> NextCandidate(std::size_t from, State state) const {
    Duration first_end = Duration::max();
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if (done_[i]) continue;
      if (calls_[i].invoked > first_end) break;
      if (calls_[i].returned) first_end = std::min(first_end, *calls_[i].returned);
    }
    for (std::size_t i = from; i < calls_.size() && calls_[i].invoked <= first_end; ++i) {
      if (!done_[i] && Fits(i, state)) return i;
    }
    return std::nullopt;
  }

  bool Fits(std::size_t i, State state) const {
    const RegisterCall& call = calls_[i];
    if (!call.returned) return true;
    switch (call.kind) {
      case Kind::kGet: return values_[i].seen == state;
      case Kind::kPut:
      case Kind::kDelete: return true;
      case Kind::kCompareAndSwap:
        return values_[i].seen == state && call.swapped == (values_[i].expected == state);
    }
    RUTILE_UNREACHABLE();
  }

  State After(std::size_t i, State state) const {
    switch (calls_[i].kind) {
      case Kind::kGet: return state;
      case Kind::kPut: return values_[i].value;
      case Kind::kDelete: return 0;
      case Kind::kCompareAndSwap: return values_[i].expected == state ? values_[i].value : state;
    }
    RUTILE_UNREACHABLE();
  }

  void RememberDepth(std::size_t left) {
    if (!farthest_done_.empty() && left >= farthest_left_) return;
    farthest_left_ = left;
    farthest_done_ = done_;
  }

  const std::vector<RegisterCall> calls_;
  std::vector<Values> values_;
  std::map<std::string, State> numbers_;
  std::size_t completed_ = 0;
  std::vector<bool> done_;
  std::set<std::pair<std::vector<bool>, State>> visited_;
  std::size_t farthest_left_ = 0;
  std::vector<bool> farthest_done_;
};

// Calls without an answer that nobody can have noticed: whether they took effect does not matter,
// and each would double the search.
std::vector<RegisterCall> WithoutUnnoticed(const std::vector<RegisterCall>& calls) {
  std::set<std::string> noticed;
  for (const RegisterCall& call : calls) {
    if (call.returned && call.seen) noticed.insert(*call.seen);
  }
  std::vector<RegisterCall> kept;
  for (const RegisterCall& call : calls) {
    const bool writes_value = call.kind == Kind::kPut || call.kind == Kind::kCompareAndSwap;
    const bool unnoticed = call.kind == Kind::kGet ||
                           (writes_value && (!call.value || !noticed.contains(*call.value)));
    if (call.returned || !unnoticed) kept.push_back(call);
  }
  return kept;
}

}  // namespace

std::string ToString(const RegisterCall& call) {
  char when[64];
  std::snprintf(when, sizeof(when), "[%.6fs, %.6fs] ", ToSeconds(call.invoked),
                call.returned ? ToSeconds(*call.returned) : -1.0);
  std::string text = when;
  switch (call.kind) {
    case Kind::kGet: text += "get"; break;
    case Kind::kPut: text += "put " + Show(call.value); break;
    case Kind::kDelete: text += "delete"; break;
    case Kind::kCompareAndSwap:
      text += "swap " + Show(call.expected) + " for " + Show(call.value);
      break;
  }
  if (!call.returned) return text + ": no answer";
  if (call.kind == Kind::kGet) text += ": " + Show(call.seen);
  if (call.kind == Kind::kCompareAndSwap) {
    text += std::string(call.swapped ? ": done" : ": refused") + ", found " + Show(call.seen);
  }
  return text;
}

std::optional<std::string> FindNonLinearizable(std::vector<RegisterCall> calls) {
  std::vector<RegisterCall> kept = WithoutUnnoticed(calls);
  std::stable_sort(kept.begin(), kept.end(), [](const RegisterCall& a, const RegisterCall& b) {
    return a.invoked < b.invoked;
  });
  Search search(std::move(kept));
  if (search.Run()) return std::nullopt;
  return "no order explains these answers:" + search.Explain();
}

}  // namespace rutile::sim
