#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "env/sim/sim_files.h"
#include "env/sim/world.h"
#include "wal/testing/log_twin.h"
#include "wal/wal.h"

namespace rutile::wal::testing {

// Exhaustive tests do every nth case. Sanitized builds, which look for other errors and are up to
// forty times slower, do fewer.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStride = 13;
#else
constexpr std::size_t kStride = 1;
#endif

// A log on a simulated disk, with small segments.
class Rig {
 public:
  explicit Rig(std::uint64_t seed = 1) : world(seed), files(world) {}

  // Opens the log, or opens it again: as after the process was killed.
  Status Open();
  // As after a power cut that leaves `loss` of what was not synced.
  Status CutPower(sim::Loss loss);
  // Closes the log and forgets the process's files.
  void Kill();
  // What is in the log now, by reopening it. The error's text when it does not open.
  std::string Reopened();

  Status Write(const std::vector<RegionWrite>& batch) { return opened.wal->Write(batch); }
  // Writes one batch and syncs it; the test fails when that fails.
  void Append(const RegionWrite& write);

  std::map<std::string, std::string> Files();
  void SetFiles(const std::map<std::string, std::string>& contents);
  // Paths of the segments, oldest first.
  std::vector<std::string> Segments();

  sim::World world;
  sim::SimFileSystem files;
  // Payloads of tests repeat themselves, and are to take the room that they seem to.
  Options options = {
      .segment_bytes = 16384, .spare_segments = 1, .max_segments = 4, .compress_from_bytes = 0};
  Wal::Opened opened;
};

// Entries (first, first + count) of `term` behind `prev`, each with `bytes` of payload.
RegionWrite WriteOf(std::uint64_t region, LogId prev, std::uint64_t term, std::uint64_t count,
                    std::size_t bytes = 10);
LogId Id(std::uint64_t index, std::uint64_t term);
// For golden bytes.
std::string Hex(std::string_view bytes);

}  // namespace rutile::wal::testing
