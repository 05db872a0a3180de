// What many regions cost a store: the same writes over more and more regions, and how long a node
// with many takes to start.
//
//   rutile_regions_bench DIRECTORY [--regions 1,16,256,4096] [--seconds S] [--rounds N]
//                        [--concurrency C] [--bytes B] [--log-streams N] [--quiet]
//   rutile_regions_bench DIRECTORY --start 10000
//
// Three stores in one process, without placement, clients or a network. Each of C writers has one
// put of B bytes under way, to a region that is drawn anew each time. The groups are measured in
// turn, in short blocks, so that what drifts hits all; ratios are medians of rounds. Only the one
// that is measured is open: the clocks of thousands of regions cost something also while nobody
// writes.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "bench/load/histogram.h"
#include "bench/log/targets.h"
#include "bench/median.h"
#include "bench/random_bytes.h"
#include "bench/regions/store_group.h"

namespace rutile::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Flags {
  std::string directory = {};
  std::vector<std::uint64_t> regions = {1, 16, 256, 4096};
  double seconds = 1;
  int rounds = 5;
  std::size_t concurrency = 256;
  std::size_t bytes = 256;
  std::size_t log_streams = 1;
  bool quiet = false;
  std::uint64_t start = 0;
};

// What one group has done, block by block.
struct Blocks {
  std::vector<double> rates = {}, puts_a_sync = {};
  Histogram latency = {};
  std::uint64_t refused = 0;
};

// Writers that go on until they are told to stop.
class Load {
 public:
  Load(StoreGroup& group, const Flags& flags) : group_(group), leaders_(group.regions()) {
    for (std::size_t i = 0; i < flags.concurrency; ++i) {
      writers_.push_back(std::make_unique<Writer>(i + 1));
      writers_.back()->value =
          std::string(RandomBytes(writers_.back()->random, flags.bytes).view());
    }
  }

  void Run(double seconds, Blocks* blocks) {
    blocks_ = blocks;
    running_ = true;
    under_way_ = writers_.size();
    for (auto& writer : writers_) Next(*writer);
    const auto begin = SteadyClock::now();
    const std::uint64_t before = done_.load(), batches = group_.batches();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    const std::uint64_t done = done_.load() - before;
    const double elapsed = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    blocks->rates.push_back(static_cast<double>(done) / elapsed);
    blocks->puts_a_sync.push_back(static_cast<double>(done) /
                                  static_cast<double>(group_.batches() - batches));
    running_ = false;
    while (under_way_.load() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  struct Writer {
    explicit Writer(std::uint64_t seed) : random(seed) {}
    SeededRandom random;
    std::string value = {};
    SteadyClock::time_point begun = {};
  };

  void Next(Writer& writer) {
    if (!running_) {
      --under_way_;
      return;
    }
    const std::uint64_t region = writer.random.Below(group_.regions());
    store::Store* leader = leaders_[region].load(std::memory_order_relaxed);
    while (leader == nullptr) {
      leader = group_.LeaderOf(region);
      leaders_[region].store(leader, std::memory_order_relaxed);
    }
    store::Command command;
    command.mutations.push_back(
        {.kind = store::Mutation::Kind::kPut,
         .key = StoreGroup::KeyOf(region) + std::to_string(writer.random.Below(10'000)),
         .value = writer.value});
    writer.begun = SteadyClock::now();
    leader->Write({.region = StoreGroup::IdOf(region)}, std::move(command),
                  [this, &writer, region](const store::WriteOutcome& outcome) {
                    Finish(writer, region, std::holds_alternative<store::CommandResult>(outcome));
                  });
  }

  void Finish(Writer& writer, std::uint64_t region, bool is_written) {
    if (is_written) {
      ++done_;
      const std::lock_guard lock(mutex_);
      blocks_->latency.Record(SteadyClock::now() - writer.begun);
    } else {
      {
        const std::lock_guard lock(mutex_);
        ++blocks_->refused;
      }
      leaders_[region].store(nullptr, std::memory_order_relaxed);
    }
    Next(writer);
  }

  StoreGroup& group_;
  std::vector<std::atomic<store::Store*>> leaders_;
  std::vector<std::unique_ptr<Writer>> writers_;
  std::atomic<bool> running_ = false;
  std::atomic<std::size_t> under_way_ = 0;
  std::atomic<std::uint64_t> done_ = 0;
  std::mutex mutex_;
  Blocks* blocks_ = nullptr;  // Of the block that runs; what changes at each put under the mutex.
};

std::string Spread(const std::vector<double>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return fmt::format("[{:.2f}, {:.2f}]", *least, *most);
}

void MeasureBlock(const Flags& flags, std::uint64_t regions, Blocks* blocks) {
  StoreGroup group({.directory = flags.directory + fmt::format("/{}", regions),
                    .regions = regions,
                    .log_streams = flags.log_streams,
                    .quiet_groups = flags.quiet});
  group.Start();
  group.AwaitLeaders();
  Load load(group, flags);
  Blocks warm_up;  // Files are made ready, and caches filled.
  load.Run(flags.seconds, &warm_up);
  load.Run(flags.seconds, blocks);
}

void MeasureLoad(const Flags& flags) {
  std::vector<Blocks> all(flags.regions.size());
  for (int round = 0; round < flags.rounds; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) MeasureBlock(flags, flags.regions[i], &all[i]);
  }
  fmt::print(
      "| regions | puts a second | of those over {} | p50, p99 of a put, ms | puts a sync | "
      "refused "
      "|\n|---|---|---|---|---|---|\n",
      flags.regions[0] == 1 ? "one region" : fmt::format("{} regions", flags.regions[0]));
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::vector<double> ratios;
    for (std::size_t round = 0; round < all[i].rates.size(); ++round) {
      ratios.push_back(all[i].rates[round] / all[0].rates[round]);
    }
    const auto millis = [&](double percentile) {
      return static_cast<double>(all[i].latency.Percentile(percentile).count()) / 1e6;
    };
    fmt::print("| {} | {:.0f} | **{:.2f}** {} | {:.1f}, {:.1f} | {:.1f} | {} |\n", flags.regions[i],
               Median(all[i].rates), Median(ratios), Spread(ratios), millis(50), millis(99),
               Median(all[i].puts_a_sync), all[i].refused);
  }
}

// A node alone with many regions, each of which has something in its log.
void MeasureStart(const Flags& flags) {
  const StoreGroup::Options options{.directory = flags.directory + "/start",
                                    .stores = 1,
                                    .regions = flags.start,
                                    .log_streams = flags.log_streams,
                                    .quiet_groups = flags.quiet};
  const auto since = [](SteadyClock::time_point begin) {
    return std::chrono::duration<double>(SteadyClock::now() - begin).count();
  };
  for (const char* what : {"first start", "start"}) {
    const auto begin = SteadyClock::now();
    StoreGroup group(options);
    const double opened = since(begin);
    group.Start();
    const double started = since(begin);
    group.AwaitLeaders();
    const double led = since(begin);
    fmt::print(
        "{} of a node with {} regions: opened after {:.2f} s, takes messages after {:.2f} s, leads "
        "all after "
        "{:.2f} s\n",
        what, flags.start, opened, started, led);
    Flags some = flags;
    some.concurrency = 1000;
    Load load(group, some);
    Blocks nobody_looks_at;
    load.Run(flags.seconds, &nobody_looks_at);
  }
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  CLI::App app("Measures what many regions cost a store");
  rutile::bench::Flags flags;
  app.add_option("directory", flags.directory, "Where to write")->required();
  app.add_option("--regions", flags.regions, "How many, one group of stores for each")
      ->delimiter(',')
      ->check(CLI::Range(1, 100'000));
  app.add_option("--seconds", flags.seconds, "Of one block")->capture_default_str();
  app.add_option("--rounds", flags.rounds, "Blocks of each")->check(CLI::PositiveNumber);
  app.add_option("--concurrency", flags.concurrency, "Puts under way")->capture_default_str();
  app.add_option("--bytes", flags.bytes, "Of a value")->capture_default_str();
  app.add_option("--log-streams", flags.log_streams, "As of `rutile serve`")
      ->check(CLI::Range(1, 16));
  app.add_flag("--quiet", flags.quiet, "Regions with nothing to do send nothing");
  app.add_option("--start", flags.start, "Measure the start of a node with so many regions instead")
      ->check(CLI::Range(1, 100'000));
  CLI11_PARSE(app, argc, argv);
  flags.directory += "/rutile-regions-bench";
  int exit_code = 0;
  try {
    std::filesystem::remove_all(flags.directory);
    if (flags.start > 0) {
      rutile::bench::MeasureStart(flags);
    } else {
      rutile::bench::MeasureLoad(flags);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    exit_code = 1;
  }
  std::filesystem::remove_all(flags.directory);
  return exit_code;
}
