#include "wal/recovery_table.h"

namespace rutile::wal {
namespace {

constexpr auto kAny = std::nullopt;
constexpr bool kYes = true;
constexpr bool kNo = false;

// In the order of docs/design/wal-recovery.md.
constexpr Row kTable[] = {
    // name              sealed at_end found              behind synced decision
    {"sealed-end", kYes, kYes, kAny, kAny, kAny, Decision::kEnd},
    {"sealed-whole", kYes, kNo, Found::kWhole, kAny, kAny, Decision::kKeep},
    {"sealed-hole", kYes, kNo, Found::kNothing, kAny, kAny, Decision::kCorrupt},
    {"sealed-broken", kYes, kNo, Found::kBroken, kAny, kAny, Decision::kCorrupt},
    {"sealed-holed", kYes, kNo, Found::kHoled, kAny, kAny, Decision::kRepair},
    {"sealed-misplaced", kYes, kNo, Found::kMisplaced, kAny, kAny, Decision::kCorrupt},
    {"full", kNo, kYes, kAny, kAny, kAny, Decision::kEnd},
    {"whole", kNo, kNo, Found::kWhole, kAny, kAny, Decision::kKeep},
    {"misplaced", kNo, kNo, Found::kMisplaced, kAny, kAny, Decision::kCorrupt},
    {"end", kNo, kNo, Found::kNothing, kNo, kNo, Decision::kEnd},
    {"lost-batch", kNo, kNo, Found::kNothing, kYes, kNo, Decision::kDropTail},
    {"synced-hole", kNo, kNo, Found::kNothing, kYes, kYes, Decision::kCorrupt},
    {"torn-batch", kNo, kNo, Found::kBroken, kAny, kNo, Decision::kDropTail},
    {"synced-broken", kNo, kNo, Found::kBroken, kYes, kYes, Decision::kCorrupt},
    {"torn-payload", kNo, kNo, Found::kHoled, kAny, kNo, Decision::kDropTail},
    {"synced-holed", kNo, kNo, Found::kHoled, kYes, kYes, Decision::kRepair},
};

template <class T>
bool Agrees(const std::optional<T>& wanted, T actual) {
  return !wanted || *wanted == actual;
}

}  // namespace

bool Row::Matches(const Facts& facts) const {
  return Agrees(sealed, facts.sealed) && Agrees(at_end, facts.at_end) &&
         Agrees(found, facts.found) && Agrees(valid_behind, facts.valid_behind) &&
         Agrees(synced, facts.synced);
}

std::span<const Row> RecoveryTable() { return kTable; }

bool Possible(const Facts& facts) { return facts.valid_behind || !facts.synced; }

const Row& Decide(const Facts& facts) {
  for (const Row& row : kTable) {
    if (row.Matches(facts)) return row;
  }
  RUTILE_UNREACHABLE();
}

}  // namespace rutile::wal
