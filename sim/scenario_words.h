#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "sim/scenario_text.h"

namespace rutile::sim {

// Links from each node of `from` to each of `to`; nodes count from 1.
struct ScenarioLinks {
  std::vector<std::size_t> from;
  std::vector<std::size_t> to;
  bool both_ways = false;

  bool Match(std::size_t sender, std::size_t receiver) const;
};

// Reads the words of one statement from left to right. What does not fit is an error that says what
// was found and what was expected; the caller adds file and line.
class ScenarioWords {
 public:
  // `nodes` are the names of the nodes, in order. Both outlive this.
  ScenarioWords(const ScenarioLine& line, const std::vector<std::string>& nodes)
      : line_(line), nodes_(nodes) {}

  bool done() const { return next_ == line_.words.size(); }
  // The next word if it is not quoted, else nothing.
  std::string_view Peek() const;
  bool PeekIsText() const { return !done() && line_.words[next_].quoted; }
  // Steps over the next word if it is this one.
  bool Take(std::string_view word);
  Status Need(std::string_view word);

  // Any one word. `what` says in an error what was expected.
  Result<std::string> Word(std::string_view what);
  Result<std::string> Text();      // In quotation marks.
  Result<std::uint64_t> Number();  // Decimal.
  bool PeekIsNumber() const;
  Result<Duration> Span();     // 150ms, 2s
  Result<LogId> Id();          // 11@2: index 11, term 2
  Result<std::size_t> Node();  // From 1.
  // A->B: one sender, one receiver.
  Result<std::pair<std::size_t, std::size_t>> Link();
  Result<ScenarioLinks> Links();                      // A->B, A-B, A->C,D, *->B
  Result<std::size_t> NodeIn(std::string_view what);  // writer(A), with `what` = "writer"
  // Nothing may follow.
  Status End() const;

  Result<std::size_t> NodeNamed(std::string_view name) const;
  // "expected a node (A, B or C), found 'x'"
  Status Expected(std::string_view what) const;
  static Status Mismatch(std::string_view expected, std::string_view found);

 private:
  std::string NamesOfNodes() const;
  Result<std::vector<std::size_t>> NodesNamed(std::string_view name) const;

  const ScenarioLine& line_;
  const std::vector<std::string>& nodes_;
  std::size_t next_ = 0;
};

// Decimal digits only, and not more than fit.
Result<std::uint64_t> ParseScenarioNumber(std::string_view word);
Result<LogId> ParseScenarioId(std::string_view word);
// "1..3@1 4@2": entries that follow each other.
Result<std::vector<LogId>> ParseScenarioLog(std::string_view text);
std::string DescribeScenarioLog(const std::vector<LogId>& ids);

}  // namespace rutile::sim
