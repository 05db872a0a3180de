#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "wal/wal.h"

// What the log is compared with: the logs of all regions as plain maps, and random writes to them.
namespace rutile::wal::testing {

struct TwinRegion {
  PeerId peer = {};
  LogId base = {};
  LogId last = {};
  std::map<Index, Entry> entries = {};
  std::string state = {};
};

// The regions after a sequence of writes, by the rules of RegionWrite and nothing else.
class LogTwin {
 public:
  void Apply(const RegionWrite& write);
  void Apply(const std::vector<RegionWrite>& batch);
  const std::map<RegionId, TwinRegion>& regions() const { return regions_; }
  // Everything that can be read, as text: equal texts, equal logs.
  std::string Text() const;

 private:
  std::map<RegionId, TwinRegion> regions_;
};

// The same text of a log on disk: of `regions` as recovery described them, with every entry read
// back. Also checks that reads agree with the descriptions.
Result<std::string> TextOf(Wal& wal, const std::map<RegionId, RegionLog>& regions);

Entry MakeEntry(std::uint64_t index, std::uint64_t term, std::string payload);

// Writes that a set of replicas could submit on top of `twin`.
class RandomWrites {
 public:
  struct Options {
    std::uint64_t regions = 4;
    std::uint64_t max_payload = 300;
    std::uint64_t max_entries = 4;
    std::uint64_t compact_one_in = 6;
  };
  RandomWrites(Random& random, const Options& options) : random_(random), options_(options) {}
  // One to four writes, perhaps several to one region.
  std::vector<RegionWrite> Batch(const LogTwin& twin);

 private:
  RegionWrite One(const LogTwin& twin);
  void AddEntries(RegionWrite* write, Term at_least);
  LogId IdIn(const TwinRegion& region);

  Random& random_;
  const Options options_;
};

}  // namespace rutile::wal::testing
