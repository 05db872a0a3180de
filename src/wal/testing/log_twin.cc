#include "wal/testing/log_twin.h"

#include <utility>

#include "codec/crc32c.h"

namespace rutile::wal::testing {
namespace {

std::string Text(const Entry& entry) {
  return " " + ToString(entry.id) + ":" + std::to_string(static_cast<int>(entry.type)) + ":" +
         std::to_string(entry.payload.size()) + ":" +
         std::to_string(codec::Crc32c(entry.payload.view()));
}

std::string Text(RegionId id, PeerId peer, const LogId& base, const LogId& last,
                 const std::string& state) {
  return "region " + ToString(id) + " peer " + ToString(peer) + " base " + ToString(base) +
         " last " + ToString(last) + " state " + state + " entries";
}

// The term of an entry by the runs of a recovered region.
Term TermByRuns(const std::vector<TermRun>& runs, Index index) {
  Term term;
  for (const TermRun& run : runs) {
    if (run.start <= index) term = run.term;
  }
  return term;
}

}  // namespace

Entry MakeEntry(std::uint64_t index, std::uint64_t term, std::string payload) {
  return {.id = {.term = Term(term), .index = Index(index)},
          .type = payload.empty() ? EntryType::kEmpty : EntryType::kNormal,
          .payload = Bytes(std::move(payload))};
}

void LogTwin::Apply(const RegionWrite& write) {
  if (write.clean) {
    regions_.erase(write.region);
    return;
  }
  auto found = regions_.find(write.region);
  if (found == regions_.end() || found->second.peer != write.peer) {
    regions_[write.region] = {
        .peer = write.peer, .base = write.slice.prev, .last = write.slice.prev};
  }
  TwinRegion& region = regions_[write.region];
  if (write.reset) {
    region.entries.clear();
    region.base = region.last = write.slice.prev;
  } else if (write.cut || !write.slice.empty()) {
    region.entries.erase(region.entries.upper_bound(write.slice.prev.index), region.entries.end());
    region.last = write.slice.prev;
  }
  for (const Entry& entry : write.slice.entries) region.entries[entry.id.index] = entry;
  if (!write.slice.empty()) region.last = write.slice.last();
  if (write.state) region.state = *write.state;
  if (write.compact && write.compact->index > region.base.index) {
    region.entries.erase(region.entries.begin(), region.entries.upper_bound(write.compact->index));
    region.base = *write.compact;
  }
}

void LogTwin::Apply(const std::vector<RegionWrite>& batch) {
  for (const RegionWrite& write : batch) Apply(write);
}

std::string LogTwin::Text() const {
  std::string out;
  for (const auto& [id, region] : regions_) {
    out += testing::Text(id, region.peer, region.base, region.last, region.state);
    for (const auto& [index, entry] : region.entries) out += testing::Text(entry);
    out += "\n";
  }
  return out;
}

Result<std::string> TextOf(Wal& wal, const std::map<RegionId, RegionLog>& regions) {
  std::string out;
  for (const auto& [id, region] : regions) {
    out += Text(id, region.peer, region.base, region.last, region.state);
    LogId prev = region.base;
    while (prev.index < region.last.index) {
      RUTILE_ASSIGN_OR_RETURN(const LogSlice slice,
                              wal.Read(id, prev.index, region.last.index, 1000));
      if (slice.empty() || slice.prev != prev || !slice.Validate()) {
        return Status(Code::kInternal, "read of region " + ToString(id) + " after " +
                                           ToString(prev) + " is no continuation");
      }
      for (const Entry& entry : slice.entries) {
        if (TermByRuns(region.runs, entry.id.index) != entry.id.term) {
          return Status(Code::kInternal,
                        "runs of region " + ToString(id) + " at " + ToString(entry.id));
        }
        out += Text(entry);
      }
      prev = slice.last();
    }
    if (prev != region.last) return Status(Code::kInternal, "last of region " + ToString(id));
    out += "\n";
  }
  return out;
}

void RandomWrites::AddEntries(RegionWrite* write, Term at_least) {
  Term term = at_least;
  Index index = write->slice.prev.index;
  for (std::uint64_t n = 1 + random_.Below(options_.max_entries); n > 0; --n) {
    if (term.IsZero() || random_.OneIn(8)) term = term.Next();
    index = index.Next();
    std::string payload;
    if (!random_.OneIn(5)) {
      payload.assign(random_.Below(options_.max_payload + 1),
                     static_cast<char>('a' + random_.Below(26)));
    }
    write->slice.entries.push_back(MakeEntry(index.value(), term.value(), std::move(payload)));
  }
}

LogId RandomWrites::IdIn(const TwinRegion& region) {
  const std::uint64_t length = region.last.index.DistanceFrom(region.base.index);
  const Index index = region.base.index.Plus(random_.Below(length + 1));
  if (index == region.base.index) return region.base;
  return region.entries.at(index).id;
}

RegionWrite RandomWrites::One(const LogTwin& twin) {
  RegionWrite write{.region = RegionId(1 + random_.Below(options_.regions)),
                    .term = Term(random_.Below(9)),
                    .epoch = random_.Below(5)};
  const auto found = twin.regions().find(write.region);
  if (random_.OneIn(3)) write.state = "s" + std::to_string(random_.Below(1000));
  if (found == twin.regions().end()) {
    write.peer = PeerId(10 + random_.Below(3));
    if (random_.OneIn(2)) AddEntries(&write, Term(1));
    return write;
  }
  const TwinRegion& region = found->second;
  write.peer = region.peer;
  write.slice.prev = region.last;
  if (random_.OneIn(options_.compact_one_in)) {
    write.compact = IdIn(region);
    return write;
  }
  switch (random_.Below(30)) {
    case 0:
      write.clean = true;
      write.state.reset();
      break;
    case 1:
      write.peer = PeerId(region.peer.value() + 1);
      write.slice.prev = {};
      if (random_.OneIn(2)) AddEntries(&write, Term(1));
      break;
    case 2:
    case 3:
      write.reset = true;
      write.slice.prev = {.term = Term(region.last.term.value() + 1),
                          .index = Index(region.last.index.value() + random_.Below(20))};
      if (random_.OneIn(3)) AddEntries(&write, write.slice.prev.term);
      break;
    case 4:
    case 5:
      write.cut = true;
      write.slice.prev = IdIn(region);
      break;
    case 6:
    case 7:
    case 8:
      write.slice.prev = IdIn(region);
      AddEntries(&write, Term(region.last.term.value() + 1));
      break;
    default: AddEntries(&write, region.last.term); break;
  }
  return write;
}

std::vector<RegionWrite> RandomWrites::Batch(const LogTwin& twin) {
  std::vector<RegionWrite> batch;
  LogTwin after = twin;
  for (std::uint64_t n = 1 + random_.Below(4); n > 0; --n) {
    batch.push_back(One(after));
    after.Apply(batch.back());
  }
  return batch;
}

}  // namespace rutile::wal::testing
