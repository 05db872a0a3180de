#include "sim/scenario_level.h"

#include <algorithm>
#include <array>
#include <optional>

namespace rutile::sim {
namespace {

constexpr std::array<std::string_view, 6> kOperators = {"=", "!=", "<", "<=", ">", ">="};

std::string Show(const ScenarioValue& value) {
  const auto* number = std::get_if<std::uint64_t>(&value);
  return number != nullptr ? std::to_string(*number) : "\"" + std::get<std::string>(value) + "\"";
}

bool Holds(const ScenarioValue& left, std::string_view op, const ScenarioValue& right) {
  if (op == "=") return left == right;
  if (op == "!=") return left != right;
  if (op == "<") return left < right;
  if (op == "<=") return left <= right;
  return op == ">" ? left > right : left >= right;
}

// Whether the word is NODE.FIELD, and its parts.
struct FieldName {
  std::string node;
  std::string field;
  std::string argument;
};
std::optional<FieldName> SplitField(std::string_view word) {
  const std::size_t dot = word.find('.');
  if (dot == std::string_view::npos || dot == 0 || ParseScenarioNumber(word.substr(0, dot)).ok()) {
    return std::nullopt;
  }
  FieldName name{.node = std::string(word.substr(0, dot)),
                 .field = std::string(word.substr(dot + 1)),
                 .argument = {}};
  const std::size_t open = name.field.find('(');
  if (open != std::string::npos && name.field.ends_with(')')) {
    name.argument = name.field.substr(open + 1, name.field.size() - open - 2);
    name.field.resize(open);
  }
  return name;
}

}  // namespace

ScenarioLevel::ScenarioLevel() {
  AddVerb("expect", "CONDITION", "fails the scenario unless the condition holds now",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(ScenarioCondition condition, CompileAnyCondition(words));
            return ScenarioDo([condition = std::move(condition)] {
              const std::string why = condition();
              return why.empty() ? Status() : Failure(why);
            });
          });
}

void ScenarioLevel::AddVerb(const std::string& name, const std::string& usage,
                            const std::string& what, ScenarioVerb::Compile compile) {
  verbs_[name] = {.usage = name + (usage.empty() ? "" : " ") + usage,
                  .what = what,
                  .compile = std::move(compile)};
}

Result<ScenarioAction> ScenarioLevel::Compile(const ScenarioLine& line) {
  ScenarioWords words(line, nodes_);
  RUTILE_ASSIGN_OR_RETURN(const std::string name, words.Word("a verb"));
  const auto verb = verbs_.find(name);
  if (verb == verbs_.end()) {
    std::string list;
    for (const auto& [known, unused] : verbs_) list += (list.empty() ? "" : ", ") + known;
    return Status(Code::kInvalidArgument, "unknown verb '" + name + "'; expected one of " + list);
  }
  if (nodes_.empty() && name != "cluster") {
    return Status(Code::kInvalidArgument, "expected 'cluster' first, found '" + name + "'");
  }
  Result<ScenarioAction> action = verb->second.compile(words);
  Status status = action.ok() ? words.End() : action.status();
  if (!status.ok()) {
    return Status(Code::kInvalidArgument,
                  std::string(status.message()) + " (usage: " + verb->second.usage + ")");
  }
  if (name == "cluster" || name == "disk") return action;
  return ScenarioAction([this, run = std::move(action).value()] {
    RUTILE_RETURN_IF_ERROR(Open());
    return run();
  });
}

Status ScenarioLevel::NameNodes(ScenarioWords& words) {
  if (!nodes_.empty()) return {Code::kInvalidArgument, "there is a cluster already"};
  const auto is_name = [](std::string_view word) {
    return word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z';
  };
  while (is_name(words.Peek())) {
    const std::string name(words.Peek());
    if (std::find(nodes_.begin(), nodes_.end(), name) != nodes_.end()) {
      return {Code::kInvalidArgument, "two nodes are called '" + name + "'"};
    }
    nodes_.push_back(name);
    words.Take(name);
  }
  return nodes_.empty() ? words.Expected("nodes, each a capital letter") : Status();
}

Result<ScenarioCondition> ScenarioLevel::CompileAnyCondition(ScenarioWords& words) {
  return SplitField(words.Peek()) ? CompileComparison(words) : CompileCondition(words);
}

Result<ScenarioField> ScenarioLevel::CompileOperand(ScenarioWords& words, std::string* name) {
  if (words.PeekIsText()) {
    RUTILE_ASSIGN_OR_RETURN(const std::string text, words.Text());
    return ScenarioField([text]() -> ScenarioValue { return text; });
  }
  *name = words.Peek();
  if (words.PeekIsNumber()) {
    RUTILE_ASSIGN_OR_RETURN(const std::uint64_t number, words.Number());
    return ScenarioField([number]() -> ScenarioValue { return number; });
  }
  const std::optional<FieldName> field = SplitField(words.Peek());
  if (!field) return words.Expected("a number, a text or NODE.FIELD");
  RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.NodeNamed(field->node));
  RUTILE_ASSIGN_OR_RETURN(ScenarioField value,
                          CompileField(node, field->field, field->argument, words));
  words.Take(*name);
  return value;
}

Result<ScenarioCondition> ScenarioLevel::CompileComparison(ScenarioWords& words) {
  std::string left_name;
  std::string right_name;
  RUTILE_ASSIGN_OR_RETURN(ScenarioField left, CompileOperand(words, &left_name));
  const std::string op(words.Peek());
  if (std::find(kOperators.begin(), kOperators.end(), op) == kOperators.end()) {
    return words.Expected("= != < <= > or >=");
  }
  words.Take(op);
  RUTILE_ASSIGN_OR_RETURN(ScenarioField right, CompileOperand(words, &right_name));
  return ScenarioCondition([=]() -> std::string {
    const ScenarioValue is = left();
    const ScenarioValue due = right();
    if (is.index() == due.index() && Holds(is, op, due)) return {};
    return left_name + " is " + Show(is) + ", expected " + op + " " + Show(due);
  });
}

}  // namespace rutile::sim
