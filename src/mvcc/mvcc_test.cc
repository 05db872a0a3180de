// Readers over records: scripts in testdata, and random records beside the rule said plainly.

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/testing/engines.h"
#include "mvcc/backward_scanner.h"
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

std::unique_ptr<Scanner> NewScanner(const engine::Snapshot& snapshot, Scanner::Options options,
                                    bool reverse) {
  if (reverse) return std::make_unique<BackwardScanner>(snapshot, std::move(options));
  return std::make_unique<ForwardScanner>(snapshot, std::move(options));
}

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
    if (Has("committed")) view.committed.insert(Time("committed"));
    view.ignores_locks = Has("ignore-locks");
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

  // When it was committed only if that is asked for.
  std::string Show(const std::string& value, Timestamp commit) const {
    return Has("commits") ? fmt::format("{} at {}", value, commit.value()) : value;
  }

  std::string Get(const std::string& key) {
    const auto snapshot = engine_->GetSnapshot();
    const Result<ReadAnswer> answer = Reader(*snapshot).Get(key, ViewOf());
    if (!answer.ok()) return answer.status().ToString();
    if (const auto* locked = std::get_if<KeyIsLocked>(&answer.value())) return Show(*locked);
    const auto& found = std::get<std::optional<Found>>(answer.value());
    return found ? Show(found->value, found->commit) : "absent";
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
    Scanner::Options options = {.lower = Text("lower"),
                                .upper = Text("upper"),
                                .view = ViewOf(),
                                .key_only = Has("key-only"),
                                .sample_step = static_cast<std::uint32_t>(Time("step").value()),
                                .within = {.lower = Has("above") ? LockKey(Text("above")) : "",
                                           .upper = Has("below") ? LockKey(Text("below")) : ""}};
    const auto scanner = NewScanner(*snapshot, std::move(options), Has("reverse"));
    std::string out;
    while (true) {
      const Result<std::optional<Scanner::Item>> item = scanner->Next();
      if (!item.ok()) return out + item.status().ToString();
      if (!item.value()) return out.empty() ? "nothing" : out;
      if (const auto* locked = std::get_if<KeyIsLocked>(&*item.value())) {
        out += Show(*locked) + "\n";
      } else {
        const auto& pair = std::get<Scanner::Pair>(*item.value());
        out += fmt::format("{}={}\n", pair.key, Show(pair.value, pair.commit));
      }
    }
  }

  EngineUnderTest engine_{EngineKind::kMemory};
  std::map<std::string, std::string> args_;
};

TEST(Mvcc, Scripts) {
  for (const char* name : {"read", "scan", "reverse_scan"}) {
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

  // What a transaction reads, by the rule alone: "value at commit", "absent" or "locked".
  std::string ReadAt(const View& view) const {
    if (lock && !view.ignores_locks && lock->kind != Lock::Kind::kLock &&
        lock->kind != Lock::Kind::kPessimistic && lock->start <= view.at &&
        lock->min_commit <= view.at && !view.bypassed.contains(lock->start)) {
      if (!view.committed.contains(lock->start)) return "locked";
      if (lock->kind == Lock::Kind::kDelete) return "absent";
      return fmt::format("{} at 0", lock->start.value());
    }
    std::string value = "absent";
    for (const auto& [commit, write] : writes) {
      if (commit > view.at) break;
      if (write.kind == Write::Kind::kPut) {
        value = fmt::format("{} at {}", write.start.value(), commit.value());
      }
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
    // Few or very many.
    const std::uint64_t gap = random.OneIn(3) ? 2 : 20;
    for (std::uint64_t at = 2; at < 60; at += 1 + random.Below(gap)) {
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
                                              Lock::Kind::kLock, Lock::Kind::kPessimistic};
      records.lock = Lock{.kind = kKinds[random.Below(4)],
                          .start = Timestamp(random.Below(60)),
                          .min_commit = Timestamp(random.Below(60))};
      const std::string value = ToString(records.lock->start);
      if (records.lock->kind == Lock::Kind::kPut && random.OneIn(2)) {
        records.lock->short_value = value;
      } else if (records.lock->kind == Lock::Kind::kPut) {
        batch.Put(Family::kDefault, VersionKey(key, records.lock->start), value);
      }
      batch.Put(Family::kLock, LockKey(key), EncodeLock(*records.lock));
    }
  }
  engine.Write(batch);
  return plain;
}

std::string Show(const ReadAnswer& answer) {
  if (std::holds_alternative<KeyIsLocked>(answer)) return "locked";
  const auto& found = std::get<std::optional<Found>>(answer);
  return found ? fmt::format("{} at {}", found->value, found->commit.value()) : "absent";
}

// "key=value at commit" or "key=locked" of each item; an error ends it.
std::vector<std::string> ShowAll(Scanner& scanner) {
  std::vector<std::string> items;
  while (true) {
    const Result<std::optional<Scanner::Item>> item = scanner.Next();
    if (!item.ok()) items.push_back(item.status().ToString());
    if (!item.ok() || !item.value()) return items;
    if (const auto* pair = std::get_if<Scanner::Pair>(&*item.value())) {
      items.push_back(fmt::format("{}={} at {}", pair->key, pair->value, pair->commit.value()));
    } else {
      items.push_back(std::get<KeyIsLocked>(*item.value()).key + "=locked");
    }
  }
}

// The items that a sample of every so manieth pair leaves.
std::vector<std::string> Sample(const std::vector<std::string>& items, std::uint32_t step) {
  std::vector<std::string> sample;
  std::uint32_t pairs = 0;
  for (const std::string& item : items) {
    if (item.ends_with("=locked") || pairs++ % std::max(1u, step) == 0) sample.push_back(item);
  }
  return sample;
}

class MvccRandom : public ::testing::TestWithParam<EngineKind> {};

TEST_P(MvccRandom, ReaderAndScannersAnswerByTheRule) {
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds =
      (GetParam() == EngineKind::kMemory ? 200 : 5) * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("RUTILE_SEED=" + std::to_string(seed));
    SeededRandom random(seed);
    EngineUnderTest engine(GetParam());
    const std::map<std::string, PlainKey> plain = Fill(random, engine);
    const auto snapshot = engine->GetSnapshot();
    Reader reader(*snapshot);
    for (int i = 0; i < 5; ++i) {
      const auto some_key = [&] {
        return std::string(random.Below(10), static_cast<char>('a' + random.Below(3)));
      };
      View view = {.at = Timestamp(random.Below(62)),
                   .bypassed = {Timestamp(random.Below(60))},
                   .ignores_locks = random.OneIn(8)};
      for (const auto& [key, records] : plain) {
        if (records.lock && random.OneIn(3)) view.committed.insert(records.lock->start);
      }
      Scanner::Options options = {.lower = some_key(), .upper = some_key(), .view = view};
      std::vector<std::string> expected;
      for (const auto& [key, records] : plain) {
        const std::string value = records.ReadAt(view);
        const Result<ReadAnswer> answer = reader.Get(key, view);
        ASSERT_TRUE(answer.ok()) << answer.status().ToString();
        ASSERT_EQ(Show(answer.value()), value) << key;
        if (value == "absent" || key < options.lower) continue;
        if (!options.upper.empty() && key >= options.upper) continue;
        expected.push_back(fmt::format("{}={}", key, value));
      }
      options.sample_step = static_cast<std::uint32_t>(random.Below(4));
      ForwardScanner up(*snapshot, options);
      ASSERT_EQ(ShowAll(up), Sample(expected, options.sample_step));
      std::ranges::reverse(expected);
      BackwardScanner down(*snapshot, options);
      ASSERT_EQ(ShowAll(down), Sample(expected, options.sample_step));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Engines, MvccRandom,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocks),
                         [](const auto& param) { return ToString(param.param); });

// Counts how often its iterators are moved; after so many moves they fail.
class CountingSnapshot final : public engine::Snapshot {
 public:
  explicit CountingSnapshot(const engine::Snapshot& snapshot, int fail_after = INT_MAX)
      : snapshot_(snapshot), moves_{.fail_after = fail_after} {}

  Result<std::optional<std::string>> Get(Family family, std::string_view key) const override {
    return snapshot_.Get(family, key);
  }
  std::unique_ptr<engine::Iterator> NewIterator(Family family,
                                                engine::Bounds bounds) const override {
    return std::make_unique<CountingIterator>(snapshot_.NewIterator(family, std::move(bounds)),
                                              &moves_);
  }
  std::unique_ptr<engine::Cursor> NewVersionCursor() const override {
    return std::make_unique<Counting<engine::Cursor>>(snapshot_.NewVersionCursor(), &moves_);
  }
  int moves() const { return moves_.made; }

 private:
  struct Moves {
    int fail_after = 0;
    int made = 0;
  };
  template <class Base>
  class Counting : public Base {
   public:
    Counting(std::unique_ptr<Base> walk, Moves* moves) : walk_(std::move(walk)), moves_(moves) {}
    bool Valid() const override { return !has_failed_ && walk_->Valid(); }
    void Seek(std::string_view key) override {
      if (Move()) walk_->Seek(key);
    }
    void Next() override {
      if (Move()) walk_->Next();
    }
    std::string_view key() const override { return walk_->key(); }
    std::string_view value() const override { return walk_->value(); }
    Status status() const override {
      return has_failed_ ? Status(Code::kUnavailable, "the disk is gone") : walk_->status();
    }

   protected:
    bool Move() {
      has_failed_ = moves_->made == moves_->fail_after;
      if (!has_failed_) ++moves_->made;
      return !has_failed_;
    }
    Base& walk() { return *walk_; }

   private:
    const std::unique_ptr<Base> walk_;
    Moves* const moves_;
    bool has_failed_ = false;
  };
  class CountingIterator final : public Counting<engine::Iterator> {
   public:
    using Counting::Counting;
    void SeekBefore(std::string_view key) override {
      if (Move()) walk().SeekBefore(key);
    }
    void Prev() override {
      if (Move()) walk().Prev();
    }
  };

  const engine::Snapshot& snapshot_;
  mutable Moves moves_;
};

TEST(Mvcc, VersionsThatAreNotReadAreNotWalkedOver) {
  EngineUnderTest engine(EngineKind::kMemory);
  engine::WriteBatch batch;
  for (const char* key : {"a", "b", "c"}) {
    for (std::uint64_t at = 10; at < 2010; ++at) {
      batch.Put(Family::kWrite, VersionKey(key, Timestamp(at)),
                EncodeWrite({.start = Timestamp(at), .short_value = "x"}));
    }
  }
  engine.Write(batch);
  const auto snapshot = engine->GetSnapshot();
  // None in view, the oldest, one in the middle, the newest.
  for (const std::uint64_t at : {9u, 10u, 1000u, 5000u}) {
    for (const bool reverse : {false, true}) {
      SCOPED_TRACE(fmt::format("at {}, reverse {}", at, reverse));
      const CountingSnapshot counting(*snapshot);
      const auto scanner = NewScanner(counting, {.view = {.at = Timestamp(at)}}, reverse);
      EXPECT_EQ(at < 10 ? 0u : 3u, ShowAll(*scanner).size());
      // Up to eight steps and a seek, to the version and behind it.
      EXPECT_LE(counting.moves(), 3 * 2 * 9 + 2);
    }
  }
}

// It does not pass for the end, nor an older version for the newest.
TEST(Mvcc, WhereReadingFailsTheScanFails) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SeededRandom random(seed);
    EngineUnderTest engine(EngineKind::kMemory);
    Fill(random, engine);
    const auto snapshot = engine->GetSnapshot();
    const Scanner::Options options = {.view = {.at = Timestamp(55)}};
    for (const bool reverse : {false, true}) {
      const CountingSnapshot whole(*snapshot);
      const auto expected = ShowAll(*NewScanner(whole, options, reverse));
      for (int moves = 0; moves < whole.moves(); ++moves) {
        const CountingSnapshot failing(*snapshot, moves);
        auto shown = ShowAll(*NewScanner(failing, options, reverse));
        ASSERT_FALSE(shown.empty());
        EXPECT_THAT(shown.back(), ::testing::HasSubstr("the disk is gone"));
        shown.pop_back();
        ASSERT_LE(shown.size(), expected.size());
        ASSERT_TRUE(std::ranges::equal(shown, std::span(expected).first(shown.size())))
            << "seed " << seed << ", after " << moves << " moves, reverse " << reverse;
      }
    }
  }
}

TEST(Mvcc, AFewVersionsAreSteppedOverBackwards) {
  EngineUnderTest engine(EngineKind::kMemory);
  engine::WriteBatch batch;
  for (int key = 0; key < 100; ++key) {
    for (std::uint64_t at = 10; at < 13; ++at) {
      batch.Put(Family::kWrite, VersionKey(fmt::format("{:02}", key), Timestamp(at)),
                EncodeWrite({.start = Timestamp(at), .short_value = "x"}));
    }
  }
  engine.Write(batch);
  const auto snapshot = engine->GetSnapshot();
  const CountingSnapshot counting(*snapshot);
  BackwardScanner scanner(counting, {.view = {.at = Timestamp(20)}});
  EXPECT_EQ(100u, ShowAll(scanner).size());
  EXPECT_EQ(300 + 2, counting.moves());  // Each record once, and to the end of both families.
}

}  // namespace
}  // namespace rutile::mvcc
