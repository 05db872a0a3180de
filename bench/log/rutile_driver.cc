// Makes entries durable with Rutile's log, in blocks, when told to: for bench/compare-logs, which
// runs it in turn with bench/raft-engine.
//
//   rutile_log_driver DIRECTORY --regions R --bytes N --mode batch|writers|bare
//                     [--compress-from BYTES]
//
// batch: one thread writes one batch after the other, with one entry of N bytes for each region.
// writers: each region has one entry of its own in flight, through the LogWriter. bare: the bytes
// of a batch into a file that was written before.
//
// Prints "ready", then reads lines, each the seconds that a block shall take, and answers each with
// a line of JSON: how many entries have become durable, the seconds it took, and percentiles of the
// microseconds until a batch, or a writer's entry, was durable. At the end of its input it reads
// back the last entries, prints "verified" and removes what it wrote.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "bench/load/histogram.h"
#include "bench/log/targets.h"
#include "bench/random_bytes.h"
#include "env/posix/posix_clock.h"
#include "env/posix/thread_executor.h"
#include "wal/wal.h"

namespace rutile::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Different for each region and nothing to compress. bench/raft-engine makes the same.
std::vector<Bytes> RandomPayloads(std::uint64_t regions, std::size_t bytes) {
  SeededRandom random(bytes);
  std::vector<Bytes> payloads;
  for (std::uint64_t region = 0; region < regions; ++region) {
    payloads.push_back(RandomBytes(random, bytes));
  }
  return payloads;
}

// One way of writing, in blocks.
class Driver {
 public:
  virtual ~Driver() = default;
  // Writes for so long and returns how many entries have become durable. None is in flight after.
  virtual std::uint64_t Run(double seconds, Histogram* latency) = 0;
  virtual void Verify() = 0;
};

class Batches final : public Driver {
 public:
  Batches(std::unique_ptr<Target> target, std::uint64_t regions)
      : target_(std::move(target)), regions_(regions) {}
  std::uint64_t Run(double seconds, Histogram* latency) override {
    std::uint64_t batches = 0;
    const auto begin = SteadyClock::now();
    for (auto now = begin; now - begin < std::chrono::duration<double>(seconds); ++batches) {
      target_->Append();
      latency->Record(SteadyClock::now() - now);
      target_->Tidy();
      now = SteadyClock::now();
    }
    return batches * regions_;
  }
  void Verify() override { target_->Verify(); }

 private:
  std::unique_ptr<Target> target_;
  const std::uint64_t regions_;
};

// The clients live on one executor and the log on another, as replicas and the log of a node do.
class Writers final : public Driver {
 public:
  Writers(const std::string& directory, std::vector<Bytes> payloads,
          const wal::Options& log_options)
      : log_(directory, payloads, log_options),
        payloads_(std::move(payloads)),
        clients_(payloads_.size()) {
    kept_ = kKeptBytes / (payloads_.size() * payloads_[0].size()) + 1;
    LogWriter::Options options;
    options.collect_every = Milliseconds(100);
    writer_ = std::make_unique<LogWriter>(log_.wal(), log_executor_, clock_, options,
                                          [](const Status& status) { Stop(status); });
  }
  ~Writers() override {
    writer_.reset();
    log_executor_.Shutdown();
    client_executor_.Shutdown();
  }

  std::uint64_t Run(double seconds, Histogram* latency) override {
    std::promise<std::uint64_t> finished;
    client_executor_.Post([this, seconds, latency, &finished] {
      latency_ = latency;
      finished_ = &finished;
      entries_ = 0;
      in_flight_ = clients_.size();
      until_ = SteadyClock::now() + std::chrono::duration_cast<SteadyClock::duration>(
                                        std::chrono::duration<double>(seconds));
      for (std::size_t i = 0; i < clients_.size(); ++i) Submit(i);
    });
    return finished.get_future().get();
  }

  void Verify() override {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      const std::uint64_t last = clients_[i].last;
      const auto read = log_.wal().Read(RegionId(i + 1), Index(last - 1), Index(last), 1);
      Check(read.status());
      if (read.value().entries.back().payload != payloads_[i]) Fail("another entry is read");
    }
  }

 private:
  using LogWriter = wal::LogWriter;
  struct Client {
    std::uint64_t last = 0, compacted = 0;
    SteadyClock::time_point submitted = {};
  };

  // On the log's thread, where nobody can catch.
  [[noreturn]] static void Stop(const Status& status) {
    fmt::print(stderr, "error: {}\n", status.ToString());
    std::exit(1);
  }

  void Submit(std::size_t i) {
    Client& client = clients_[i];
    client.submitted = SteadyClock::now();
    wal::RegionWrite write{.region = RegionId(i + 1), .peer = PeerId(i + 1), .term = Term(1)};
    write.slice.prev = IdAt(client.last);
    write.slice.entries.push_back({IdAt(++client.last), EntryType::kNormal, payloads_[i]});
    if (client.last >= client.compacted + 2 * kept_) {
      client.compacted = client.last - kept_;
      write.compact = IdAt(client.compacted);
    }
    writer_->Submit(std::move(write), [this, i] { client_executor_.Post([this, i] { Done(i); }); });
  }

  void Done(std::size_t i) {
    const auto now = SteadyClock::now();
    latency_->Record(now - clients_[i].submitted);
    ++entries_;
    if (now < until_) return Submit(i);
    if (--in_flight_ == 0) finished_->set_value(entries_);
  }

  OurLog log_;
  const std::vector<Bytes> payloads_;
  std::uint64_t kept_ = 0;
  const posix::PosixClock clock_;
  posix::ThreadExecutor log_executor_{"log"};
  posix::ThreadExecutor client_executor_{"clients"};
  std::unique_ptr<LogWriter> writer_;

  // On the clients' executor.
  std::vector<Client> clients_;
  Histogram* latency_ = nullptr;
  std::promise<std::uint64_t>* finished_ = nullptr;
  std::uint64_t entries_ = 0;
  std::size_t in_flight_ = 0;
  SteadyClock::time_point until_ = {};
};

struct Settings {
  std::string directory = {};
  std::uint64_t regions = 1;
  std::size_t bytes = 256;
  std::string mode = "batch";
  wal::Options log = {};
};

std::unique_ptr<Driver> MakeDriver(const Settings& settings) {
  const std::string directory = settings.directory + "/" + settings.mode;
  std::vector<Bytes> payloads = RandomPayloads(settings.regions, settings.bytes);
  if (settings.mode == "writers") {
    return std::make_unique<Writers>(directory, std::move(payloads), settings.log);
  }
  std::unique_ptr<Target> target;
  if (settings.mode == "bare") {
    target = std::make_unique<BareFile>(directory, payloads);
  } else {
    target = std::make_unique<OurLog>(directory, std::move(payloads), settings.log);
  }
  return std::make_unique<Batches>(std::move(target), settings.regions);
}

void Obey(Driver& driver) {
  fmt::print("ready\n");
  std::fflush(stdout);
  for (double seconds = 0; std::cin >> seconds;) {
    Histogram latency;
    const auto begin = SteadyClock::now();
    const std::uint64_t entries = driver.Run(seconds, &latency);
    const double elapsed = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    const auto micros = [&latency](double percent) {
      return static_cast<double>(latency.Percentile(percent).count()) / 1000;
    };
    fmt::print("{{\"entries\": {}, \"seconds\": {}, \"p50\": {:.1f}, \"p99\": {:.1f}}}\n", entries,
               elapsed, micros(50), micros(99));
    std::fflush(stdout);
  }
  driver.Verify();
  fmt::print("verified\n");
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  CLI::App app("Makes entries durable with Rutile's log, in blocks, when told to");
  rutile::bench::Settings settings;
  app.add_option("directory", settings.directory, "Where to write; removed at the end")->required();
  app.add_option("--regions", settings.regions, "How many")->check(CLI::Range(1, 1 << 16));
  app.add_option("--bytes", settings.bytes, "Of an entry")->check(CLI::Range(1, 1 << 20));
  app.add_option("--mode", settings.mode, "How to write")
      ->check(CLI::IsMember({"batch", "writers", "bare"}));
  app.add_option("--compress-from", settings.log.compress_from_bytes, "0: nothing is compressed");
  CLI11_PARSE(app, argc, argv);
  int exit_code = 0;
  try {
    std::filesystem::create_directories(settings.directory);
    rutile::bench::Obey(*rutile::bench::MakeDriver(settings));
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    exit_code = 1;
  }
  std::filesystem::remove_all(settings.directory);
  return exit_code;
}
