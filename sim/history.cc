#include "sim/history.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <tuple>

namespace rutile::sim {
namespace {

using CallKind = RegisterCall::Kind;

struct Event {
  Duration at = {};
  bool is_end = false;
  const std::string* key = nullptr;
  const RegisterCall* call = nullptr;
  std::uint64_t process = 0;
};

// By time; an end before a beginning of the same moment, which cannot be its own.
std::vector<Event> EventsOf(const std::map<std::string, std::vector<RegisterCall>>& history) {
  std::vector<Event> calls;
  std::uint64_t clients = 0;
  for (const auto& [key, of_key] : history) {
    for (const RegisterCall& call : of_key) {
      calls.push_back({.at = call.invoked, .key = &key, .call = &call});
      clients = std::max(clients, call.client + 1);
    }
  }
  std::stable_sort(calls.begin(), calls.end(),
                   [](const Event& a, const Event& b) { return a.at < b.at; });
  std::map<std::uint64_t, std::uint64_t> unanswered;  // By client, so far.
  std::vector<Event> events;
  Duration last = {};
  for (Event& event : calls) {
    std::uint64_t& lives = unanswered[event.call->client];
    event.process = event.call->client + lives * clients;
    if (!event.call->returned) ++lives;
    last = std::max({last, event.at, event.call->returned.value_or(Duration(0))});
    events.push_back(event);
  }
  for (Event event : calls) {
    event.is_end = true;
    event.at = event.call->returned.value_or(last + Duration(1));
    events.push_back(event);
  }
  std::stable_sort(events.begin(), events.end(), [](const Event& a, const Event& b) {
    return std::tuple(a.at, !a.is_end) < std::tuple(b.at, !b.is_end);
  });
  return events;
}

// A string of either language; keys and values are printable.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

struct Words {
  const char* nil;
  const char* comma;
  const char* keyword;  // Before a keyword,
  const char* end;      // and after.
  const char* separator;
};
constexpr Words kEdn{"nil", " ", ":", "", " "};
constexpr Words kJson{"null", ", ", "\"", "\"", ": "};

std::string ValueOf(const Event& event, const Words& words) {
  const RegisterCall& call = *event.call;
  const auto text = [&](const std::optional<std::string>& value) {
    return value ? Quoted(*value) : std::string(words.nil);
  };
  std::string value = words.nil;
  switch (call.kind) {
    case CallKind::kGet:
      if (event.is_end && call.returned) value = text(call.seen);
      break;
    case CallKind::kPut: value = text(call.value); break;
    case CallKind::kDelete: break;  // Writes nothing.
    case CallKind::kCompareAndSwap:
      value = "[" + text(call.expected) + words.comma + text(call.value) + "]";
      break;
  }
  return "[" + Quoted(*event.key) + words.comma + value + "]";
}

std::string TypeOf(const Event& event) {
  if (!event.is_end) return "invoke";
  if (!event.call->returned) return "info";
  const bool failed = event.call->kind == CallKind::kCompareAndSwap && !event.call->swapped;
  return failed ? "fail" : "ok";
}

std::string FunctionOf(CallKind kind) {
  switch (kind) {
    case CallKind::kGet: return "read";
    case CallKind::kPut:
    case CallKind::kDelete: return "write";
    case CallKind::kCompareAndSwap: return "cas";
  }
  return "";
}

std::string Line(const Event& event, const Words& words, std::size_t index) {
  const auto keyword = [&](const std::string& name) { return words.keyword + name + words.end; };
  std::string line = "{";
  const auto add = [&](const std::string& name, const std::string& value) {
    if (line.size() > 1) line += ", ";
    line += keyword(name) + words.separator + value;
  };
  add("index", std::to_string(index));
  add("time", std::to_string(event.at.count()));
  add("type", keyword(TypeOf(event)));
  add("process", std::to_string(event.process));
  add("f", keyword(FunctionOf(event.call->kind)));
  add("value", ValueOf(event, words));
  return line + "}";
}

}  // namespace

std::string HistoryAsEdn(const std::map<std::string, std::vector<RegisterCall>>& history) {
  std::string text;
  std::size_t index = 0;
  for (const Event& event : EventsOf(history)) text += Line(event, kEdn, index++) + "\n";
  return text;
}

std::string HistoryAsJson(const std::map<std::string, std::vector<RegisterCall>>& history) {
  std::string text = "[";
  std::size_t index = 0;
  for (const Event& event : EventsOf(history)) {
    text += index == 0 ? "\n" : ",\n";
    text += Line(event, kJson, index++);
  }
  return text + "\n]\n";
}

}  // namespace rutile::sim
