#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "env/env.h"

namespace rutile::engine::testing {

// A directory of its own, gone with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

enum class EngineKind : std::uint8_t {
  kMemory,
  kRocks,
  kRocksWithTinyBuffers,  // Flushes by itself all the time.
};
std::string ToString(EngineKind kind);

// One engine of the kind in a directory of its own; opened and closed at will.
class EngineUnderTest {
 public:
  explicit EngineUnderTest(EngineKind kind);
  ~EngineUnderTest();

  KvEngine& operator*() { return *engine_; }
  KvEngine* operator->() { return engine_.get(); }
  // Closes without flushing, as a crash would, and opens what is left.
  void Reopen();
  void Write(const WriteBatch& batch);

 private:
  void Open();

  const EngineKind kind_;
  TemporaryDirectory directory_;
  std::unique_ptr<FileSystem> files_;
  std::unique_ptr<KvEngine> engine_;
};

// From the environment's variable of that name.
std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise);

}  // namespace rutile::engine::testing
