// What transactions cost beside raw requests to the same cluster: commits of every kind, point
// reads, scans beside a bare iterator of RocksDB, and what a request that waits for a lock takes in
// memory. bench/transactions starts the cluster and prints the tables.

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "bench/load/histogram.h"
#include "bench/txn/session.h"
#include "engine/rocks/rocks_engine.h"

namespace rutile::bench {
namespace {

struct Settings {
  std::string endpoint = {};
  std::vector<int> pids = {};  // Of the servers.
  std::string directory = {};  // For RocksDB alone.
  double seconds = 2;
  int rounds = 3;
  std::vector<std::string> only = {};  // Parts of it; none: all.
};

constexpr std::uint64_t kKeys = 100'000;
constexpr std::uint64_t kReadKeys = 10'000;
constexpr std::uint64_t kScanKeys = 50'000;
constexpr std::size_t kValueBytes = 100, kScanValueBytes = 1024;
constexpr std::size_t kConcurrency = 64;
constexpr std::uint64_t kWaiters = 5'000;
constexpr std::uint64_t kOverwritten = 40'000;
constexpr int kOverwrites = 5;

std::string KeyOf(char prefix, std::uint64_t number) {
  char key[24];
  std::snprintf(key, sizeof(key), "%c%012llu", prefix, static_cast<unsigned long long>(number));
  return key;
}

enum class Protocol : std::uint8_t { kOnePhase, kAsync, kTwoPhases };
const char* NameOf(Protocol protocol) {
  switch (protocol) {
    case Protocol::kOnePhase: return "1pc";
    case Protocol::kAsync: return "async";
    case Protocol::kTwoPhases: return "2pc";
  }
  std::abort();
}

// What runs again and again: calls its argument when it has ended. The time that counts runs from
// the begin that it names to there.
using Ended = std::function<void(Instant begin)>;
using Work = std::function<void(Ended)>;

struct Measured {
  double per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
};

class Bench {
 public:
  explicit Bench(Settings settings)
      : settings_(std::move(settings)),
        client_({.call_timeout = Seconds(120)}),
        session_(client_, settings_.endpoint) {}

  void Run() {
    if (const Status status = session_.Connect(); !status.ok()) {
      TxnSession::Fail("connect", status.ToString());
    }
    // The first to ask for a timestamp of the store's own may not be given one: a new leader learns
    // then how far those before it have read.
    bool has_begun = false;
    Commit(Protocol::kAsync, 1, 'b', [&has_begun](Instant) { has_begun = true; });
    session_.Await([&has_begun] { return has_begun; });
    fell_back_ = 0;
    const auto has = [this](std::string_view part) {
      const std::vector<std::string>& only = settings_.only;
      return only.empty() || std::find(only.begin(), only.end(), part) != only.end();
    };
    // First, while the servers hold next to nothing that they might give back.
    if (has("waiters")) Waiters();
    for (int round = 0; round < settings_.rounds; ++round) {
      if (has("commits")) Commits(round);
      if (has("reads")) Reads(round);
      if (has("scans")) Scans(round);
    }
    // Versions that are written over: bench/transactions has them collected.
    if (has("garbage")) {
      for (int i = 0; i <= kOverwrites; ++i) Preload('x', kOverwritten, kValueBytes);
    }
  }

 private:
  // --- Measuring.

  Measured Measure(std::size_t concurrency, const Work& work) {
    Histogram latency;
    const Instant begin = client_.Now();
    const Instant warm = begin + Milliseconds(200);
    const Instant end = warm + Microseconds(static_cast<std::int64_t>(settings_.seconds * 1e6));
    std::size_t under_way = 0;
    std::function<void()> next = [&] {
      if (client_.Now() >= end) return;
      ++under_way;
      work([&](Instant since) {
        --under_way;
        const Instant now = client_.Now();
        if (now >= warm && now < end) latency.Record(now - since);
        next();
      });
    };
    for (std::size_t i = 0; i < concurrency; ++i) next();
    session_.Await([&] { return under_way == 0 && client_.Now() >= end; });
    const auto micros = [](Duration time) { return ToSeconds(time) * 1e6; };
    return {.per_second = static_cast<double>(latency.count()) / settings_.seconds,
            .p50_us = micros(latency.Percentile(50)),
            .p99_us = micros(latency.Percentile(99))};
  }

  static void Tell(int round, const std::string& what, const Measured& seen) {
    std::printf(
        "{\"round\": %d, \"what\": \"%s\", \"per_second\": %.0f, \"p50_us\": %.1f, "
        "\"p99_us\": %.1f}\n",
        round, what.c_str(), seen.per_second, seen.p50_us, seen.p99_us);
    std::fflush(stdout);
  }

  // --- Commits.

  void RawPut(const Ended& ended) {
    kvrpcpb::RawPutRequest request;
    const std::string key = KeyOf('r', random_.Below(kKeys));
    request.set_key(key);
    request.set_value(std::string(kValueBytes, 'v'));
    const Instant begin = client_.Now();
    session_.Call<kvrpcpb::RawPutResponse>("/tikvpb.Tikv/RawPut", key, request,
                                           [begin, ended](const kvrpcpb::RawPutResponse& response) {
                                             if (!response.error().empty())
                                               TxnSession::Fail("RawPut", response.error());
                                             ended(begin);
                                           });
  }

  // A transaction that has read nothing and writes keys that no other one writes at this time. The
  // time begins with the first request of its commit.
  void Commit(Protocol protocol, std::size_t count, char prefix, const Ended& ended) {
    session_.GetTimestamp([this, protocol, count, prefix, ended](std::uint64_t start) {
      const Instant begin = client_.Now();
      std::vector<std::string> keys;
      for (std::size_t i = 0; i < count; ++i) keys.push_back(KeyOf(prefix, next_++ % kKeys));
      Prewrite(protocol, keys, start,
               [this, protocol, keys, start, begin, ended](std::uint64_t decided) {
                 if (decided != 0) {
                   ended(begin);
                   // The locks of an asynchronous commit go without anybody waiting for it.
                   if (protocol == Protocol::kAsync) CommitKeys(keys, start, decided, [] {});
                   return;
                 }
                 session_.GetTimestamp([this, keys, start, begin, ended](std::uint64_t commit) {
                   CommitKeys(keys, start, commit, [begin, ended] { ended(begin); });
                 });
               });
    });
  }

  // `done` is given the timestamp of the commit, zero if that is yet to be chosen.
  void Prewrite(Protocol protocol, const std::vector<std::string>& keys, std::uint64_t start,
                std::function<void(std::uint64_t)> done) {
    kvrpcpb::PrewriteRequest request;
    request.set_primary_lock(keys.front());
    request.set_start_version(start);
    request.set_lock_ttl(20'000);
    request.set_txn_size(keys.size());
    request.set_try_one_pc(protocol == Protocol::kOnePhase);
    request.set_use_async_commit(protocol != Protocol::kTwoPhases);
    for (const std::string& key : keys) {
      kvrpcpb::Mutation* const mutation = request.add_mutations();
      mutation->set_key(key);
      mutation->set_value(std::string(kValueBytes, 'v'));
      if (protocol != Protocol::kTwoPhases && key != keys.front()) request.add_secondaries(key);
    }
    session_.Call<kvrpcpb::PrewriteResponse>(
        "/tikvpb.Tikv/KvPrewrite", keys.front(), request,
        [this, protocol, done = std::move(done)](const kvrpcpb::PrewriteResponse& response) {
          if (response.errors_size() > 0) {
            TxnSession::Fail("KvPrewrite", response.errors(0).ShortDebugString());
          }
          if (protocol == Protocol::kTwoPhases) return done(0);
          const std::uint64_t commit = protocol == Protocol::kOnePhase ? response.one_pc_commit_ts()
                                                                       : response.min_commit_ts();
          if (commit == 0) ++fell_back_;
          done(commit);
        });
  }

  void CommitKeys(const std::vector<std::string>& keys, std::uint64_t start, std::uint64_t commit,
                  std::function<void()> done) {
    kvrpcpb::CommitRequest request;
    request.set_start_version(start);
    request.set_commit_version(commit);
    for (const std::string& key : keys) request.add_keys(key);
    session_.Call<kvrpcpb::CommitResponse>(
        "/tikvpb.Tikv/KvCommit", keys.front(), request,
        [done = std::move(done)](const kvrpcpb::CommitResponse& response) {
          if (response.has_error()) {
            TxnSession::Fail("KvCommit", response.error().ShortDebugString());
          }
          done();
        });
  }

  void Commits(int round) {
    const Work raw = [this](const Ended& ended) { RawPut(ended); };
    Tell(round, "raw put, 1", Measure(1, raw));
    Tell(round, "raw put, 64", Measure(kConcurrency, raw));
    for (const std::size_t keys : {std::size_t{1}, std::size_t{2}, std::size_t{10}}) {
      for (const Protocol protocol :
           {Protocol::kOnePhase, Protocol::kAsync, Protocol::kTwoPhases}) {
        const Work work = [this, protocol, keys](const Ended& ended) {
          Commit(protocol, keys, 't', ended);
        };
        const std::string name = std::string(NameOf(protocol)) + " " + std::to_string(keys);
        Tell(round, name + ", 1", Measure(1, work));
        Tell(round, name + ", 64", Measure(kConcurrency, work));
      }
    }
    if (fell_back_ > 0) {
      std::fprintf(stderr, "%llu commits fell back to two phases\n",
                   static_cast<unsigned long long>(std::exchange(fell_back_, 0)));
    }
  }

  // --- Reads.

  void Preload(char prefix, std::uint64_t count, std::size_t value_bytes) {
    std::uint64_t next = 0, ended = 0;
    constexpr std::uint64_t kBatch = 200;
    const std::function<void()> put = [&] {
      if (next >= count) return;
      kvrpcpb::PrewriteRequest request;
      request.set_primary_lock(KeyOf(prefix, next));
      request.set_lock_ttl(20'000);
      request.set_try_one_pc(true);
      request.set_use_async_commit(true);
      for (std::uint64_t i = 0; i < kBatch && next < count; ++i) {
        kvrpcpb::Mutation* const mutation = request.add_mutations();
        mutation->set_key(KeyOf(prefix, next++));
        mutation->set_value(std::string(value_bytes, 'v'));
        if (i > 0) request.add_secondaries(mutation->key());
      }
      session_.GetTimestamp([this, &put, &ended, request](std::uint64_t start) mutable {
        request.set_start_version(start);
        session_.Call<kvrpcpb::PrewriteResponse>(
            "/tikvpb.Tikv/KvPrewrite", request.primary_lock(), request,
            [&put, &ended,
             size = request.mutations_size()](const kvrpcpb::PrewriteResponse& response) {
              if (response.errors_size() > 0 || response.one_pc_commit_ts() == 0) {
                TxnSession::Fail("preload", response.ShortDebugString());
              }
              ended += static_cast<std::uint64_t>(size);
              put();
            });
      });
    };
    for (int i = 0; i < 4; ++i) put();
    session_.Await([&] { return ended == count; });
  }

  void Reads(int round) {
    if (round == 0) {
      Preload('g', kReadKeys, kValueBytes);
      for (std::uint64_t i = 0; i < kReadKeys; ++i) raw_keys_.push_back(KeyOf('q', i));
      std::size_t left = raw_keys_.size();
      for (const std::string& key : raw_keys_) {
        kvrpcpb::RawPutRequest request;
        request.set_key(key);
        request.set_value(std::string(kValueBytes, 'v'));
        session_.Call<kvrpcpb::RawPutResponse>("/tikvpb.Tikv/RawPut", key, request,
                                               [&left](const auto&) { --left; });
      }
      session_.Await([&] { return left == 0; });
    }
    const Work raw = [this](const Ended& ended) {
      kvrpcpb::RawGetRequest request;
      const std::string& key = raw_keys_[random_.Below(raw_keys_.size())];
      request.set_key(key);
      session_.Call<kvrpcpb::RawGetResponse>(
          "/tikvpb.Tikv/RawGet", key, request,
          [begin = client_.Now(), ended](const kvrpcpb::RawGetResponse& response) {
            if (response.not_found()) TxnSession::Fail("RawGet", "a key is missing");
            ended(begin);
          });
    };
    const std::uint64_t at = session_.AwaitTimestamp();
    const Work get = [this, at](const Ended& ended) {
      kvrpcpb::GetRequest request;
      const std::string key = KeyOf('g', random_.Below(kReadKeys));
      request.set_key(key);
      request.set_version(at);
      session_.Call<kvrpcpb::GetResponse>(
          "/tikvpb.Tikv/KvGet", key, request,
          [begin = client_.Now(), ended](const kvrpcpb::GetResponse& response) {
            if (response.not_found() || response.has_error()) {
              TxnSession::Fail("KvGet", response.ShortDebugString());
            }
            ended(begin);
          });
    };
    // In turn, so that what drifts meets both.
    Tell(round, "raw get, 64", Measure(kConcurrency, raw));
    Tell(round, "get, 64", Measure(kConcurrency, get));
  }

  // --- Scans.

  void Scans(int round) {
    if (round == 0) {
      Preload('s', kScanKeys, kScanValueBytes);
      FillRocks();
    }
    const Instant begin = client_.Now();
    const std::uint64_t at = session_.AwaitTimestamp();
    std::uint64_t bytes = 0;
    bool done = false;
    const std::function<void(const std::string&)> page = [&](const std::string& from) {
      kvrpcpb::ScanRequest request;
      request.set_start_key(from);
      request.set_end_key("t");
      request.set_limit(1000);
      request.set_version(at);
      session_.Call<kvrpcpb::ScanResponse>(
          "/tikvpb.Tikv/KvScan", from, request, [&](const kvrpcpb::ScanResponse& response) {
            for (const kvrpcpb::KvPair& pair : response.pairs()) {
              bytes += pair.key().size() + pair.value().size();
            }
            done = response.pairs_size() < 1000;
            if (!done) page(response.pairs(response.pairs_size() - 1).key() + '\0');
          });
    };
    page("s");
    session_.Await([&] { return done; });
    Tell(round, "scan, MB", {.per_second = MegabytesIn(bytes, client_.Now() - begin)});

    const Instant start = client_.Now();
    std::uint64_t passed = 0;
    const auto snapshot = rocks_->GetSnapshot();
    const auto iterator = snapshot->NewIterator(engine::Family::kDefault, {});
    for (iterator->Seek(""); iterator->Valid(); iterator->Next()) {
      passed += iterator->key().size() + iterator->value().size();
    }
    Tell(round, "bare iterator, MB", {.per_second = MegabytesIn(passed, client_.Now() - start)});
  }

  static double MegabytesIn(std::uint64_t bytes, Duration time) {
    return static_cast<double>(bytes) / 1e6 / ToSeconds(time);
  }

  void FillRocks() {
    const std::string path = settings_.directory + "/rocks";
    std::filesystem::create_directories(path);
    auto opened = engine::OpenRocksEngine({.directory = path});
    if (!opened.ok()) TxnSession::Fail("rocks", opened.status().ToString());
    rocks_ = std::move(opened).value();
    engine::WriteBatch batch;
    for (std::uint64_t i = 0; i < kScanKeys; ++i) {
      batch.Put(engine::Family::kDefault, KeyOf('s', i), std::string(kScanValueBytes, 'v'));
      if (i % 100 != 99) continue;
      if (const Status status = rocks_->Write(batch); !status.ok()) {
        TxnSession::Fail("rocks", status.ToString());
      }
      batch = {};
    }
  }

  // --- Memory.

  // Resident bytes of all servers.
  double Memory() const {
    double pages = 0;
    for (const int pid : settings_.pids) {
      std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
      double size = 0, resident = 0;
      file >> size >> resident;
      pages += resident;
    }
    return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
  }

  void Lock(const std::string& key, std::uint64_t start, std::int64_t wait_ms,
            std::function<void()> done) {
    kvrpcpb::PessimisticLockRequest request;
    kvrpcpb::Mutation* const mutation = request.add_mutations();
    mutation->set_op(kvrpcpb::PessimisticLock);
    mutation->set_key(key);
    request.set_primary_lock(key);
    request.set_start_version(start);
    request.set_for_update_ts(start);
    request.set_lock_ttl(3000);  // Nobody gives them back; the collection of garbage resolves them.
    request.set_wait_timeout(wait_ms);
    session_.Call<kvrpcpb::PessimisticLockResponse>(
        "/tikvpb.Tikv/KvPessimisticLock", key, request,
        [done = std::move(done)](const auto&) { done(); });
  }

  // Requests for locks that others have: each key has one that holds it and many that wait.
  void Waiters() {
    constexpr std::uint64_t kHeld = 100;
    std::uint64_t locked = 0, ended = 0;
    for (std::uint64_t i = 0; i < kHeld; ++i) {
      Lock(KeyOf('w', i), session_.AwaitTimestamp(), 0, [&] { ++locked; });
    }
    session_.Await([&] { return locked == kHeld; });
    const double before = Memory();
    // All at once: a store lets nobody wait for more than a second.
    std::uint64_t sent = 0;
    for (std::uint64_t i = 0; i < kWaiters; ++i) {
      session_.GetTimestamp([this, i, &sent, &ended](std::uint64_t start) {
        Lock(KeyOf('w', i % kHeld), start, 1000, [&ended] { ++ended; });
        ++sent;
      });
    }
    session_.Await([&] { return sent == kWaiters; });
    const Instant until = client_.Now() + Milliseconds(500);
    session_.Await([&] { return client_.Now() > until; });
    if (ended > 0)
      std::fprintf(stderr, "%llu did not wait\n", static_cast<unsigned long long>(ended));
    Tell(0, "bytes a waiter", {.per_second = (Memory() - before) / static_cast<double>(kWaiters)});
    session_.Await([&] { return ended == kWaiters; });
  }

  const Settings settings_;
  H2Client client_;
  TxnSession session_;
  SeededRandom random_{1};
  std::uint64_t next_ = 0;
  std::uint64_t fell_back_ = 0;
  std::vector<std::string> raw_keys_;
  std::unique_ptr<engine::KvEngine> rocks_;
};

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  rutile::bench::Settings settings;
  CLI::App app("What transactions cost beside raw requests");
  app.add_option("endpoint", settings.endpoint, "host:port of a node")->required();
  app.add_option("directory", settings.directory, "An empty one, for RocksDB alone")->required();
  app.add_option("--pid", settings.pids, "Of each server");
  app.add_option("--seconds", settings.seconds, "Of each measurement")->capture_default_str();
  app.add_option("--rounds", settings.rounds)->capture_default_str();
  app.add_option("--only", settings.only, "Parts of it")
      ->delimiter(',')
      ->check(CLI::IsMember({"waiters", "commits", "reads", "scans", "garbage"}));
  CLI11_PARSE(app, argc, argv);
  rutile::bench::Bench(settings).Run();
  return 0;
}
