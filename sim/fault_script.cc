#include "sim/fault_script.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace rutile::sim {
namespace {

Duration DrawSpan(Random& random, Duration max) {
  const auto micros = static_cast<std::uint64_t>(ToMicroseconds(max));
  return Microseconds(static_cast<std::int64_t>(random.Below(micros + 1)));
}

std::int64_t Draw(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random.Below(static_cast<std::uint64_t>(high - low + 1)));
}

Fault DrawKind(Random& random, const std::vector<FaultDraw::Weighted>& faults) {
  std::uint64_t sum = 0;
  for (const FaultDraw::Weighted& one : faults) sum += one.weight;
  RUTILE_CHECK(sum > 0);
  std::uint64_t left = random.Below(sum);
  for (const FaultDraw::Weighted& one : faults) {
    if (left < one.weight) return one.fault;
    left -= one.weight;
  }
  RUTILE_UNREACHABLE();
}

void DrawEstrangement(Random& random, TimedFault* fault) {
  fault->node = TimedFault::kLeader;
  fault->first = Draw(random, 900, 2500);
  fault->second = Draw(random, 0, 300);
  fault->span = Milliseconds(fault->first + 1500);
}

void DrawTransfer(Random& random, std::size_t nodes, TimedFault* fault) {
  // About when the others answer the order.
  fault->second = random.OneIn(2) ? 0 : Draw(random, 100, 3000);
  fault->first = Draw(random, 0, static_cast<std::int64_t>(nodes) - 1);
}

void DrawMembers(Random& random, TimedFault* fault) {
  fault->node = TimedFault::kLeader;
  fault->first = Draw(random, 0, 999);
}

// Sets what is particular to the kind.
void DrawNumbers(Random& random, const FaultDraw& draw, std::size_t nodes, TimedFault* fault) {
  const auto mask = [&] { return Draw(random, 1, (std::int64_t{1} << nodes) - 1); };
  const std::int64_t some_changes = random.OneIn(2) ? 0 : Draw(random, 1, 30);
  switch (fault->fault) {
    case Fault::kLoss: fault->first = Draw(random, 10'000, 300'000); return;
    case Fault::kDelay:
      fault->first = Draw(random, 1000, 100'000);
      fault->second = Draw(random, 10'000, 1'000'000);
      return;
    case Fault::kDuplicate: fault->first = Draw(random, 10'000, 500'000); return;
    case Fault::kEcho:
      fault->first = random.OneIn(2) ? Draw(random, 1, 500) : Draw(random, 500, 9000);
      return;
    case Fault::kReorder: fault->first = Draw(random, 1000, 100'000); return;
    case Fault::kHalves:
    case Fault::kBridge:
    case Fault::kClog: fault->first = mask(); return;
    case Fault::kRestart:
      fault->first = mask();
      fault->second = Draw(random, 0, 400);
      return;
    case Fault::kEstrange: return DrawEstrangement(random, fault);
    case Fault::kTransfer: return DrawTransfer(random, nodes, fault);
    case Fault::kMembers: return DrawMembers(random, fault);
    case Fault::kOneWay: fault->first = Draw(random, 0, 1); return;
    case Fault::kFlap: fault->first = Draw(random, 5000, 400'000); return;
    case Fault::kSlow:
      fault->first = Draw(random, 0, 9);
      fault->second = Draw(random, 10, 20'000);
      return;
    case Fault::kStop: fault->first = Draw(random, 0, 9); return;
    case Fault::kCrashLoop:
      fault->first = Draw(random, 1, 5);
      fault->second = Draw(random, 1, 30);
      return;
    case Fault::kBlackout:
    case Fault::kPowerCut: fault->first = some_changes; return;
    case Fault::kWallJump: fault->first = Draw(random, -10'000, 10'000); return;
    case Fault::kDrift:
      fault->first = Draw(random, -draw.max_drift_ppm, draw.max_drift_ppm);
      return;
    case Fault::kFreeze: fault->first = draw.freeze_monotonic ? Draw(random, 0, 1) : 0; return;
    case Fault::kLeap: fault->first = Draw(random, -5000, 5000); return;
    case Fault::kWriteError: fault->first = Draw(random, 1, 3); return;
    case Fault::kBitRot:
      fault->first = Draw(random, 0, 99);
      fault->second = Draw(random, 0, 999'999'999);
      return;
    case Fault::kDiskFull: fault->first = Draw(random, 0, 20'000); return;
    case Fault::kDiskSlow:
      fault->first = Draw(random, 10, 1000);
      fault->second = Draw(random, 0, 3);
      return;
    case Fault::kIsolate:
    case Fault::kRing:
    case Fault::kStale:
    case Fault::kKill:
    case Fault::kPause:
    case Fault::kSyncError:
    case Fault::kReadError:
    case Fault::kDiskStall:
    case Fault::kDiskLost: return;
  }
}

// Takes the next word off `*line`.
std::string_view TakeWord(std::string_view* line) {
  const auto begin = line->find_first_not_of(" \t");
  if (begin == std::string_view::npos) return *line = {};
  line->remove_prefix(begin);
  const std::string_view word = line->substr(0, line->find_first_of(" \t"));
  line->remove_prefix(word.size());
  return word;
}

Status Expected(std::string_view what, std::string_view found) {
  return Status(Code::kInvalidArgument,
                "expected " + std::string(what) + ", found '" + std::string(found) + "'");
}

template <class Number>
std::optional<Number> ParseWhole(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Seconds with up to six decimals; exact, unlike a floating-point number.
Result<Duration> ParseSeconds(std::string_view text, std::string_view what) {
  const auto dot = text.find('.');
  const auto whole = ParseWhole<std::uint32_t>(text.substr(0, dot));
  std::string decimals(dot == std::string_view::npos ? "0" : text.substr(dot + 1));
  const bool fits = whole && !decimals.empty() && decimals.size() <= 6;
  decimals.resize(6, '0');
  const auto micros = ParseWhole<std::uint32_t>(decimals);
  if (!fits || !micros) return Expected(std::string(what) + " in seconds, as in 1.250000", text);
  return Seconds(*whole) + Microseconds(*micros);
}

Result<std::size_t> ParseNode(std::string_view text, std::size_t nodes) {
  if (text == "leader") return TimedFault::kLeader;
  const auto number =
      text.starts_with("n") ? ParseWhole<std::size_t>(text.substr(1)) : std::nullopt;
  if (number && *number >= 1 && *number <= nodes) return *number - 1;
  return Expected("a node (n1 to n" + std::to_string(nodes) + ", or leader)", text);
}

std::string SecondsText(Duration time) {
  const std::string micros = std::to_string(ToMicroseconds(time) % 1'000'000);
  return std::to_string(ToMicroseconds(time) / 1'000'000) + "." +
         std::string(6 - micros.size(), '0') + micros;
}

// All but when it comes and of what kind it is.
void DrawRest(Random& random, const FaultDraw& draw, std::size_t nodes, TimedFault* fault) {
  fault->node = random.OneIn(4) ? TimedFault::kLeader : random.Below(nodes);
  // Most are short; one in eight lasts as long as it may.
  fault->span =
      Milliseconds(1) + (random.OneIn(8) ? draw.max_span : DrawSpan(random, draw.max_span));
  // A disk may hang for a minute.
  if (fault->fault == Fault::kDiskStall && random.OneIn(10)) fault->span = Seconds(60);
  DrawNumbers(random, draw, nodes, fault);
}

void SortByTime(FaultScript* script) {
  std::stable_sort(script->begin(), script->end(),
                   [](const TimedFault& a, const TimedFault& b) { return a.at < b.at; });
}

}  // namespace

const FaultKind& KindOf(Fault fault) {
  const FaultKind& kind = kFaultKinds[static_cast<std::size_t>(fault)];
  RUTILE_CHECK(kind.fault == fault);
  return kind;
}

const FaultKind* FindFault(std::string_view name) {
  for (const FaultKind& kind : kFaultKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

FaultScript DrawFaults(Random& random, const FaultDraw& draw, std::size_t nodes, Duration time) {
  FaultScript script;
  if (draw.faults.empty()) return script;
  Duration at = DrawSpan(random, 2 * draw.mean_pause);
  for (; at < time; at += DrawSpan(random, 2 * draw.mean_pause) + Microseconds(1)) {
    TimedFault fault{.at = at, .fault = DrawKind(random, draw.faults)};
    DrawRest(random, draw, nodes, &fault);
    if (KindOf(fault.fault).is_lasting) {
      if (draw.expendable.empty()) continue;
      fault.node = draw.expendable[random.Below(draw.expendable.size())];
    }
    script.push_back(fault);
  }
  return script;
}

void AddMoves(Random& random, const FaultDraw& draw, std::size_t nodes, Duration time,
              FaultScript* script) {
  for (std::size_t i = 0; i < draw.moves; ++i) {
    const bool transfer = i == 1 || (i > 1 && random.OneIn(4));
    TimedFault fault{.at = DrawSpan(random, time),
                     .fault = transfer ? Fault::kTransfer : Fault::kMembers,
                     .node = TimedFault::kLeader};
    fault.span = Milliseconds(1) + DrawSpan(random, draw.max_span);
    transfer ? DrawTransfer(random, nodes, &fault) : DrawMembers(random, &fault);
    script->push_back(fault);
  }
  SortByTime(script);
}

void AddDiskFaults(Random& random, const FaultDraw& draw, std::size_t nodes, Duration time,
                   FaultScript* script) {
  std::vector<Fault> kinds;
  for (const FaultKind& kind : kFaultKinds) {
    if (kind.fault >= Fault::kPowerCut && !kind.is_lasting) kinds.push_back(kind.fault);
  }
  for (std::size_t i = 0; i < draw.disk_faults; ++i) {
    TimedFault fault{.at = DrawSpan(random, time), .fault = kinds[random.Below(kinds.size())]};
    DrawRest(random, draw, nodes, &fault);
    script->push_back(fault);
  }
  SortByTime(script);
}

std::string ToString(const TimedFault& fault) {
  const FaultKind& kind = KindOf(fault.fault);
  std::string text = SecondsText(fault.at) + " " + std::string(kind.name) + " ";
  text += fault.node == TimedFault::kLeader ? "leader" : "n" + std::to_string(fault.node + 1);
  text += " for " + SecondsText(fault.span);
  const auto add = [&](std::string_view name, std::int64_t value) {
    if (!name.empty()) text += " " + std::string(name) + "=" + std::to_string(value);
  };
  add(kind.first, fault.first);
  add(kind.second, fault.second);
  return text;
}

Result<TimedFault> ParseFault(std::string_view line, std::size_t nodes) {
  TimedFault fault;
  RUTILE_ASSIGN_OR_RETURN(fault.at, ParseSeconds(TakeWord(&line), "a time"));
  const std::string_view name = TakeWord(&line);
  const FaultKind* kind = FindFault(name);
  if (kind == nullptr) {
    std::string names;
    for (const FaultKind& known : kFaultKinds) names += " " + std::string(known.name);
    return Expected("a fault (one of" + names + ")", name);
  }
  fault.fault = kind->fault;
  RUTILE_ASSIGN_OR_RETURN(fault.node, ParseNode(TakeWord(&line), nodes));
  if (const auto word = TakeWord(&line); word != "for") return Expected("'for'", word);
  RUTILE_ASSIGN_OR_RETURN(fault.span, ParseSeconds(TakeWord(&line), "how long"));
  const auto take = [&](std::string_view wanted, std::int64_t* value) -> Status {
    if (wanted.empty()) return {};
    const std::string_view word = TakeWord(&line);
    const auto number = word.starts_with(wanted) && word.substr(wanted.size()).starts_with('=')
                            ? ParseWhole<std::int64_t>(word.substr(wanted.size() + 1))
                            : std::nullopt;
    if (!number) return Expected(std::string(wanted) + "=NUMBER", word);
    *value = *number;
    return {};
  };
  RUTILE_RETURN_IF_ERROR(take(kind->first, &fault.first));
  RUTILE_RETURN_IF_ERROR(take(kind->second, &fault.second));
  if (const auto word = TakeWord(&line); !word.empty())
    return Expected("the end of the line", word);
  return fault;
}

}  // namespace rutile::sim
