// Drives Rutile's Raft core without I/O and prints one JSON line a row. The rows, and what is done
// in each, are the same in etcd-raft/main.go and raft-rs/src/main.rs; docs/benchmarks.md says what.
//
//   rutile_core_driver [--milliseconds N]     all rows, each for N ms (default 300)
//   rutile_core_driver count ROW N            N operations of one row, silently: for callgrind
//   callgrind

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/core/allocations.h"
#include "bench/core/trio.h"

namespace rutile::bench {
namespace {

constexpr std::size_t kKeep = 1024;          // Entries kept when the log is compacted,
constexpr std::size_t kCompactEvery = 1024;  // and how often it is.
constexpr std::size_t kGroups = 10'000;
constexpr std::size_t kSlice = 64;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Print(const std::string& row, double value, const char* unit) {
  std::printf("{\"row\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n", row.c_str(), value, unit);
  std::fflush(stdout);
}

struct Measured {
  double seconds = 0;
  double allocations = 0;
};

// Runs `operation`, which does `each` operations, for about `milliseconds`; figures are for one.
Measured Measure(double milliseconds, std::size_t each, const std::function<void()>& operation) {
  constexpr int kBetweenLooks = 16;  // So that reading the clock costs nothing.
  for (int i = 0; i < kBetweenLooks; ++i) operation();
  const std::uint64_t allocations = CountAllocations().count;
  const double begin = Now();
  double end = begin;
  std::size_t done = 0;
  while (end - begin < milliseconds / 1e3) {
    for (int i = 0; i < kBetweenLooks; ++i) operation();
    done += kBetweenLooks * each;
    end = Now();
  }
  const double count = static_cast<double>(done);
  return {.seconds = (end - begin) / count,
          .allocations = static_cast<double>(CountAllocations().count - allocations) / count};
}

class Proposals {
 public:
  Proposals(std::size_t size, std::size_t batch)
      : pattern_(size, 'v'), batch_(batch), payloads_(batch) {
    trio_.Elect();
  }

  void Batch() {
    for (Bytes& payload : payloads_) payload = Bytes::Copy(pattern_);
    trio_.Propose(payloads_);
    proposed_ += batch_;
    since_compacted_ += batch_;
    if (since_compacted_ >= kCompactEvery) {
      trio_.Compact(kKeep);
      since_compacted_ = 0;
    }
  }

  // Every member has applied every proposal: what was measured was the work.
  void Verify() {
    for (int tick = 0; tick < 4; ++tick) trio_.Tick();
    RUTILE_CHECK(trio_.applied() == proposed_);
  }

 private:
  const std::string pattern_;
  const std::size_t batch_;
  std::vector<Bytes> payloads_;
  Trio trio_{1};
  std::uint64_t proposed_ = 0;
  std::size_t since_compacted_ = 0;
};

void RunProposals(double milliseconds) {
  for (std::size_t size : {128U, 256U, 1024U}) {
    for (std::size_t batch : {1U, 64U}) {
      const std::string row = std::to_string(size) + "/" + std::to_string(batch);
      Proposals proposals(size, batch);
      const Measured measured = Measure(milliseconds, batch, [&] { proposals.Batch(); });
      proposals.Verify();
      Print("propose/" + row, 1 / measured.seconds, "1/s");
      // One call takes any number of proposals: the same figure for both ways of the others.
      if (batch > 1) Print("propose/" + row + "/one-call", 1 / measured.seconds, "1/s");
      if (size == 256) Print("allocations/" + row, measured.allocations, "1");
    }
  }
}

void RunIdle(double milliseconds) {
  CountBytes(true);
  const std::size_t before = CountAllocations().live_bytes;
  std::vector<std::unique_ptr<Trio>> groups;
  for (std::size_t i = 0; i < kGroups; ++i) {
    groups.push_back(std::make_unique<Trio>(i + 1));
    groups.back()->Elect();
  }
  const auto tick_all = [&] {
    for (auto& group : groups) group->Tick();
  };
  for (int i = 0; i < 4; ++i) tick_all();
  for (auto& group : groups) {
    group->Compact(0);
    group->DropQueues();
  }
  const auto bytes = static_cast<double>(CountAllocations().live_bytes - before);
  Print("memory/idle-member", bytes / (3 * kGroups), "B");
  CountBytes(false);

  const double begin = Now();
  double end = begin;
  std::size_t ticks = 0;
  while (end - begin < milliseconds / 1e3) {
    tick_all();
    ++ticks;
    end = Now();
  }
  Print("idle/10000", static_cast<double>(ticks * kGroups) / (end - begin), "1/s");
}

LogSlice MakeSlice(Term term, LogId prev, const Bytes& payload, std::size_t count) {
  LogSlice slice{.prev = prev};
  for (std::size_t i = 0; i < count; ++i) {
    slice.entries.push_back(
        {.id = {term, prev.index.Plus(i + 1)}, .type = EntryType::kNormal, .payload = payload});
  }
  return slice;
}

// A follower whose last 64 entries are replaced by those of the leader of the next term, each time.
class Conflicts {
 public:
  Conflicts() : payload_(Bytes::Copy(std::string(256, 'v'))) {
    raft::Raft::Start start{.hard_state = {.term = Term(1)},
                            .tail = raft::LogTail(kBase),
                            .configuration = {.voters = {PeerId(1), PeerId(2), PeerId(3)}},
                            .fresh = true};
    core_ = std::make_unique<raft::Raft>(raft::Options{.id = PeerId(1)}, std::move(start), random_,
                                         Instant());
  }

  void Prepare(std::size_t count) {
    messages_.clear();
    for (std::size_t i = 0; i < count; ++i) {
      raft::Message message;
      message.type = raft::MessageType::kAppend;
      message.from = PeerId(2 + i % 2);
      message.to = PeerId(1);
      message.term = term_ = term_.Next();
      message.slice = MakeSlice(term_, kBase, payload_, kSlice);
      message.commit = kBase.index;
      messages_.push_back(std::move(message));
    }
  }

  void Run() {
    for (raft::Message& message : messages_) {
      const raft::Effects stepped = core_->Step(Instant(), std::move(message));
      const raft::Effects written = core_->OnDurable(Instant(), stepped.write->log.mark);
      RUTILE_CHECK(stepped.messages.size() + written.messages.size() == 1);
    }
    RUTILE_CHECK(core_->tail().last().index == kBase.index.Plus(kSlice));
  }

 private:
  static constexpr LogId kBase{Term(1), Index(5)};
  Bytes payload_;
  SeededRandom random_{1};
  std::unique_ptr<raft::Raft> core_ = {};
  Term term_{1};
  std::vector<raft::Message> messages_ = {};
};

void RunConflict(double milliseconds) {
  constexpr std::size_t kMessages = 500;
  Conflicts conflicts;
  double spent = 0;
  std::size_t entries = 0;
  while (spent < milliseconds / 1e3) {
    conflicts.Prepare(kMessages);
    const double begin = Now();
    conflicts.Run();
    spent += Now() - begin;
    entries += kMessages * kSlice;
  }
  Print("conflict/64", static_cast<double>(entries) / spent, "1/s");
}

constexpr std::size_t kTailEntries = 10'000;

raft::LogTail FilledTail(const Bytes& payload) {
  raft::LogTail tail(LogId{Term(1), Index(5)});
  for (std::size_t i = 0; i < kTailEntries; ++i) {
    tail.AppendOwn(Term(1), EntryType::kNormal, payload);
  }
  const raft::LogTail::Write write = tail.TakeWrite(Term(1));
  tail.OnDurable(write.mark);
  return tail;
}

void ApplyAll(raft::LogTail& tail) {
  tail.CommitTo(tail.last().index);
  const LogSlice slice = tail.HandOut({.is_leader = false, .term = Term(1), .max_bytes = SIZE_MAX});
  tail.OnApplied(slice.last().index);
}

// Entries per second through one operation of the log's tail, on 10,000 entries of 256 B.
void RunTail(double milliseconds) {
  const Bytes payload = Bytes::Copy(std::string(256, 'v'));
  double append = 0;
  double fetch = 0;
  double cut = 0;
  double compact = 0;
  std::size_t rounds = 0;
  while (append + fetch + cut + compact < milliseconds / 1e3) {
    ++rounds;
    double begin = Now();
    raft::LogTail tail = FilledTail(payload);
    append += Now() - begin;

    begin = Now();
    std::size_t read = 0;
    for (Index prev(5); prev < tail.last().index; prev = prev.Plus(kSlice)) {
      read += tail.Read(prev, prev.Plus(kSlice), SIZE_MAX)->entries.size();
    }
    fetch += Now() - begin;
    RUTILE_CHECK(read == kTailEntries);

    // From behind, 64 at a time, each replaced by one entry of a higher term and the next cut.
    std::vector<LogSlice> slices;
    Term term(1);
    for (std::size_t left = kTailEntries; left > kSlice; left -= kSlice) {
      const Index prev(5 + left - kSlice);
      term = term.Next();
      slices.push_back(MakeSlice(term, {Term(1), prev}, payload, 1));
    }
    raft::LogTail victim = tail;
    begin = Now();
    for (LogSlice& slice : slices) RUTILE_CHECK(victim.Append(std::move(slice)));
    cut += Now() - begin;

    ApplyAll(tail);
    begin = Now();
    for (Index to(5 + kSlice); to < tail.last().index; to = to.Plus(kSlice)) tail.CompactTo(to);
    tail.CompactTo(tail.last().index);
    compact += Now() - begin;
  }
  const double entries = static_cast<double>(rounds * kTailEntries);
  Print("tail/append", entries / append, "1/s");
  Print("tail/fetch-64", entries / fetch, "1/s");
  Print("tail/cut-64", entries / cut, "1/s");
  Print("tail/compact-64", entries / compact, "1/s");
}

// What the tail needs for an entry beside the bytes of its payload, which is of 256 B and its own.
void RunMemory() {
  constexpr std::size_t kEntries = 100'000;
  const std::string pattern(256, 'v');
  CountBytes(true);
  const std::size_t before = CountAllocations().live_bytes;
  std::vector<Bytes> payloads;
  payloads.reserve(kEntries);
  for (std::size_t i = 0; i < kEntries; ++i) payloads.push_back(Bytes::Copy(pattern));
  const std::size_t array = kEntries * sizeof(Bytes);
  const std::size_t with_payloads = CountAllocations().live_bytes;
  raft::LogTail tail(LogId{Term(1), Index(5)});
  for (Bytes& payload : payloads) {
    tail.AppendOwn(Term(1), EntryType::kNormal, std::move(payload));
  }
  const auto per_entry = [](std::size_t bytes) { return static_cast<double>(bytes) / kEntries; };
  const std::size_t log = CountAllocations().live_bytes - with_payloads;
  Print("memory/entry-in-log", per_entry(log), "B");
  Print("memory/entry-in-all", per_entry(log + (with_payloads - before - array)), "B");
}

void RunAll(double milliseconds) {
  // A server has threads, and with one the reference counts of payloads are atomic ones.
  std::thread([] {}).join();
  RunProposals(milliseconds);
  RunIdle(milliseconds);
  RunConflict(milliseconds);
  RunTail(milliseconds);
  RunMemory();
}

int Count(std::string_view row, std::size_t count) {
  if (row == "propose-1" || row == "propose-64") {
    const std::size_t batch = row == "propose-1" ? 1 : 64;
    Proposals proposals(256, batch);
    for (std::size_t done = 0; done < count; done += batch) proposals.Batch();
    proposals.Verify();
  } else if (row == "idle") {
    Trio trio(1);
    trio.Elect();
    for (std::size_t i = 0; i < count; ++i) trio.Tick();
  } else if (row == "conflict") {
    Conflicts conflicts;
    for (std::size_t done = 0; done < count; done += kSlice) {
      conflicts.Prepare(1);
      conflicts.Run();
    }
  } else {
    std::fprintf(stderr, "error: no row named %s\n", std::string(row).c_str());
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace rutile::bench

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "count") {
    return rutile::bench::Count(arguments[1], std::strtoul(arguments[2].c_str(), nullptr, 10));
  }
  double milliseconds = 300;
  if (arguments.size() == 2 && arguments[0] == "--milliseconds") {
    milliseconds = std::strtod(arguments[1].c_str(), nullptr);
  } else if (!arguments.empty()) {
    std::fprintf(stderr, "usage: rutile_core_driver [--milliseconds N | count ROW N]\n");
    return 2;
  }
  rutile::bench::RunAll(milliseconds);
  return 0;
}
