#pragma once

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "base/status.h"
#include "engine/kv_engine.h"

// For measurements on an engine alone.
namespace rutile::bench {

// Ends the program with what is wrong, if anything is.
inline void Must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "error: %s\n", status.ToString().c_str());
  std::exit(1);
}

// A key for each number, in an order of chance: by an odd constant, so that none comes twice.
inline std::string ScatteredKey(std::uint64_t number) {
  char key[24];
  std::snprintf(key, sizeof(key), "key-%016" PRIx64, number * 0x9E3779B97F4A7C15u);
  return key;
}

// Writes records in batches of a mebibyte.
class EngineFill {
 public:
  explicit EngineFill(engine::KvEngine& engine) : engine_(engine) {}

  void Put(engine::Family family, std::string key, std::string value) {
    batch_.Put(family, std::move(key), std::move(value));
    if (batch_.size_bytes() >= kBatchBytes) Write();
  }
  // Makes all of them durable.
  void Finish() {
    Write();
    Must(engine_.Flush());
  }

 private:
  static constexpr std::size_t kBatchBytes = std::size_t{1} << 20;

  void Write() {
    Must(engine_.Write(batch_));
    batch_.Clear();
  }

  engine::KvEngine& engine_;
  engine::WriteBatch batch_;
};

}  // namespace rutile::bench
