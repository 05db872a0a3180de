// What it costs to leave garbage out of RocksDB's compactions, beside the same compactions that
// leave it in.
//
//   rutile_garbage_bench DIRECTORY [--keys N] [--versions V] [--rounds R]
//
// One region's records of N keys with V versions each, with the values in them, are written and
// flushed; then all are compacted once as they are, and once with the region's safe point above
// them, by which all versions but one of each key go. The two in turn, each on an engine of its
// own.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/engine_fill.h"
#include "bench/median.h"
#include "codec/keys.h"
#include "engine/rocks/rocks_engine.h"
#include "mvcc/keys.h"
#include "mvcc/records.h"
#include "store/garbage_filter.h"
#include "store/region_marks.h"

namespace rutile::bench {
namespace {

using engine::Family;
using SteadyClock = std::chrono::steady_clock;

struct Flags {
  std::string directory = {};
  std::uint64_t keys = 100'000;
  std::uint64_t versions = 10;
  int rounds = 3;
};

void Fill(engine::KvEngine& engine, const Flags& flags) {
  const std::string value(64, 'v');
  EngineFill fill(engine);
  // As updates come: all keys, and then again.
  for (std::uint64_t version = 1; version <= flags.versions; ++version) {
    for (std::uint64_t key = 0; key < flags.keys; ++key) {
      const mvcc::Write write{.start = mvcc::Timestamp(10 * version),
                              .short_value = value + std::to_string(key * version)};
      fill.Put(Family::kWrite,
               mvcc::VersionKey(fmt::format("key-{:012}", key), mvcc::Timestamp(10 * version + 5)),
               mvcc::EncodeWrite(write));
    }
  }
  fill.Finish();
}

// A walk of the engine's own that has begun knows of no filter.
void AwaitRest(const engine::KvEngine& engine) {
  const auto is_at_work = [&engine] {
    const auto numbers = engine.Statistics();
    return std::any_of(numbers.begin(), numbers.end(), [](const auto& number) {
      return number.first == "running_compactions" && number.second > 0;
    });
  };
  while (is_at_work()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

// How many records a second.
double Compact(const std::string& directory, const Flags& flags, bool leaves_out) {
  std::filesystem::remove_all(directory);
  auto opened = engine::OpenRocksEngine({.directory = directory});
  Must(opened.status());
  engine::KvEngine& engine = *opened.value();
  Fill(engine, flags);
  AwaitRest(engine);
  store::Region region{.id = store::kFirstUserRegion};
  region.peers.push_back({.id = PeerId(1), .store = StoreId(1)});
  const auto filter = std::make_shared<store::GarbageFilter>(engine);
  if (leaves_out) {
    engine::WriteBatch batch;
    batch.Put(Family::kMeta, codec::SafePointKey(region.id),
              store::EncodeMarks({.safe_point = mvcc::Timestamp(10 * flags.versions + 9)}));
    Must(engine.Write(batch));
    Must(engine.Flush());
    filter->Learn(region);
    engine.SetFilter(filter);
  }
  const auto begin = SteadyClock::now();
  Must(engine.Compact(Family::kWrite, {}));
  const std::chrono::duration<double> took = SteadyClock::now() - begin;
  const std::uint64_t expected = leaves_out ? flags.keys * (flags.versions - 1) : 0;
  RUTILE_CHECK(filter->dropped() >= expected, "versions were left that nobody sees");
  return static_cast<double>(flags.keys * flags.versions) / took.count();
}

int Run(const Flags& flags) {
  const std::string directory = flags.directory + "/garbage";
  std::vector<double> as_they_are, left_out, ratios;
  for (int round = 0; round < flags.rounds; ++round) {
    as_they_are.push_back(Compact(directory, flags, false));
    left_out.push_back(Compact(directory, flags, true));
    ratios.push_back(left_out.back() / as_they_are.back());
  }
  std::filesystem::remove_all(directory);
  fmt::print(
      "| keys | versions of each | records a second, all stay | all but the newest go | ratio |\n");
  fmt::print("|---|---|---|---|---|\n");
  fmt::print("| {} | {} | {:.0f} | {:.0f} | **{:.2f}** |\n", flags.keys, flags.versions,
             Median(as_they_are), Median(left_out), Median(ratios));
  return 0;
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  rutile::bench::Flags flags;
  CLI::App app("Compactions that leave garbage out, beside those that do not");
  app.add_option("directory", flags.directory, "Where the engines are made")->required();
  app.add_option("--keys", flags.keys)->check(CLI::PositiveNumber);
  app.add_option("--versions", flags.versions)->check(CLI::PositiveNumber);
  app.add_option("--rounds", flags.rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return rutile::bench::Run(flags);
}
