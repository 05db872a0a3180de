// Every engine beside a plain map: random changes, reads, snapshots, walks, flushes and crashes;
// and readers beside a writer.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <thread>

#include "engine/testing/engines.h"
#include "engine/testing/model.h"

namespace rutile::engine {
namespace {

using testing::CompareWalk;
using testing::Dump;
using testing::EngineKind;
using testing::EngineUnderTest;
using testing::FromEnvironment;
using testing::Model;
using testing::RandomBatch;
using testing::RandomKey;

class EngineRandom : public ::testing::TestWithParam<EngineKind> {};

INSTANTIATE_TEST_SUITE_P(Engines, EngineRandom,
                         ::testing::Values(EngineKind::kMemory, EngineKind::kRocks,
                                           EngineKind::kRocksWithTinyBuffers),
                         [](const auto& kind) { return ToString(kind.param); });

// An engine, what it must contain, and what it contained at some moments before.
class Beside {
 public:
  Beside(EngineKind kind, std::uint64_t seed) : engine_(kind), random_(seed) {
    history_.emplace_back(engine_->WrittenSequence(), now_);
  }

  void Step() {
    switch (random_.Below(16)) {
      case 0: TakeSnapshot(); break;
      case 1: DropSnapshot(); break;
      case 2: ReadSnapshot(); break;
      case 3:
        if (random_.OneIn(8)) Flush();
        break;
      case 4:
        if (random_.OneIn(40)) Crash();
        break;
      case 5:
      case 6: ReadKey(); break;
      case 7:
      case 8:
      case 9: ASSERT_EQ("", CompareWalk(random_, *engine_->GetSnapshot(), now_)); break;
      default: Write(); break;
    }
  }

  void CompareAll() { ASSERT_EQ(Dump(*engine_), now_); }

 private:
  void Write() {
    const std::uint64_t before = engine_->WrittenSequence();
    const WriteBatch batch = RandomBatch(random_, 12);
    engine_.Write(batch);
    now_.Apply(batch);
    if (engine_->WrittenSequence() == before) return;  // Only empty ranges in it.
    ASSERT_GT(engine_->WrittenSequence(), before);
    history_.emplace_back(engine_->WrittenSequence(), now_);
  }

  void ReadKey() {
    const Family family = kAllFamilies[random_.Below(kAllFamilies.size())];
    const std::string key = RandomKey(random_);
    const auto found = now_.of(family).find(key);
    const Result<std::optional<std::string>> value = engine_->Get(family, key);
    ASSERT_TRUE(value.ok());
    ASSERT_EQ(value.value(),
              found == now_.of(family).end() ? std::nullopt : std::optional(found->second));
  }

  void TakeSnapshot() {
    if (snapshots_.size() < 4) snapshots_.push_back({engine_->GetSnapshot(), now_});
  }

  void DropSnapshot() {
    if (!snapshots_.empty()) {
      snapshots_.erase(snapshots_.begin() +
                       static_cast<std::ptrdiff_t>(random_.Below(snapshots_.size())));
    }
  }

  void ReadSnapshot() {
    if (snapshots_.empty()) return;
    const auto& [snapshot, model] = snapshots_[random_.Below(snapshots_.size())];
    ASSERT_EQ("", CompareWalk(random_, *snapshot, model));
    if (random_.OneIn(8)) {
      ASSERT_EQ(Dump(*snapshot), model);
    }
  }

  void Flush() {
    const Status flushed = engine_->Flush();
    ASSERT_TRUE(flushed.ok()) << flushed.ToString();
    ASSERT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
    Forget();
  }

  // Older states can no longer come back.
  void Forget() {
    while (history_.size() > 1 && history_[1].first <= engine_->DurableSequence()) {
      history_.pop_front();
    }
  }

  // What is found afterwards is the state after some whole batch, and not before the one that was
  // last said to be durable.
  void Crash() {
    Forget();
    snapshots_.clear();
    engine_.Reopen();
    ASSERT_EQ(engine_->DurableSequence(), engine_->WrittenSequence());
    now_ = Dump(*engine_);
    bool known = false;
    for (const auto& [sequence, model] : history_) known = known || model == now_;
    ASSERT_TRUE(known) << "the engine went back to a state it never had, or too far";
    history_.clear();
    history_.emplace_back(engine_->WrittenSequence(), now_);
  }

  struct Pinned {
    std::unique_ptr<const Snapshot> snapshot = {};
    Model model = {};
  };

  EngineUnderTest engine_;
  SeededRandom random_;
  Model now_;
  std::deque<std::pair<std::uint64_t, Model>> history_;  // By sequence, from the durable one on.
  std::vector<Pinned> snapshots_;
};

TEST_P(EngineRandom, EveryReadIsThatOfThePlainMap) {
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = 2 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("RUTILE_SEED=" + std::to_string(seed));
    Beside beside(GetParam(), seed);
    for (int i = 0; i < 1500; ++i) {
      beside.Step();
      if (HasFatalFailure()) return;
    }
    beside.CompareAll();
  }
}

// Versions of some keys, where one is the beginning of another, as a cursor and as a plain map has
// them, while they come and go in batches and ranges and wander to the disk.
TEST_P(EngineRandom, AVersionCursorShowsWhatThePlainMapHas) {
  SeededRandom random(FromEnvironment("RUTILE_SEED", 1));
  EngineUnderTest engine(GetParam());
  std::map<std::string, std::string> all;
  const auto draw = [&random] {
    return std::string(random.Below(4), static_cast<char>('a' + random.Below(2))) +
           std::to_string(10'000'000 + random.Below(12));
  };
  const auto write = [&](int number) {
    WriteBatch batch;
    const std::string key = draw();
    switch (random.Below(8)) {
      case 0: batch.Delete(Family::kWrite, key); break;
      case 1: batch.DeleteRange(Family::kWrite, key, std::max(key, draw())); break;
      default: batch.Put(Family::kWrite, key, std::to_string(number)); break;
    }
    const WriteBatch::Change& change = batch.changes().front();
    engine.Write(batch);
    switch (change.kind) {
      case WriteBatch::Kind::kPut: all[key] = change.value; break;
      case WriteBatch::Kind::kDelete: all.erase(key); break;
      case WriteBatch::Kind::kDeleteRange:
        all.erase(all.lower_bound(key), all.lower_bound(change.value));
        break;
    }
  };
  const std::uint64_t rounds = 600 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (int i = 0; i < 4; ++i) write(static_cast<int>(round));
    if (random.OneIn(20)) {
      ASSERT_TRUE(engine->Flush().ok());
    }
    if (random.OneIn(100)) {
      ASSERT_TRUE(engine->Compact(Family::kWrite, {}).ok());
    }
    const auto snapshot = engine->GetSnapshot();
    const auto cursor = snapshot->NewVersionCursor();
    for (int i = 0; i < 3; ++i) {
      const std::string from = draw();
      const std::string key = from.substr(0, from.size() - kVersionBytes);
      auto expected = all.lower_bound(from);
      cursor->Seek(from);
      for (; expected != all.end() && expected->first.size() == from.size() &&
             expected->first.starts_with(key);
           ++expected, cursor->Next()) {
        ASSERT_TRUE(cursor->Valid()) << "round " << round << ", " << expected->first;
        ASSERT_EQ(cursor->key(), expected->first) << "round " << round;
        ASSERT_EQ(cursor->value(), expected->second) << "round " << round;
      }
      ASSERT_FALSE(cursor->Valid()) << "round " << round << ", " << cursor->key();
      ASSERT_TRUE(cursor->status().ok());
    }
  }
}

// A writer that changes two families in one batch, and two readers that must never see one without
// the other, nor go back.
// What an iterator points at is memory that RocksDB has written, ordered by atomics that the thread
// sanitizer does not see; and sometimes it has forgotten by whose hand it was written.
bool CanLookInside([[maybe_unused]] EngineKind kind) {
#if defined(__SANITIZE_THREAD__)
  return kind == EngineKind::kMemory;
#else
  return true;
#endif
}

TEST_P(EngineRandom, ReadersBesideAWriterSeeWholeBatches) {
  EngineUnderTest engine(GetParam());
  std::atomic<bool> done = false;
  const auto read = [&] {
    std::uint64_t last = 0;
    while (!done) {
      const auto snapshot = engine->GetSnapshot();
      const auto value = snapshot->Get(Family::kDefault, "n");
      const auto other = snapshot->Get(Family::kMeta, "n");
      ASSERT_TRUE(value.ok() && other.ok());
      ASSERT_EQ(value.value(), other.value());
      if (!value.value()) continue;
      const std::uint64_t n = std::stoull(*value.value());
      ASSERT_GE(n, last);
      last = n;
      const auto iterator = snapshot->NewIterator(Family::kWrite, {});
      iterator->SeekBefore("");
      ASSERT_TRUE(iterator->Valid());
      if (CanLookInside(GetParam())) {
        ASSERT_EQ(iterator->value(), std::to_string(n));
      }
      const std::uint64_t durable = engine->DurableSequence();
      ASSERT_LE(durable, engine->WrittenSequence());  // Read in this order: both grow.
    }
  };
  std::thread first(read);
  std::thread second(read);
  for (std::uint64_t n = 1; n <= 1000; ++n) {
    WriteBatch batch;
    batch.Put(Family::kDefault, "n", std::to_string(n));
    batch.Put(Family::kWrite, "key" + std::to_string(10000 + n), std::to_string(n));
    batch.Put(Family::kMeta, "n", std::to_string(n));
    engine.Write(batch);
    if (n % 250 == 0) {
      EXPECT_TRUE(engine->Flush().ok());
    }
  }
  done = true;
  first.join();
  second.join();
}

}  // namespace
}  // namespace rutile::engine
