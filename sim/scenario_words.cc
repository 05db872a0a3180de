#include "sim/scenario_words.h"

#include <algorithm>
#include <charconv>

namespace rutile::sim {

bool ScenarioLinks::Match(std::size_t sender, std::size_t receiver) const {
  const auto in = [](const std::vector<std::size_t>& nodes, std::size_t node) {
    return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
  };
  return (in(from, sender) && in(to, receiver)) ||
         (both_ways && in(from, receiver) && in(to, sender));
}

Status ScenarioWords::Mismatch(std::string_view expected, std::string_view found) {
  return {Code::kInvalidArgument,
          "expected " + std::string(expected) + ", found '" + std::string(found) + "'"};
}

Status ScenarioWords::Expected(std::string_view what) const {
  if (done()) {
    return {Code::kInvalidArgument,
            "expected " + std::string(what) + ", found the end of the line"};
  }
  return Mismatch(what, line_.words[next_].text);
}

std::string_view ScenarioWords::Peek() const {
  return done() || line_.words[next_].quoted ? std::string_view() : line_.words[next_].text;
}

bool ScenarioWords::Take(std::string_view word) {
  if (Peek() != word || done()) return false;
  ++next_;
  return true;
}

Status ScenarioWords::Need(std::string_view word) {
  return Take(word) ? Status() : Expected("'" + std::string(word) + "'");
}

Result<std::string> ScenarioWords::Word(std::string_view what) {
  if (done() || line_.words[next_].quoted) return Expected(what);
  return line_.words[next_++].text;
}

Result<std::string> ScenarioWords::Text() {
  if (!PeekIsText()) return Expected("a text in quotation marks");
  return line_.words[next_++].text;
}

bool ScenarioWords::PeekIsNumber() const { return ParseScenarioNumber(Peek()).ok(); }

Result<std::uint64_t> ScenarioWords::Number() {
  Result<std::uint64_t> number = ParseScenarioNumber(Peek());
  if (!number.ok()) return Expected("a number");
  ++next_;
  return number;
}

Result<Duration> ScenarioWords::Span() {
  const std::string_view word = Peek();
  const std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  const Result<std::uint64_t> number = ParseScenarioNumber(word.substr(0, digits));
  const std::string_view unit = word.substr(digits);
  if (!number.ok() || number.value() > 1'000'000'000 || (unit != "ms" && unit != "s")) {
    return Expected("a span of time, like 150ms or 2s");
  }
  ++next_;
  const auto count = static_cast<std::int64_t>(number.value());
  return unit == "s" ? Seconds(count) : Milliseconds(count);
}

Result<LogId> ScenarioWords::Id() {
  Result<LogId> id = ParseScenarioId(Peek());
  if (!id.ok()) return Expected("an entry, like 11@2 (index 11 of term 2)");
  ++next_;
  return id;
}

std::string ScenarioWords::NamesOfNodes() const {
  std::string names;
  for (const std::string& name : nodes_) names += (names.empty() ? "" : ", ") + name;
  return names.empty() ? "none yet: 'cluster' comes first" : names;
}

Result<std::size_t> ScenarioWords::NodeNamed(std::string_view name) const {
  const auto it = std::find(nodes_.begin(), nodes_.end(), name);
  if (it == nodes_.end()) return Mismatch("a node (" + NamesOfNodes() + ")", name);
  return static_cast<std::size_t>(it - nodes_.begin()) + 1;
}

Result<std::size_t> ScenarioWords::Node() {
  if (Peek().empty()) return Expected("a node (" + NamesOfNodes() + ")");
  Result<std::size_t> node = NodeNamed(Peek());
  if (node.ok()) ++next_;
  return node;
}

Result<std::vector<std::size_t>> ScenarioWords::NodesNamed(std::string_view name) const {
  std::vector<std::size_t> nodes;
  if (name == "*") {
    for (std::size_t i = 1; i <= nodes_.size(); ++i) nodes.push_back(i);
    return nodes;
  }
  for (std::size_t end = 0; end != std::string_view::npos; name.remove_prefix(end + 1)) {
    end = name.find(',');
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, NodeNamed(name.substr(0, end)));
    nodes.push_back(node);
    if (end == std::string_view::npos) break;
  }
  return nodes;
}

Result<ScenarioLinks> ScenarioWords::Links() {
  const std::string_view word = Peek();
  const std::size_t dash = word.find('-');
  if (dash == std::string_view::npos) return Expected("a link, like A->B, A-B, A->C,D or *->B");
  const bool one_way = word.substr(dash).starts_with("->");
  ScenarioLinks links{.from = {}, .to = {}, .both_ways = !one_way};
  RUTILE_ASSIGN_OR_RETURN(links.from, NodesNamed(word.substr(0, dash)));
  RUTILE_ASSIGN_OR_RETURN(links.to, NodesNamed(word.substr(dash + (one_way ? 2 : 1))));
  ++next_;
  return links;
}

Result<std::pair<std::size_t, std::size_t>> ScenarioWords::Link() {
  const std::string_view word = Peek();
  const std::size_t arrow = word.find("->");
  if (arrow == std::string_view::npos) return Expected("a link of two nodes, like A->B");
  RUTILE_ASSIGN_OR_RETURN(const std::size_t from, NodeNamed(word.substr(0, arrow)));
  RUTILE_ASSIGN_OR_RETURN(const std::size_t to, NodeNamed(word.substr(arrow + 2)));
  if (from == to) return Expected("a link of two nodes, like A->B");
  ++next_;
  return std::pair(from, to);
}

Result<std::size_t> ScenarioWords::NodeIn(std::string_view what) {
  const std::string_view word = Peek();
  const std::string begin = std::string(what) + "(";
  if (!word.starts_with(begin) || !word.ends_with(")")) {
    return Expected(begin + "NODE)");
  }
  RUTILE_ASSIGN_OR_RETURN(const std::size_t node,
                          NodeNamed(word.substr(begin.size(), word.size() - begin.size() - 1)));
  ++next_;
  return node;
}

Status ScenarioWords::End() const { return done() ? Status() : Expected("the end of the line"); }

Result<std::uint64_t> ParseScenarioNumber(std::string_view word) {
  std::uint64_t number = 0;
  const char* end = word.data() + word.size();
  const auto [stopped, error] = std::from_chars(word.data(), end, number);
  if (word.empty() || error != std::errc() || stopped != end) {
    return ScenarioWords::Mismatch("a number", word);
  }
  return number;
}

Result<LogId> ParseScenarioId(std::string_view word) {
  const std::size_t at = word.find('@');
  if (at == std::string_view::npos) return ScenarioWords::Mismatch("an entry, like 11@2", word);
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t index, ParseScenarioNumber(word.substr(0, at)));
  RUTILE_ASSIGN_OR_RETURN(const std::uint64_t term, ParseScenarioNumber(word.substr(at + 1)));
  return LogId{Term(term), Index(index)};
}

Result<std::vector<LogId>> ParseScenarioLog(std::string_view text) {
  std::vector<LogId> ids;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    const std::size_t dots = word.find("..");
    const bool is_range = dots != std::string_view::npos;
    RUTILE_ASSIGN_OR_RETURN(const LogId last,
                            ParseScenarioId(word.substr(is_range ? dots + 2 : 0)));
    std::uint64_t first = last.index.value();
    if (is_range) {
      RUTILE_ASSIGN_OR_RETURN(first, ParseScenarioNumber(word.substr(0, dots)));
    }
    const std::uint64_t due = ids.empty() ? first : ids.back().index.value() + 1;
    if (first != due || first > last.index.value() || last.index.value() - first > 100'000 ||
        (!ids.empty() && last.term < ids.back().term)) {
      return ScenarioWords::Mismatch("entries that follow each other, like 1..3@1 4@2", word);
    }
    for (std::uint64_t i = first; i <= last.index.value(); ++i)
      ids.push_back({last.term, Index(i)});
  }
  return ids;
}

std::string DescribeScenarioLog(const std::vector<LogId>& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t end = i;
    while (end + 1 < ids.size() && ids[end + 1].term == ids[i].term) ++end;
    if (!text.empty()) text += " ";
    if (end > i) text += ToString(ids[i].index) + "..";
    text += ToString(ids[end]);
    i = end + 1;
  }
  return text;
}

}  // namespace rutile::sim
