#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/log_tail.h"

namespace rutile::raft::testing {

// What a LogTail must be, said naively: one plain map of the log in memory, one of the log on disk,
// and for each entry a number that is never given twice, so that an entry which was cut and came
// back with the same (index, term) is another one. Nothing is computed as LogTail computes it.
//
// Drives a LogTail with random operations and compares everything that can be read after each.
class LogTwin {
 public:
  explicit LogTwin(std::uint64_t seed);

  // One random operation on both. Returns what differs afterwards; empty when nothing does.
  std::string Step();
  // The operation that the last Step() made.
  const std::string& last_operation() const { return operation_; }

 private:
  struct Item {
    Entry entry = {};
    std::uint64_t number = 0;  // Unique for each time that an entry was appended.
  };
  using Log = std::map<Index, Item>;

  struct Flight {
    LogTail::Write write = {};
    Log entries = {};
    std::uint64_t last_number = 0;
    Index commit = {};
  };

  void Put(const Entry& entry);
  void AppendAsFollower();
  void AppendAsLeader();
  void Commit();
  void TakeWrite();
  void Acknowledge();
  void HandOut();
  void Apply();
  void Compact();
  void Evict();
  void Snapshot();
  void Restart();

  void Check(bool condition, const std::string& what);
  void CompareCursors();
  void CompareContent();
  void CompareRandomRead();
  void CompareMarks();

  LogId IdAt(Index index) const;
  Index Last() const;
  Index ExpectedDurable() const;
  std::uint64_t NumberAt(Index index) const;
  void WriteToDisk(const Flight& flight);
  Entry MakeEntry(LogId id) const;
  Index Between(Index low, Index high);

  SeededRandom random_;
  LogTail tail_;
  std::string operation_ = {};
  std::string differs_ = {};

  Term term_ = Term(1);
  std::uint64_t next_number_ = 1;

  LogId base_ = {};
  Log log_ = {};  // In memory, from base_ on.
  // The numbers of the entries in log_, and of those before it that were compacted.
  std::map<Index, std::uint64_t> numbers_ = {};
  Index resident_from_ = Index(1);
  Index committed_ = {};
  Index applying_ = {};
  Index applied_ = {};

  LogId disk_base_ = {};
  Log disk_ = {};
  Index disk_commit_ = {};
  std::map<Index, LogId> applied_ids_ = {};  // What the state machine may be at after a crash.

  std::deque<Flight> in_flight_ = {};
  std::deque<Flight> acknowledged_ = {};  // Some of the newest, for repeated calls.
};

}  // namespace rutile::raft::testing
