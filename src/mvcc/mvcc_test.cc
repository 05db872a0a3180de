// Readers over records: scripts in testdata, and random records beside the rule said plainly.

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/testing/engines.h"
#include "mvcc/keys.h"
#include "mvcc/reader.h"
#include "mvcc/records.h"
#include "mvcc/scanner.h"
#include "testing/datadriven.h"

namespace rutile::mvcc {
namespace {

using engine::Family;
using engine::testing::EngineKind;
using engine::testing::EngineUnderTest;
using engine::testing::FromEnvironment;

class Script {
 public:
  std::string Run(const rutile::testing::Directive& directive) {
    args_ = directive.args;
    const std::string key = directive.words.empty() ? "" : directive.words[0];
    if (directive.command == "lock") return PutLock(key);
    if (directive.command == "write") return PutWrite(key);
    if (directive.command == "get") return Get(key);
    if (directive.command == "fate") return FateOf(key);
    if (directive.command == "scan") return Scan();
    return "unknown command " + directive.command;
  }

 private:
  std::string Text(const char* name) const {
    const auto found = args_.find(name);
    return found == args_.end() ? "" : found->second;
  }
  bool Has(const char* name) const { return args_.contains(name); }
  Timestamp Time(const char* name) const {
    if (Text(name) == "max") return kMaxTimestamp;
    return Timestamp(std::strtoull(Text(name).c_str(), nullptr, 10));
  }
  View ViewOf() const {
    View view = {.at = Time("at")};
    if (Has("bypass")) view.bypassed.insert(Time("bypass"));
    return view;
  }

  // A value is short unless it is said to be long.
  std::optional<std::string> ShortValue() const {
    return Has("value") ? std::optional(Text("value")) : std::nullopt;
  }
  void PutLongValue(const std::string& key, engine::WriteBatch* batch) const {
    if (!Has("long")) return;
    batch->Put(Family::kDefault, VersionKey(key, Time("start")), Text("long"));
  }

  std::string PutLock(const std::string& key) {
    engine::WriteBatch batch;
    batch.Put(Family::kLock, LockKey(key),
              EncodeLock({.kind = static_cast<Lock::Kind>(Text("kind").at(0)),
                          .primary = Text("primary"),
                          .start = Time("start"),
                          .min_commit = Time("min-commit"),
                          .short_value = ShortValue()}));
    PutLongValue(key, &batch);
    engine_.Write(batch);
    return "";
  }

  std::string PutWrite(const std::string& key) {
    engine::WriteBatch batch;
    batch.Put(Family::kWrite, VersionKey(key, Time("at")),
              EncodeWrite({.kind = static_cast<Write::Kind>(Text("kind").at(0)),
                           .start = Time("start"),
                           .has_overlapped_rollback = Has("overlapped"),
                           .short_value = ShortValue()}));
    PutLongValue(key, &batch);
    engine_.Write(batch);
    return "";
  }

  static std::string Show(const KeyIsLocked& locked) {
    return fmt::format("{} is locked by {}, primary {}", locked.key, locked.lock.start.value(),
                       locked.lock.primary);
  }

  std::string Get(const std::string& key) {
    const auto snapshot = engine_->GetSnapshot();
    const Result<ReadAnswer> answer = Reader(*snapshot).Get(key, ViewOf());
    if (!answer.ok()) return answer.status().ToString();
    if (const auto* locked = std::get_if<KeyIsLocked>(&answer.value())) return Show(*locked);
    return std::get<std::optional<std::string>>(answer.value()).value_or("absent");
  }

  std::string FateOf(const std::string& key) {
    const auto snapshot = engine_->GetSnapshot();
    const Result<Fate> fate = Reader(*snapshot).FateOf(key, Time("start"));
    if (!fate.ok()) return fate.status().ToString();
    if (const auto* committed = std::get_if<Committed>(&fate.value())) {
      return "committed at " + ToString(committed->commit);
    }
    return std::holds_alternative<RolledBack>(fate.value()) ? "rolled back" : "unknown";
  }

  std::string Scan() {
    const auto snapshot = engine_->GetSnapshot();
    ForwardScanner scanner(*snapshot, {.lower = Text("lower"),
                                       .upper = Text("upper"),
                                       .view = ViewOf(),
                                       .key_only = Has("key-only")});
    std::string out;
    while (true) {
      const Result<std::optional<ForwardScanner::Item>> item = scanner.Next();
      if (!item.ok()) return out + item.status().ToString();
      if (!item.value()) return out.empty() ? "nothing" : out;
      if (const auto* locked = std::get_if<KeyIsLocked>(&*item.value())) {
        out += Show(*locked) + "\n";
      } else {
        const auto& pair = std::get<ForwardScanner::Pair>(*item.value());
        out += fmt::format("{}={}\n", pair.key, pair.value);
      }
    }
  }

  EngineUnderTest engine_{EngineKind::kMemory};
  std::map<std::string, std::string> args_;
};

TEST(Mvcc, Scripts) {
  for (const char* name : {"read", "scan"}) {
    Script script;
    EXPECT_EQ("", rutile::testing::RunDataDriven(
                      fmt::format("{}/src/mvcc/testdata/{}.txt", RUTILE_SOURCE_DIR, name),
                      [&](const rutile::testing::Directive& d) { return script.Run(d); }));
  }
}

// One user key's records, as they were put in.
struct PlainKey {
  std::optional<Lock> lock = {};
  std::map<Timestamp, Write> writes = {};

  // What a transaction reads, by the rule alone: "value", "absent" or "locked".
  std::string ReadAt(const View& view) const {
    if (lock && lock->kind != Lock::Kind::kLock && lock->start <= view.at &&
        lock->min_commit <= view.at && !view.bypassed.contains(lock->start)) {
      return "locked";
    }
    std::string value = "absent";
    for (const auto& [commit, write] : writes) {
      if (commit > view.at) break;
      if (write.kind == Write::Kind::kPut) value = std::to_string(write.start.value());
      if (write.kind == Write::Kind::kDelete) value = "absent";
    }
    return value;
  }
};

// Fills an engine with random records whose values tell the transaction that wrote them.
std::map<std::string, PlainKey> Fill(Random& random, EngineUnderTest& engine) {
  std::map<std::string, PlainKey> plain;
  engine::WriteBatch batch;
  for (int i = 0; i < 12; ++i) {
    const std::string key(random.Below(11), static_cast<char>('a' + random.Below(3)));
    PlainKey& records = plain[key];
    for (std::uint64_t at = 2; at < 60; at += 1 + random.Below(20)) {
      static constexpr Write::Kind kKinds[] = {Write::Kind::kPut, Write::Kind::kPut,
                                               Write::Kind::kDelete, Write::Kind::kLock,
                                               Write::Kind::kRollback};
      Write write = {.kind = kKinds[random.Below(5)], .start = Timestamp(at - 1)};
      const std::string value = std::to_string(at - 1);
      if (write.kind == Write::Kind::kPut && random.OneIn(2)) {
        write.short_value = value;
      } else if (write.kind == Write::Kind::kPut) {
        batch.Put(Family::kDefault, VersionKey(key, write.start), value);
      }
      batch.Put(Family::kWrite, VersionKey(key, Timestamp(at)), EncodeWrite(write));
      records.writes[Timestamp(at)] = write;
    }
    if (random.OneIn(3)) {
      static constexpr Lock::Kind kKinds[] = {Lock::Kind::kPut, Lock::Kind::kDelete,
                                              Lock::Kind::kLock};
      records.lock = Lock{.kind = kKinds[random.Below(3)],
                          .start = Timestamp(random.Below(60)),
                          .min_commit = Timestamp(random.Below(60))};
      batch.Put(Family::kLock, LockKey(key), EncodeLock(*records.lock));
    }
  }
  engine.Write(batch);
  return plain;
}

TEST(Mvcc, ReaderAndScannerAnswerByTheRule) {
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = 100 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("RUTILE_SEED=" + std::to_string(seed));
    SeededRandom random(seed);
    EngineUnderTest engine(EngineKind::kMemory);
    const std::map<std::string, PlainKey> plain = Fill(random, engine);
    const auto snapshot = engine->GetSnapshot();
    Reader reader(*snapshot);
    const View view = {.at = Timestamp(random.Below(62)),
                       .bypassed = {Timestamp(random.Below(60))}};
    const std::string lower(random.Below(10), static_cast<char>('a' + random.Below(3)));
    const std::string upper(random.Below(10), static_cast<char>('a' + random.Below(3)));

    std::string expected;
    for (const auto& [key, records] : plain) {
      const std::string value = records.ReadAt(view);
      const Result<ReadAnswer> answer = reader.Get(key, view);
      ASSERT_TRUE(answer.ok()) << answer.status().ToString();
      const auto* read = std::get_if<std::optional<std::string>>(&answer.value());
      ASSERT_EQ(read == nullptr ? "locked" : read->value_or("absent"), value) << key;
      if (value == "absent" || key < lower || (!upper.empty() && key >= upper)) continue;
      expected += key + "=" + value + " ";
    }

    ForwardScanner scanner(*snapshot, {.lower = lower, .upper = upper, .view = view});
    std::string scanned;
    while (true) {
      const Result<std::optional<ForwardScanner::Item>> item = scanner.Next();
      ASSERT_TRUE(item.ok()) << item.status().ToString();
      if (!item.value()) break;
      if (const auto* pair = std::get_if<ForwardScanner::Pair>(&*item.value())) {
        scanned += pair->key + "=" + pair->value + " ";
      } else {
        scanned += std::get<KeyIsLocked>(*item.value()).key + "=locked ";
      }
    }
    ASSERT_EQ(scanned, expected);
  }
}

}  // namespace
}  // namespace rutile::mvcc
