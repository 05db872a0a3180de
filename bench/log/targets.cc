#include "bench/log/targets.h"

#include <fcntl.h>
#include <unistd.h>

#include <stdexcept>
#include <utility>

#include "base/random.h"
#include "bench/random_bytes.h"

namespace rutile::bench {
namespace {

constexpr std::uint64_t kFileBytes = std::uint64_t{64} << 20;

}  // namespace

void Fail(const std::string& what) { throw std::runtime_error(what); }

void Check(const Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

LogId IdAt(std::uint64_t index) {
  return {.term = Term(index == 0 ? 0 : 1), .index = Index(index)};
}

BareFile::BareFile(const std::string& path, const std::vector<Bytes>& payloads) {
  for (const Bytes& payload : payloads) data_ += payload.view();
  file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file_ < 0) Fail(path + " cannot be created");
  const std::string zeroes(1 << 20, '\0');
  for (std::uint64_t at = 0; at < kFileBytes; at += zeroes.size()) Put(zeroes, at);
  if (fsync(file_) != 0) Fail(path + " cannot be synced");
}

BareFile::~BareFile() { close(file_); }

void BareFile::Append() {
  if (at_ + data_.size() > kFileBytes) at_ = 0;
  Put(data_, at_);
  at_ += data_.size();
  if (fdatasync(file_) != 0) Fail("fdatasync failed");
}

void BareFile::Put(const std::string& data, std::uint64_t at) {
  if (pwrite(file_, data.data(), data.size(), static_cast<off_t>(at)) !=
      static_cast<ssize_t>(data.size())) {
    Fail("a write was cut short");
  }
}

OurLog::OurLog(const std::string& directory, std::vector<Bytes> payloads,
               const wal::Options& options)
    : files_(directory), payloads_(std::move(payloads)) {
  for (const Bytes& payload : payloads_) batch_bytes_ += payload.size();
  wal_ = std::move(wal::Wal::Open(files_, options).value().wal);
  UseAllFiles();
}

void OurLog::Append() {
  std::vector<wal::RegionWrite> batch;
  batch.reserve(payloads_.size());
  for (std::uint64_t region = 1; region <= payloads_.size(); ++region) {
    wal::RegionWrite write{.region = RegionId(region), .peer = PeerId(region), .term = Term(1)};
    write.slice.prev = IdAt(last_);
    write.slice.entries.push_back({IdAt(last_ + 1), EntryType::kNormal, payloads_[region - 1]});
    batch.push_back(std::move(write));
  }
  Check(wal_->Write(batch));
  Check(wal_->Sync());
  ++last_;
}

void OurLog::Tidy() {
  Check(wal_->Prefill());
  const std::uint64_t kept = kKeptBytes / batch_bytes_ + 1;
  if (last_ < compacted_ + 2 * kept) return;
  compacted_ = last_ - kept;
  std::vector<wal::RegionWrite> batch;
  for (std::uint64_t region = 1; region <= payloads_.size(); ++region) {
    batch.push_back({.region = RegionId(region),
                     .peer = PeerId(region),
                     .term = Term(1),
                     .compact = IdAt(compacted_)});
  }
  Check(wal_->Write(batch));
  Check(wal_->Collect());
}

void OurLog::Verify() {
  for (std::uint64_t region = 1; region <= payloads_.size(); ++region) {
    const auto read = wal_->Read(RegionId(region), Index(last_ - 1), Index(last_), 1);
    Check(read.status());
    if (read.value().entries.back().payload != payloads_[region - 1]) Fail("another entry is read");
  }
}

// A log that has run for a while writes into files that it has used before.
void OurLog::UseAllFiles() {
  const RegionId region(1000);
  const PeerId peer(1);
  // Compressed entries would not fill the files.
  SeededRandom random(1);
  const Bytes payload = RandomBytes(random, 1 << 20);
  for (std::uint64_t i = 0; i < 5 * kFileBytes / payload.size(); ++i) {
    wal::RegionWrite write{.region = region, .peer = peer, .term = Term(1)};
    write.slice.prev = IdAt(i);
    write.slice.entries.push_back({IdAt(i + 1), EntryType::kNormal, payload});
    if (i % 16 == 15) write.compact = IdAt(i);
    Check(wal_->Write({write}));
    Check(wal_->Sync());
    Check(wal_->Collect());
    Check(wal_->Prefill());
  }
  Check(wal_->Write({{.region = region, .peer = peer, .clean = true}}));
}

}  // namespace rutile::bench
