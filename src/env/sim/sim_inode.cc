#include "env/sim/sim_inode.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace rutile::sim {

void SimInode::Apply(const Change& change, std::string* contents) {
  if (change.is_truncation) {
    contents->resize(change.offset);
    return;
  }
  const std::uint64_t end = change.offset + change.data.size();
  if (contents->size() < end) contents->resize(end);
  contents->replace(change.offset, change.data.size(), change.data);
}

void SimInode::ApplyPartly(const Change& change, Random& random) {
  if (change.is_truncation) {
    if (random.OneIn(2)) Apply(change, &durable_);
    return;
  }
  const std::string_view data = change.data;
  for (std::size_t at = 0; at < data.size();) {
    const std::uint64_t offset = change.offset + at;
    const std::size_t size = std::min(data.size() - at, sector_bytes_ - offset % sector_bytes_);
    if (random.OneIn(2)) {
      Apply({.offset = offset, .data = std::string(data.substr(at, size))}, &durable_);
    }
    at += size;
  }
}

void SimInode::Write(std::uint64_t offset, std::string_view data) {
  if (data.empty()) return;
  changes_.push_back({.offset = offset, .data = std::string(data)});
  Apply(changes_.back(), &contents_);
}

void SimInode::Truncate(std::uint64_t size) {
  changes_.push_back({.offset = size, .is_truncation = true});
  Apply(changes_.back(), &contents_);
}

void SimInode::Sync() {
  for (const Change& change : changes_) Apply(change, &durable_);
  changes_.clear();
}

void SimInode::FailSync(Random& random) {
  for (const Change& change : changes_) {
    if (random.OneIn(2)) Apply(change, &durable_);
  }
  is_torn_ |= !changes_.empty();
  changes_.clear();
}

void SimInode::CutPower(Loss loss, Random& random) {
  RUTILE_CHECK(loss != Loss::kAny);
  const std::size_t whole = loss == Loss::kNone     ? changes_.size()
                            : loss == Loss::kSuffix ? random.Below(changes_.size() + 1)
                                                    : 0;
  const std::size_t partly = loss == Loss::kScatter  ? changes_.size()
                             : loss == Loss::kSuffix ? std::min(whole + 1, changes_.size())
                                                     : 0;
  for (std::size_t i = 0; i < whole; ++i) Apply(changes_[i], &durable_);
  for (std::size_t i = whole; i < partly; ++i) ApplyPartly(changes_[i], random);
  // Megabytes, mostly of files that nobody writes to any more.
  if (!changes_.empty() || is_torn_) contents_ = durable_;
  changes_.clear();
  is_torn_ = false;
}

void SimInode::FlipBit(std::uint64_t bit) {
  RUTILE_CHECK(bit / 8 < contents_.size());
  // In every version of the byte, so that no power cut heals it.
  const std::uint64_t at = bit / 8;
  const auto flip = [&](std::string* bytes, std::uint64_t begin) {
    if (at < begin || at - begin >= bytes->size()) return;
    char& byte = (*bytes)[at - begin];
    byte = static_cast<char>(byte ^ static_cast<char>(1u << (bit % 8)));
  };
  flip(&contents_, 0);
  flip(&durable_, 0);
  for (Change& change : changes_) flip(&change.data, change.offset);
}

}  // namespace rutile::sim
