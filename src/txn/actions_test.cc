// Prewrite, commit and rollback over an engine: scripts in testdata.

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/testing/engines.h"
#include "mvcc/keys.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"
#include "testing/datadriven.h"
#include "txn/commit.h"
#include "txn/prewrite.h"
#include "txn/rollback.h"

namespace rutile::txn {
namespace {

using engine::Family;
using engine::testing::EngineKind;
using engine::testing::EngineUnderTest;

std::string Show(const KeyError& error) {
  if (const auto* e = std::get_if<KeyIsLocked>(&error)) {
    return fmt::format("{} is locked by {}, primary {}", e->key, e->lock.start.value(),
                       e->lock.primary);
  }
  if (const auto* e = std::get_if<WriteConflict>(&error)) {
    if (e->reason == WriteConflict::Reason::kRolledBack) {
      return fmt::format("{} at {} was rolled back", e->key, e->start.value());
    }
    return fmt::format("{} at {} conflicts with {}, committed at {}", e->key, e->start.value(),
                       e->other_start.value(), e->other_commit.value());
  }
  if (const auto* e = std::get_if<AlreadyExists>(&error)) {
    return fmt::format("{} exists since {}", e->key, e->existing_commit.value());
  }
  if (const auto* e = std::get_if<CommitTooEarly>(&error)) {
    return fmt::format("{} cannot commit at {}, below {}", e->key, e->commit.value(),
                       e->min_commit.value());
  }
  if (const auto* e = std::get_if<LockNotFound>(&error)) {
    return fmt::format("{} has no lock of {}", e->key, e->start.value());
  }
  const auto& e = std::get<AlreadyCommitted>(error);
  return fmt::format("{} is committed at {}", e.key, e.commit.value());
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
    if (directive.command == "prewrite") return Finish(Prewrite(reader, ToPrewrite()));
    if (directive.command == "commit") {
      return Finish(Commit(
          reader, {.keys = directive.words, .start = Time("start"), .commit = Time("commit")}));
    }
    if (directive.command == "rollback") {
      return Finish(Rollback(reader, {.keys = directive.words, .start = Time("start")}));
    }
    return "unknown command " + directive.command;
  }

 private:
  Timestamp Time(const char* name) const {
    const auto found = directive_.args.find(name);
    if (found == directive_.args.end()) return {};
    return Timestamp(std::strtoull(found->second.c_str(), nullptr, 10));
  }

  // Words are kind:key or kind:key:value; a value "long" stands for one of 300 bytes.
  static Mutation ToMutation(const std::string& word) {
    static const std::map<std::string, Mutation::Kind> kKinds = {
        {"put", Mutation::Kind::kPut},
        {"insert", Mutation::Kind::kInsert},
        {"delete", Mutation::Kind::kDelete},
        {"lock", Mutation::Kind::kLock},
        {"absent", Mutation::Kind::kCheckNotExists}};
    const std::size_t key = word.find(':') + 1;
    const std::size_t end = std::min(word.find(':', key), word.size());
    Mutation mutation = {.kind = kKinds.at(word.substr(0, key - 1)),
                         .key = word.substr(key, end - key)};
    if (end < word.size()) mutation.value = word.substr(end + 1);
    if (mutation.value == "long") mutation.value = std::string(300, 'x');
    return mutation;
  }

  PrewriteRequest ToPrewrite() const {
    PrewriteRequest request = {
        .start = Time("start"), .ttl_ms = 3000, .min_commit = Time("min-commit")};
    const auto primary = directive_.args.find("primary");
    if (primary != directive_.args.end()) request.primary = primary->second;
    for (const std::string& word : directive_.words) request.mutations.push_back(ToMutation(word));
    return request;
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
    const auto& value = std::get<std::optional<std::string>>(answer.value());
    if (!value) return "absent";
    return value->size() < 20 ? *value : fmt::format("{} bytes", value->size());
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
      return fmt::format("lock {}: {} start={} primary={} {}", mvcc::UserKeyOf(key).value(),
                         static_cast<char>(lock.kind), lock.start.value(), lock.primary,
                         lock.short_value.value_or("-"));
    }
    const mvcc::VersionKeyParts parts = mvcc::SplitVersionKey(key).value();
    const std::string place =
        fmt::format("{}@{}", mvcc::UserKeyOf(parts.lock_key).value(), parts.timestamp.value());
    if (family == Family::kDefault) return fmt::format("value {}: {} bytes", place, value.size());
    const mvcc::Write write = mvcc::DecodeWrite(value).value();
    return fmt::format("write {}: {} start={} {}{}", place, static_cast<char>(write.kind),
                       write.start.value(), write.short_value.value_or("-"),
                       write.has_overlapped_rollback ? " and a rollback" : "");
  }

  EngineUnderTest engine_{EngineKind::kMemory};
  rutile::testing::Directive directive_;
};

TEST(TxnActions, Scripts) {
  for (const char* name : {"commit", "conflicts", "rollback"}) {
    Script script;
    EXPECT_EQ("", rutile::testing::RunDataDriven(
                      fmt::format("{}/src/txn/testdata/{}.txt", RUTILE_SOURCE_DIR, name),
                      [&](const rutile::testing::Directive& d) { return script.Run(d); }));
  }
}

}  // namespace
}  // namespace rutile::txn
