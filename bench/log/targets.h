#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"
#include "env/posix/posix_files.h"
#include "wal/wal.h"

namespace rutile::bench {

// How much of all regions together is kept; what is older is compacted away.
constexpr std::uint64_t kKeptBytes = std::uint64_t{16} << 20;

// A benchmark ends at the first thing that fails: throws, for main() to print.
[[noreturn]] void Fail(const std::string& what);
void Check(const Status& status);

// The id of an entry of a log that has only ever seen term 1.
LogId IdAt(std::uint64_t index);

// One way to make batches durable: a batch is one entry of each region, payload by payload.
class Target {
 public:
  virtual ~Target() = default;
  virtual void Append() = 0;
  // What follows a batch once it was acknowledged.
  virtual void Tidy() {}
  // That the last batch can be read again.
  virtual void Verify() {}
};

// The same bytes into a file that was written before, each batch synced.
class BareFile final : public Target {
 public:
  BareFile(const std::string& path, const std::vector<Bytes>& payloads);
  BareFile(const BareFile&) = delete;
  BareFile& operator=(const BareFile&) = delete;
  ~BareFile() override;
  void Append() override;

 private:
  void Put(const std::string& data, std::uint64_t at);

  std::string data_;
  int file_ = -1;
  std::uint64_t at_ = 0;
};

// Our log, all of whose files have been used before. Region i + 1 writes payloads[i].
class OurLog final : public Target {
 public:
  OurLog(const std::string& directory, std::vector<Bytes> payloads, const wal::Options& options);
  void Append() override;
  void Tidy() override;
  void Verify() override;
  wal::Stats stats() const { return wal_->stats(); }
  wal::Wal& wal() { return *wal_; }

 private:
  void UseAllFiles();

  posix::PosixFileSystem files_;
  const std::vector<Bytes> payloads_;
  std::uint64_t batch_bytes_ = 0;
  std::unique_ptr<wal::Wal> wal_;
  std::uint64_t last_ = 0, compacted_ = 0;
};

}  // namespace rutile::bench
