// The log engine beside the disk that it writes to and beside RocksDB's log: entries made durable a
// second, and how long each batch took. Also how long a large log takes to recover.
//
//   rutile_log_bench DIRECTORY [--seconds S] [--rounds N] [--recover-mib M]
//
// One thread writes one batch after the other; a batch has one entry for each region. The three are
// measured in turn, in short blocks, so that what drifts hits all. Prints markdown; each ratio is
// the median of the rounds. Exit code 1 with a reason when something fails.

#include <fmt/format.h>
#include <rocksdb/db.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/load/histogram.h"
#include "bench/log/targets.h"
#include "bench/median.h"
#include "env/posix/posix_files.h"
#include "wal/wal.h"

namespace rutile::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

void CheckRocks(const rocksdb::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

struct Shape {
  std::uint64_t regions = 0;
  std::size_t bytes = 0;
};

class RocksLog final : public Target {
 public:
  RocksLog(const std::string& directory, const Shape& shape)
      : shape_(shape), payload_(shape.bytes, 'x') {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.recycle_log_file_num = 4;
    rocksdb::DB* db = nullptr;
    CheckRocks(rocksdb::DB::Open(options, directory, &db));
    db_.reset(db);
  }
  void Append() override {
    rocksdb::WriteBatch batch;
    ++last_;
    for (std::uint64_t region = 1; region <= shape_.regions; ++region) {
      CheckRocks(batch.Put(fmt::format("{:08}{:016}", region, last_), payload_));
    }
    rocksdb::WriteOptions synced;
    synced.sync = true;
    CheckRocks(db_->Write(synced, &batch));
  }

 private:
  const Shape shape_;
  const std::string payload_;
  std::unique_ptr<rocksdb::DB> db_;
  std::uint64_t last_ = 0;
};

struct Measured {
  std::vector<double> batches_a_second = {};
  Histogram latency = {};
};

void MeasureFor(Target& target, double seconds, Measured* measured) {
  const auto begin = SteadyClock::now();
  std::uint64_t batches = 0;
  auto now = begin;
  while (now - begin < std::chrono::duration<double>(seconds)) {
    const auto before = now;
    target.Append();
    measured->latency.Record(SteadyClock::now() - before);
    target.Tidy();
    now = SteadyClock::now();
    ++batches;
  }
  const double elapsed = std::chrono::duration<double>(now - begin).count();
  measured->batches_a_second.push_back(static_cast<double>(batches) / elapsed);
}

double MedianRatio(const Measured& a, const Measured& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.batches_a_second.size(); ++i) {
    ratios.push_back(a.batches_a_second[i] / b.batches_a_second[i]);
  }
  return Median(ratios);
}

void Compare(const std::string& directory, const Shape& shape, double seconds, int rounds) {
  const std::vector<Bytes> payloads(shape.regions, Bytes(std::string(shape.bytes, 'x')));
  BareFile bare(directory + "/bare", payloads);
  // What is compared is how fast bytes get to the disk.
  OurLog log(directory + "/log", payloads, {.compress_from_bytes = 0});
  RocksLog rocks(directory + "/rocks", shape);
  Measured of_bare, of_log, of_rocks, unused;
  for (Target* target : std::initializer_list<Target*>{&bare, &log, &rocks}) {
    MeasureFor(*target, seconds, &unused);  // Files are made ready meanwhile.
  }
  const wal::Stats before = log.stats();
  for (int round = 0; round < rounds; ++round) {
    MeasureFor(bare, seconds, &of_bare);
    MeasureFor(log, seconds, &of_log);
    MeasureFor(rocks, seconds, &of_rocks);
  }
  const wal::Stats after = log.stats();
  const auto micros = [](const Measured& measured) {
    return static_cast<double>(measured.latency.Percentile(99).count()) / 1000;
  };
  const double entries = static_cast<double>(shape.regions) * Median(of_log.batches_a_second);
  fmt::print(
      "| {} | {} | {:.0f} | **{:.2f}** | **{:.2f}** | {:.0f} / {:.0f} / {:.0f} | {:.2f} | {:.3f} "
      "|\n",
      shape.regions, shape.bytes, entries, MedianRatio(of_log, of_bare),
      MedianRatio(of_log, of_rocks), micros(of_log), micros(of_bare), micros(of_rocks),
      static_cast<double>(after.syncs - before.syncs) / static_cast<double>(of_log.latency.count()),
      static_cast<double>(after.written_bytes - before.written_bytes) /
          static_cast<double>(after.payload_bytes - before.payload_bytes));
}

void Recover(const std::string& directory, std::uint64_t mib) {
  constexpr std::uint64_t kRegions = 100;
  constexpr std::size_t kEntryBytes = 1024;
  posix::PosixFileSystem files(directory + "/recover");
  const wal::Options options{.max_segments = 1 << 20, .compress_from_bytes = 0};
  std::uint64_t last = 0;
  {
    const auto wal = std::move(wal::Wal::Open(files, options).value().wal);
    const Bytes payload(std::string(kEntryBytes, 'x'));
    for (std::uint64_t written = 0; written < mib << 20; written += kRegions * 8 * kEntryBytes) {
      std::vector<wal::RegionWrite> batch;
      for (std::uint64_t region = 1; region <= kRegions; ++region) {
        wal::RegionWrite write{.region = RegionId(region), .peer = PeerId(region), .term = Term(1)};
        write.slice.prev = {Term(last == 0 ? 0 : 1), Index(last)};
        for (std::uint64_t i = 1; i <= 8; ++i) {
          write.slice.entries.push_back({{Term(1), Index(last + i)}, EntryType::kNormal, payload});
        }
        batch.push_back(std::move(write));
      }
      last += 8;
      Check(wal->Write(batch));
      Check(wal->Sync());
    }
  }
  const auto begin = SteadyClock::now();
  const auto opened = wal::Wal::Open(files, options);
  Check(opened.status());
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
  if (opened.value().regions.size() != kRegions) Fail("regions are missing");
  fmt::print(
      "\nA log of {} MiB, {} regions with {} entries of {} B each, in the system's cache: "
      "recovered in {:.2f} s, {:.0f} MB a second.\n",
      mib, kRegions, last, kEntryBytes, seconds, static_cast<double>(mib << 20) / 1e6 / seconds);
}

void Run(const std::string& directory, double seconds, int rounds, std::uint64_t recover_mib) {
  fmt::print(
      "| regions | entry, B | entries a second | / bare file | / RocksDB's log | p99 of a batch, "
      "us: ours / "
      "bare / RocksDB | syncs a batch | bytes written a byte "
      "|\n|---|---|---|---|---|---|---|---|\n");
  for (const std::uint64_t regions : {std::uint64_t{1}, std::uint64_t{8}, std::uint64_t{64}}) {
    for (const std::size_t bytes : std::initializer_list<std::size_t>{256, 1024, 4096, 65536}) {
      const std::string below = directory + fmt::format("/{}-{}", regions, bytes);
      std::filesystem::create_directories(below);
      Compare(below, {.regions = regions, .bytes = bytes}, seconds, rounds);
      std::filesystem::remove_all(below);
    }
  }
  if (recover_mib > 0) Recover(directory, recover_mib);
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  CLI::App app("Compares the log engine with a bare file and with RocksDB's log");
  std::string directory;
  double seconds = 0.5;
  int rounds = 5;
  std::uint64_t recover_mib = 0;
  app.add_option("directory", directory, "Where to write, on the disk that is to be measured")
      ->required();
  app.add_option("--seconds", seconds, "Of one block")->capture_default_str();
  app.add_option("--rounds", rounds, "Blocks of each")->capture_default_str();
  app.add_option("--recover-mib", recover_mib, "Also recover a log of this size");
  CLI11_PARSE(app, argc, argv);
  directory += "/rutile-log-bench";
  int exit_code = 0;
  try {
    rutile::bench::Run(directory, seconds, rounds, recover_mib);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    exit_code = 1;
  }
  std::filesystem::remove_all(directory);
  return exit_code;
}
