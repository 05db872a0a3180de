// What it costs to look up the newest version of a key in RocksDB: by a cursor over versions, which
// passes by the files that have none of the key, beside an iterator, which looks into each.
//
//   rutile_versions_bench DIRECTORY [--keys N] [--lookups L] [--rounds R]
//
// Records with values of 100 bytes in them come in an order of chance, as transactions write them,
// and are flushed and compacted as RocksDB does by itself. Then keys that are there, and others
// that are not, are looked up, each with a walk of its own, as a point read has it. The two in
// turn.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "bench/engine_fill.h"
#include "bench/median.h"
#include "engine/rocks/rocks_engine.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"

namespace rutile::bench {
namespace {

using engine::Family;
using SteadyClock = std::chrono::steady_clock;

struct Flags {
  std::string directory = {};
  std::uint64_t keys = 1'000'000;
  std::uint64_t lookups = 20'000;
  int rounds = 5;
};

constexpr mvcc::Timestamp kCommit(1000);
constexpr mvcc::Timestamp kNow(2000);

// Every second number is a key that is there.
std::string Key(std::uint64_t number) { return mvcc::LockKey(ScatteredKey(number)); }

void Fill(engine::KvEngine& engine, std::uint64_t keys) {
  const mvcc::Write write{.start = mvcc::Timestamp(900), .short_value = std::string(100, 'v')};
  const std::string record = mvcc::EncodeWrite(write);
  EngineFill fill(engine);
  for (std::uint64_t i = 0; i < keys; ++i) {
    fill.Put(Family::kWrite, mvcc::VersionOfLockKey(Key(2 * i), kCommit), record);
  }
  fill.Finish();
}

enum class By : std::uint8_t { kIterator, kCursor };

// Whether the key has a version in view.
bool Find(const engine::Snapshot& snapshot, By by, const std::string& lock_key) {
  std::unique_ptr<engine::Cursor> walk;
  if (by == By::kCursor) {
    walk = snapshot.NewVersionCursor();
  } else {
    walk = snapshot.NewIterator(Family::kWrite, {});
  }
  walk->Seek(mvcc::VersionOfLockKey(lock_key, kNow));
  Must(walk->status());
  return walk->Valid() && mvcc::SplitVersionKey(walk->key())->lock_key == lock_key;
}

// Lookups a second. The same keys for all that have the same seed.
double LookUp(const engine::KvEngine& engine, const Flags& flags, By by, bool there,
              std::uint64_t seed) {
  SeededRandom random(seed);
  const auto snapshot = engine.GetSnapshot();
  const auto begin = SteadyClock::now();
  for (std::uint64_t i = 0; i < flags.lookups; ++i) {
    const bool found = Find(*snapshot, by, Key(2 * random.Below(flags.keys) + (there ? 0 : 1)));
    RUTILE_CHECK(found == there, "a key is there that was not written, or the other way round");
  }
  const std::chrono::duration<double> took = SteadyClock::now() - begin;
  return static_cast<double>(flags.lookups) / took.count();
}

int Run(const Flags& flags) {
  const std::string directory = flags.directory + "/versions";
  std::filesystem::remove_all(directory);
  {
    auto opened = engine::OpenRocksEngine({.directory = directory});
    Must(opened.status());
    engine::KvEngine& engine = *opened.value();
    Fill(engine, flags.keys);
    fmt::print("| {} keys | an iterator each, a second | a cursor each | ratio |\n", flags.keys);
    fmt::print("|---|---|---|---|\n");
    for (const bool there : {true, false}) {
      std::vector<double> iterators, cursors, ratios;
      for (int round = 0; round < flags.rounds; ++round) {
        const auto seed = static_cast<std::uint64_t>(round);
        iterators.push_back(LookUp(engine, flags, By::kIterator, there, seed));
        cursors.push_back(LookUp(engine, flags, By::kCursor, there, seed));
        ratios.push_back(cursors.back() / iterators.back());
      }
      fmt::print("| {} | {:.0f} | {:.0f} | **{:.2f}** |\n",
                 there ? "that are there" : "that are not", Median(iterators), Median(cursors),
                 Median(ratios));
    }
  }
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  rutile::bench::Flags flags;
  CLI::App app("The newest version of a key, looked up by a cursor and by an iterator");
  app.add_option("directory", flags.directory, "Where the engine is made")->required();
  app.add_option("--keys", flags.keys)->check(CLI::PositiveNumber);
  app.add_option("--lookups", flags.lookups, "Of each measurement")->check(CLI::PositiveNumber);
  app.add_option("--rounds", flags.rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return rutile::bench::Run(flags);
}
