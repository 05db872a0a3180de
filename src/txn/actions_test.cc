// The actions over an engine: scripts in testdata.

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "codec/keys.h"
#include "engine/testing/engines.h"
#include "mvcc/keys.h"
#include "mvcc/lock_scan.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"
#include "testing/datadriven.h"
#include "txn/check_secondary_locks.h"
#include "txn/check_status.h"
#include "txn/commit.h"
#include "txn/flashback.h"
#include "txn/heartbeat.h"
#include "txn/pessimistic_lock.h"
#include "txn/pessimistic_rollback.h"
#include "txn/prewrite.h"
#include "txn/resolve.h"
#include "txn/rollback.h"

namespace rutile::txn {
namespace {

using engine::Family;
using engine::testing::EngineKind;
using engine::testing::EngineUnderTest;

// As the scripts have it: a count, or so many seconds.
std::string ShowTime(Timestamp time) {
  const std::uint64_t physical = mvcc::PhysicalMillis(time);
  const std::uint64_t logical = time.value() - (physical << mvcc::kLogicalBits);
  if (physical == 0) return fmt::format("{}", logical);
  return fmt::format("{}s", static_cast<double>(physical) / 1000) +
         (logical == 0 ? "" : fmt::format("+{}", logical));
}

std::string Show(const KeyError& error) {
  if (const auto* e = std::get_if<KeyIsLocked>(&error)) {
    return fmt::format("{} is locked by {}, primary {}", e->key, ShowTime(e->lock.start),
                       e->lock.primary);
  }
  if (const auto* e = std::get_if<WriteConflict>(&error)) {
    if (e->reason == WriteConflict::Reason::kRolledBack) {
      return fmt::format("{} at {} was rolled back", e->key, ShowTime(e->start));
    }
    const bool retry = e->reason == WriteConflict::Reason::kPessimisticRetry;
    return fmt::format("{} at {} conflicts with {}, committed at {}{}", e->key, ShowTime(e->start),
                       ShowTime(e->other_start), ShowTime(e->other_commit),
                       retry ? ": retry the statement" : "");
  }
  if (const auto* e = std::get_if<PessimisticLockNotFound>(&error)) {
    return fmt::format("{} is not locked by {} as it should be", e->key, ShowTime(e->start));
  }
  if (const auto* e = std::get_if<AlreadyExists>(&error)) {
    return fmt::format("{} exists since {}", e->key, ShowTime(e->existing_commit));
  }
  if (const auto* e = std::get_if<CommitTooEarly>(&error)) {
    return fmt::format("{} cannot commit at {}, below {}", e->key, ShowTime(e->commit),
                       ShowTime(e->min_commit));
  }
  if (const auto* e = std::get_if<LockNotFound>(&error)) {
    return fmt::format("{} has no lock of {}", e->key, ShowTime(e->start));
  }
  if (const auto* e = std::get_if<TransactionNotFound>(&error)) {
    return fmt::format("nothing is known of {} at {}", ShowTime(e->start), e->primary);
  }
  if (const auto* e = std::get_if<PrimaryMismatch>(&error)) {
    return fmt::format("{} is not the primary of {}: {} is", e->key, ShowTime(e->lock.start),
                       e->lock.primary);
  }
  if (const auto* e = std::get_if<AssertionFailed>(&error)) {
    const std::string claim = e->assertion == Assertion::kExists ? "exist" : "be absent";
    if (e->existing_commit.IsZero()) return e->key + " was said to " + claim + ": nothing is there";
    return fmt::format("{} was said to {}: {} has committed at {}", e->key, claim,
                       ShowTime(e->existing_start), ShowTime(e->existing_commit));
  }
  if (const auto* e = std::get_if<Deadlock>(&error)) return e->key + " would never be free";
  const auto& e = std::get<AlreadyCommitted>(error);
  return fmt::format("{} is committed at {}", e.key, ShowTime(e.commit));
}

class Script {
 public:
  std::string Run(const rutile::testing::Directive& directive) {
    directive_ = directive;
    if (directive.command == "clear") return Clear();
    if (directive.command == "get") return Get();
    if (directive.command == "dump") return Dump();
    const auto snapshot = engine_->GetSnapshot();
    mvcc::Reader reader(*snapshot);
    if (directive.command == "prewrite") {
      return FinishPrewrite(Prewrite(reader, ToPrewrite(), MaxTs()));
    }
    if (directive.command == "commit") {
      return Finish(Commit(
          reader, {.keys = directive.words, .start = Time("start"), .commit = Time("commit")}));
    }
    if (directive.command == "rollback") {
      return Finish(Rollback(reader, {.keys = directive.words,
                                      .start = Time("start"),
                                      .unless_alive_at = Time("unless-alive-at")}));
    }
    if (directive.command == "resolve") {
      return Finish(Resolve(
          reader, {.keys = directive.words, .start = Time("start"), .commit = Time("commit")}));
    }
    if (directive.command == "secondaries") {
      return FinishSecondaries(
          CheckSecondaryLocks(reader, {.keys = directive.words, .start = Time("start")}));
    }
    if (directive.command == "status") return FinishStatus(CheckStatus(reader, ToStatus()));
    if (directive.command == "heartbeat") {
      const Result<HeartbeatOutcome> result = Heartbeat(reader, {.primary = directive.words.at(0),
                                                                 .start = Time("start"),
                                                                 .ttl_ms = Number("ttl"),
                                                                 .min_commit = Time("min-commit")});
      if (!result.ok()) return result.status().ToString();
      const std::string finished = Finish(result.value().outcome);
      return result.value().outcome.errors.empty()
                 ? fmt::format("{}, lives for {} ms", finished, result.value().ttl_ms)
                 : finished;
    }
    if (directive.command == "pessimistic-lock") {
      return FinishPessimisticLock(PessimisticLock(reader, ToPessimisticLock()));
    }
    if (directive.command == "pessimistic-rollback") {
      return Finish(PessimisticRollback(
          reader,
          {.keys = directive.words, .start = Time("start"), .for_update = Time("for-update")}));
    }
    if (directive.command == "flashback") return FinishFlashback(Flashback(reader, ToFlashback()));
    if (directive.command == "roll-back-locks") {
      return Finish(RollBackLocks(reader, directive.words));
    }
    if (directive.command == "locks") return Locks(*snapshot);
    return "unknown command " + directive.command;
  }

 private:
  std::uint64_t Number(const char* name) const {
    const auto found = directive_.args.find(name);
    return found == directive_.args.end() ? 0 : std::strtoull(found->second.c_str(), nullptr, 10);
  }
  // A count, or so many seconds: "3s", "3s+1". "max" is the maximum.
  Timestamp Time(const char* name) const {
    const auto found = directive_.args.find(name);
    if (found == directive_.args.end()) return {};
    if (found->second == "max") return mvcc::kMaxTimestamp;
    const std::size_t seconds = found->second.find('s');
    if (seconds == std::string::npos) return Timestamp(Number(name));
    const std::string count = found->second.substr(seconds + 1);
    return Timestamp((Number(name) * 1000 << mvcc::kLogicalBits) +
                     std::strtoull(count.c_str(), nullptr, 10));
  }

  // Words are kind:key or kind:key:value; a value "long" stands for one of 300 bytes. Of a
  // pessimistic transaction the kind may have the key's check behind it: "put+locked", or
  // "put+locked@12" with the timestamp of the lock, or "put+constraint". Any kind may have an
  // assertion behind it: "put+exists", "put+locked+absent".
  static Mutation ToMutation(const std::string& word) {
    static const std::map<std::string, Mutation::Kind> kKinds = {
        {"put", Mutation::Kind::kPut},
        {"insert", Mutation::Kind::kInsert},
        {"delete", Mutation::Kind::kDelete},
        {"lock", Mutation::Kind::kLock},
        {"absent", Mutation::Kind::kCheckNotExists}};
    const std::size_t key = word.find(':') + 1;
    const std::size_t end = std::min(word.find(':', key), word.size());
    const std::string kind = word.substr(0, key - 1);
    const std::size_t check = std::min(kind.find('+'), kind.size());
    Mutation mutation = {.kind = kKinds.at(kind.substr(0, check)),
                         .key = word.substr(key, end - key)};
    if (kind.find("+constraint") != std::string::npos) {
      mutation.check = Mutation::Check::kConstraint;
    } else if (kind.find("+locked") != std::string::npos) {
      mutation.check = Mutation::Check::kLocked;
    }
    if (kind.ends_with("+exists")) mutation.assertion = Assertion::kExists;
    if (kind.ends_with("+absent")) mutation.assertion = Assertion::kAbsent;
    if (const std::size_t at = kind.find('@'); at != std::string::npos) {
      mutation.locked_for_update = Timestamp(std::strtoull(kind.c_str() + at + 1, nullptr, 10));
    }
    if (end < word.size()) mutation.value = word.substr(end + 1);
    if (mutation.value == "long") mutation.value = std::string(300, 'x');
    return mutation;
  }

  PrewriteRequest ToPrewrite() const {
    PrewriteRequest request = {.start = Time("start"),
                               .ttl_ms = 3000,
                               .min_commit = Time("min-commit"),
                               .use_async_commit = directive_.args.contains("async"),
                               .try_one_phase = directive_.args.contains("one-phase"),
                               .max_commit = Time("max-commit"),
                               .for_update = Time("for-update"),
                               .generation = Number("generation")};
    if (directive_.args.contains("assertions")) {
      request.assertions = directive_.args.at("assertions") == "fast"
                               ? PrewriteRequest::Assertions::kFast
                               : PrewriteRequest::Assertions::kStrict;
    }
    if (directive_.args.contains("ttl")) request.ttl_ms = Number("ttl");
    if (request.use_async_commit) request.secondaries = KeysIn(directive_.args.at("async"));
    const auto primary = directive_.args.find("primary");
    if (primary != directive_.args.end()) request.primary = primary->second;
    for (const std::string& word : directive_.words) request.mutations.push_back(ToMutation(word));
    return request;
  }

  // Between commas; "none" are none.
  static std::vector<std::string> KeysIn(const std::string& list) {
    std::vector<std::string> keys;
    if (list == "none") return keys;
    for (std::size_t at = 0; at <= list.size();) {
      const std::size_t end = std::min(list.find(',', at), list.size());
      keys.push_back(list.substr(at, end - at));
      at = end + 1;
    }
    return keys;
  }

  std::optional<Timestamp> MaxTs() const {
    if (!directive_.args.contains("max-ts")) return std::nullopt;
    return Time("max-ts");
  }

  // Words are keys; "absent:key" is one that must not exist.
  PessimisticLockRequest ToPessimisticLock() const {
    PessimisticLockRequest request = {
        .primary = directive_.args.contains("primary") ? directive_.args.at("primary") : "",
        .start = Time("start"),
        .for_update = Time("for-update"),
        .ttl_ms = directive_.args.contains("ttl") ? Number("ttl") : 3000,
        .min_commit = Time("min-commit"),
        .return_values = directive_.args.contains("values"),
        .check_existence = directive_.args.contains("existence"),
        .lock_only_if_exists = directive_.args.contains("if-exists"),
        .allow_lock_with_conflict = directive_.args.contains("with-conflict")};
    for (const std::string& word : directive_.words) {
      const bool absent = word.starts_with("absent:");
      request.keys.push_back({.key = absent ? word.substr(7) : word, .must_not_exist = absent});
    }
    return request;
  }

  std::string FinishPessimisticLock(const Result<PessimisticLockOutcome>& result) {
    if (!result.ok()) return result.status().ToString();
    std::string out = Finish(result.value().outcome);
    for (const LockedKey& key : result.value().keys) {
      if (key == LockedKey()) continue;
      out += fmt::format("\n{}{}", key.exists ? "exists" : "absent",
                         key.value ? ": " + *key.value : "");
      if (!key.locked_with_conflict_at.IsZero()) {
        out += ", locked with conflict at " + ShowTime(key.locked_with_conflict_at);
      }
    }
    return out;
  }

  FlashbackRequest ToFlashback() const {
    return {.keys = directive_.words,
            .version = Time("version"),
            .start = Time("start"),
            .commit = Time("commit"),
            .max_bytes = directive_.args.contains("bytes") ? Number("bytes") : 10'000};
  }

  std::string FinishFlashback(const Result<FlashbackOutcome>& result) {
    if (!result.ok()) return result.status().ToString();
    return fmt::format("{}: {} keys", Finish(result.value().outcome), result.value().done);
  }

  StatusRequest ToStatus() const {
    return {.primary = directive_.words.at(0),
            .start = Time("start"),
            .caller = Time("caller"),
            .now = Time("now"),
            .rollback_if_absent = directive_.args.contains("rollback-if-absent"),
            .must_be_primary = directive_.args.contains("must-be-primary"),
            .force_sync_commit = directive_.args.contains("force-sync-commit"),
            .resolving_pessimistic = directive_.args.contains("resolving-pessimistic")};
  }

  std::string FinishPrewrite(const Result<PrewriteOutcome>& result) {
    if (!result.ok()) return result.status().ToString();
    const auto& [outcome, min_commit, one_phase_commit] = result.value();
    std::string finished = Finish(outcome);
    if (!min_commit.IsZero()) finished += ", commits at " + ShowTime(min_commit);
    if (!one_phase_commit.IsZero()) finished += ", committed at " + ShowTime(one_phase_commit);
    return finished;
  }

  std::string FinishSecondaries(const Result<SecondaryLocksOutcome>& result) {
    if (!result.ok()) return result.status().ToString();
    const auto& [outcome, locks, commit] = result.value();
    std::string out = Finish(outcome) + ": ";
    if (!commit.IsZero()) return out + "committed at " + ShowTime(commit);
    if (locks.empty()) return out + "rolled back";
    out += "locked\n";
    for (const KeyIsLocked& one : locks) {
      out += fmt::format("{} {} {}\n", one.key, one.lock.is_async_commit ? "commits at" : "sync",
                         ShowTime(one.lock.min_commit));
    }
    return out;
  }

  std::string FinishStatus(const Result<StatusOutcome>& result) {
    if (!result.ok()) return result.status().ToString();
    const auto& [outcome, status] = result.value();
    const std::string finished = Finish(outcome);
    if (!outcome.errors.empty()) return finished;
    using Action = TransactionStatus::Action;
    static const std::map<Action, const char*> kActions = {
        {Action::kNone, ""},
        {Action::kExpired, ", since it has expired"},
        {Action::kAbsent, ", since it was absent"},
        {Action::kMinCommitPushed, ", after who asks"},
        {Action::kPessimisticExpired, ", its lock has expired and leaves nothing"},
        {Action::kAbsentLeft, " or not begun, and that is left open"}};
    std::string fate = "rolled back";
    if (status.lock)
      fate = "undecided, commits at " + ShowTime(status.lock->min_commit) + " or later";
    if (!status.commit.IsZero()) fate = "committed at " + ShowTime(status.commit);
    return finished + ": " + fate + kActions.at(status.action);
  }

  std::string Locks(const engine::Snapshot& snapshot) const {
    mvcc::LockScan scan = {.limit = Number("limit")};
    if (directive_.args.contains("from")) scan.lower = directive_.args.at("from");
    if (directive_.args.contains("to")) scan.upper = directive_.args.at("to");
    if (directive_.args.contains("latest")) scan.latest = Time("latest");
    if (directive_.args.contains("start")) scan.starts = {Time("start")};
    const auto found = mvcc::ScanLocks(
        snapshot, scan, {.lower = codec::DataKey(""), .upper = codec::DataEndKey("")});
    if (!found.ok()) return found.status().ToString();
    std::string out;
    for (const KeyIsLocked& one : found.value()) {
      out += fmt::format("{} of {}\n", one.key, ShowTime(one.lock.start));
    }
    return out.empty() ? "none" : out;
  }

  std::string Finish(const Result<Outcome>& result) {
    if (!result.ok()) return result.status().ToString();
    const Outcome& outcome = result.value();
    if (outcome.errors.empty()) {
      engine_.Write(outcome.changes);
      return outcome.changes.empty() ? "nothing to do" : "ok";
    }
    EXPECT_TRUE(outcome.changes.empty());
    std::string out;
    for (const KeyError& error : outcome.errors) out += Show(error) + "\n";
    return out;
  }

  std::string Clear() {
    engine::WriteBatch batch;
    for (const Family family : engine::kAllFamilies) batch.DeleteRange(family, "", "");
    engine_.Write(batch);
    return "";
  }

  std::string Get() {
    const auto snapshot = engine_->GetSnapshot();
    const Result<mvcc::ReadAnswer> answer =
        mvcc::Reader(*snapshot).Get(directive_.words.at(0), {.at = Time("at")});
    if (!answer.ok()) return answer.status().ToString();
    if (const auto* locked = std::get_if<KeyIsLocked>(&answer.value())) return Show(*locked);
    const auto& found = std::get<std::optional<mvcc::Found>>(answer.value());
    if (!found) return "absent";
    const std::string& value = found->value;
    return value.size() < 20 ? value : fmt::format("{} bytes", value.size());
  }

  std::string Dump() {
    std::string out;
    const auto snapshot = engine_->GetSnapshot();
    for (const Family family : {Family::kLock, Family::kWrite, Family::kDefault}) {
      const auto iterator = snapshot->NewIterator(family, {});
      for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
        out += ShowRecord(family, iterator->key(), iterator->value()) + "\n";
      }
    }
    return out.empty() ? "nothing" : out;
  }

  static std::string ShowRecord(Family family, std::string_view key, std::string_view value) {
    if (family == Family::kLock) {
      const mvcc::Lock lock = mvcc::DecodeLock(value).value();
      std::string shown =
          fmt::format("lock {}: {} start={} primary={} {}", mvcc::UserKeyOf(key).value(),
                      static_cast<char>(lock.kind), ShowTime(lock.start), lock.primary,
                      lock.short_value.value_or("-"));
      if (lock.is_async_commit) shown += " async, commits at " + ShowTime(lock.min_commit);
      if (lock.generation != 0) {
        shown += fmt::format(" generation={} ttl={} min-commit={}", lock.generation, lock.ttl_ms,
                             ShowTime(lock.min_commit));
      }
      for (const std::string& secondary : lock.secondaries) shown += " with " + secondary;
      if (lock.for_update.IsZero()) return shown;
      return shown + fmt::format(" for-update={} ttl={} min-commit={}", ShowTime(lock.for_update),
                                 lock.ttl_ms, ShowTime(lock.min_commit));
    }
    const mvcc::VersionKeyParts parts = mvcc::SplitVersionKey(key).value();
    const std::string place =
        fmt::format("{}@{}", mvcc::UserKeyOf(parts.lock_key).value(), ShowTime(parts.timestamp));
    if (family == Family::kDefault) return fmt::format("value {}: {} bytes", place, value.size());
    const mvcc::Write write = mvcc::DecodeWrite(value).value();
    return fmt::format("write {}: {} start={} {}{}", place, static_cast<char>(write.kind),
                       ShowTime(write.start), write.short_value.value_or("-"),
                       write.has_overlapped_rollback ? " and a rollback" : "");
  }

  EngineUnderTest engine_{EngineKind::kMemory};
  rutile::testing::Directive directive_;
};

TEST(TxnActions, Scripts) {
  for (const char* name : {"assertions", "async_commit", "commit", "conflicts", "flashback",
                           "flush", "one_phase", "pessimistic", "rollback", "status"}) {
    Script script;
    EXPECT_EQ("", rutile::testing::RunDataDriven(
                      fmt::format("{}/src/txn/testdata/{}.txt", RUTILE_SOURCE_DIR, name),
                      [&](const rutile::testing::Directive& d) { return script.Run(d); }));
  }
}

}  // namespace
}  // namespace rutile::txn
