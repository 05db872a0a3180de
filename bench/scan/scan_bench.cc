// What a scan of a transaction costs in the process, beside a bare iterator of RocksDB over as many
// keys and values.
//
//   rutile_scan_bench DIRECTORY [--keys N] [--rounds R] [--page P]
//
// Keys come in an order of chance and are flushed and compacted as RocksDB does by itself. Then all
// are read in order, P to a scanner, as requests of clients have it. Values are random bytes: of
// 100, which stand in the records of writes, and of 256 and 1,024, which stand in a family of their
// own beside those. The two in turn.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "bench/engine_fill.h"
#include "bench/median.h"
#include "bench/random_bytes.h"
#include "engine/rocks/rocks_engine.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "mvcc/scanner.h"

namespace rutile::bench {
namespace {

using engine::Family;
using SteadyClock = std::chrono::steady_clock;

struct Flags {
  std::string directory = {};
  std::uint64_t keys = 40'000;
  std::uint64_t page = 1000;
  int rounds = 9;
};

constexpr mvcc::Timestamp kStart(900), kCommit(1000), kNow(2000);

void FillRecords(engine::KvEngine& engine, std::uint64_t keys, std::size_t value_bytes) {
  SeededRandom random(1);
  EngineFill fill(engine);
  for (std::uint64_t i = 0; i < keys; ++i) {
    const std::string lock_key = mvcc::LockKey(ScatteredKey(i));
    mvcc::Write write{.start = kStart};
    std::string value(RandomBytes(random, value_bytes).view());
    if (value.size() <= mvcc::kShortValueMaxBytes) {
      write.short_value = std::move(value);
    } else {
      fill.Put(Family::kDefault, mvcc::VersionOfLockKey(lock_key, kStart), std::move(value));
    }
    fill.Put(Family::kWrite, mvcc::VersionOfLockKey(lock_key, kCommit), mvcc::EncodeWrite(write));
  }
  fill.Finish();
}

void FillBare(engine::KvEngine& engine, std::uint64_t keys, std::size_t value_bytes) {
  SeededRandom random(1);
  EngineFill fill(engine);
  for (std::uint64_t i = 0; i < keys; ++i) {
    fill.Put(Family::kDefault, ScatteredKey(i),
             std::string(RandomBytes(random, value_bytes).view()));
  }
  fill.Finish();
}

struct Read {
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;
};

Read ReadBare(const engine::KvEngine& engine) {
  Read read;
  const auto snapshot = engine.GetSnapshot();
  const auto iterator = snapshot->NewIterator(Family::kDefault, {});
  for (iterator->Seek({}); iterator->Valid(); iterator->Next()) {
    ++read.keys;
    read.bytes += iterator->key().size() + iterator->value().size();
  }
  Must(iterator->status());
  return read;
}

Read ReadRecords(const engine::KvEngine& engine, std::uint64_t page) {
  Read read;
  std::string from;
  while (true) {
    const auto snapshot = engine.GetSnapshot();
    mvcc::ForwardScanner scanner(*snapshot, {.lower = from, .view = {.at = kNow}});
    std::uint64_t left = page;
    while (left > 0) {
      auto item = scanner.Next();
      Must(item.status());
      if (!item.value()) return read;
      auto& pair = std::get<mvcc::Scanner::Pair>(*item.value());
      ++read.keys;
      --left;
      read.bytes += pair.key.size() + pair.value.size();
      if (left == 0) from = std::move(pair.key) + '\0';
    }
  }
}

// Keys a second; `what` reads.
template <class What>
double Measure(const Flags& flags, std::size_t value_bytes, What what) {
  const auto begin = SteadyClock::now();
  const Read read = what();
  const std::chrono::duration<double> took = SteadyClock::now() - begin;
  RUTILE_CHECK(
      read.keys == flags.keys && read.bytes == flags.keys * (ScatteredKey(0).size() + value_bytes),
      "not all that was written was read");
  return static_cast<double>(read.keys) / took.count();
}

void MeasureValues(const Flags& flags, std::size_t value_bytes) {
  const std::string directory = flags.directory + "/scan";
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  {
    auto records = engine::OpenRocksEngine({.directory = directory + "/records"});
    Must(records.status());
    auto bare = engine::OpenRocksEngine({.directory = directory + "/bare"});
    Must(bare.status());
    FillRecords(*records.value(), flags.keys, value_bytes);
    FillBare(*bare.value(), flags.keys, value_bytes);
    std::vector<double> scans, iterators, ratios;
    for (int round = -1; round < flags.rounds; ++round) {
      const double iterator = Measure(flags, value_bytes, [&] { return ReadBare(*bare.value()); });
      const double scan =
          Measure(flags, value_bytes, [&] { return ReadRecords(*records.value(), flags.page); });
      if (round < 0) continue;  // Blocks come into the cache.
      iterators.push_back(iterator);
      scans.push_back(scan);
      ratios.push_back(scan / iterator);
    }
    fmt::print("| {} B | {:.0f} | {:.0f} | **{:.2f}** |\n", value_bytes, Median(iterators),
               Median(scans), Median(ratios));
  }
  std::filesystem::remove_all(directory);
}

int Run(const Flags& flags) {
  fmt::print("| values | iterator, keys a second | scan, keys a second | ratio |\n");
  fmt::print("|---|---|---|---|\n");
  for (const std::size_t value_bytes : {100U, 256U, 1024U}) MeasureValues(flags, value_bytes);
  return 0;
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  rutile::bench::Flags flags;
  CLI::App app("A scan of a transaction beside a bare iterator");
  app.add_option("directory", flags.directory, "Where the engines are made")->required();
  app.add_option("--keys", flags.keys)->check(CLI::PositiveNumber);
  app.add_option("--page", flags.page, "Keys that one scanner reads")->check(CLI::PositiveNumber);
  app.add_option("--rounds", flags.rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return rutile::bench::Run(flags);
}
