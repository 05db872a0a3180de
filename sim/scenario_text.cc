#include "sim/scenario_text.h"

#include <algorithm>
#include <array>
#include <utility>

namespace rutile::sim {
namespace {

struct HeaderRule {
  std::string_view name;
  bool required;
};
constexpr std::array kHeaders = {
    HeaderRule{"what", true},   HeaderRule{"museum", true}, HeaderRule{"bug", true},
    HeaderRule{"oracle", true}, HeaderRule{"level", true},  HeaderRule{"fails-with", false},
    HeaderRule{"end", false},
};

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

// Splits one line, without its comment. An error says what is wrong with it.
Result<std::vector<ScenarioWord>> Split(std::string_view line) {
  std::vector<ScenarioWord> words;
  for (std::size_t i = 0; i < line.size();) {
    if (IsBlank(line[i])) {
      ++i;
    } else if (line[i] == '#') {
      break;
    } else if (line[i] == '"') {
      const std::size_t end = line.find('"', i + 1);
      if (end == std::string_view::npos) {
        return Status(Code::kInvalidArgument, "a text begins with \" and does not end");
      }
      words.push_back({.text = std::string(line.substr(i + 1, end - i - 1)), .quoted = true});
      i = end + 1;
    } else {
      std::size_t end = i;
      while (end < line.size() && !IsBlank(line[end]) && line[end] != '"') ++end;
      words.push_back({.text = std::string(line.substr(i, end - i))});
      i = end;
    }
  }
  return words;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

std::string ListOfHeaders() {
  std::string list;
  for (const HeaderRule& rule : kHeaders) {
    list += (list.empty() ? "" : ", ") + std::string(rule.name);
  }
  return list;
}

class Parser {
 public:
  explicit Parser(std::string_view file) { scenario_.file = file; }

  Status Take(std::string_view line) {
    ++number_;
    if (scenario_.lines.empty() && TakeHeader(line)) return problem_;
    Result<std::vector<ScenarioWord>> words = Split(line);
    if (!words.ok()) return Error(words.status().message());
    if (words.value().empty()) return {};
    last_header_ = nullptr;
    scenario_.lines.push_back({.number = number_, .words = std::move(words).value()});
    return {};
  }

  Result<ScenarioText> Finish() {
    for (const HeaderRule& rule : kHeaders) {
      if (rule.required && scenario_.Header(std::string(rule.name)).empty()) {
        return Status(Code::kInvalidArgument, scenario_.file + ": the header '" +
                                                  std::string(rule.name) +
                                                  ":' is missing; expected before the first verb");
      }
    }
    if (scenario_.lines.empty()) {
      return Status(Code::kInvalidArgument, scenario_.file + ": nothing happens; expected a verb");
    }
    return std::move(scenario_);
  }

 private:
  // Whether the line is (part of) a header; problem_ says what is wrong with it.
  bool TakeHeader(std::string_view line) {
    problem_ = {};
    const std::string_view text = Trim(line);
    if (text.empty() || text.front() == '#') return false;
    if (IsBlank(line.front()) && last_header_ != nullptr) {
      *last_header_ += " " + std::string(text);
      return true;
    }
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || text.find_first_of(" \t\"") < colon) return false;
    const std::string name(text.substr(0, colon));
    const bool known = std::any_of(kHeaders.begin(), kHeaders.end(),
                                   [&](const HeaderRule& rule) { return rule.name == name; });
    if (!known) {
      problem_ = Error("unknown header '" + name + "'; expected one of " + ListOfHeaders());
    } else if (scenario_.headers.contains(name)) {
      problem_ = Error("the header '" + name + "' stands here twice");
    } else {
      last_header_ = &scenario_.headers[name];
      *last_header_ = Trim(text.substr(colon + 1));
    }
    return true;
  }

  Status Error(std::string_view what) const {
    return {Code::kInvalidArgument,
            scenario_.file + ":" + std::to_string(number_) + ": " + std::string(what)};
  }

  ScenarioText scenario_;
  std::string* last_header_ = nullptr;
  Status problem_;
  int number_ = 0;
};

}  // namespace

std::string ScenarioText::Header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? std::string() : it->second;
}

Result<ScenarioText> ParseScenario(std::string_view file, std::string_view text) {
  Parser parser(file);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    RUTILE_RETURN_IF_ERROR(parser.Take(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.Finish();
}

}  // namespace rutile::sim
