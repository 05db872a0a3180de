#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace rutile::sim {

// What a power cut leaves of what was not synced. The last one is drawn to be one of the others.
enum class Loss : std::uint8_t {
  kNone,     // The cache was written back in time.
  kAll,      // Nothing of it.
  kSuffix,   // The first few changes, and a part of the next one.
  kScatter,  // Any of its sectors: a disk writes in the order that suits it.
  kAny,
};

// The contents of one file: as processes see them, and what of it a power cut would leave.
class SimInode {
 public:
  explicit SimInode(std::size_t sector_bytes) : sector_bytes_(sector_bytes) {}

  const std::string& contents() const { return contents_; }

  void Write(std::uint64_t offset, std::string_view data);
  void Truncate(std::uint64_t size);
  // All changes so far are durable.
  void Sync();
  // A sync that failed: some changes reach the disk, the others never will, although processes go
  // on seeing them and the next sync succeeds. That is what Linux does with pages that it could not
  // write (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).
  void FailSync(Random& random);
  void CutPower(Loss loss, Random& random);
  // Damages what lies on the disk. Requires bit / 8 < contents().size().
  void FlipBit(std::uint64_t bit);

 private:
  // One write, or one truncation to `offset`, that a power cut may undo.
  struct Change {
    std::uint64_t offset = 0;
    std::string data = {};
    bool is_truncation = false;
  };

  static void Apply(const Change& change, std::string* contents);
  // The sectors of a write that a draw keeps.
  void ApplyPartly(const Change& change, Random& random);

  const std::size_t sector_bytes_;
  std::string contents_;
  std::string durable_;
  std::vector<Change> changes_;  // That a power cut may undo, in order.
  // A sync has failed, so that contents_ and durable_ may differ without a change that says so.
  bool is_torn_ = false;
};

}  // namespace rutile::sim
