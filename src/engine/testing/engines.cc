#include "engine/testing/engines.h"

#include <cstdlib>
#include <filesystem>

#include "engine/memory/memory_engine.h"
#include "engine/rocks/rocks_engine.h"
#include "env/posix/posix_files.h"

#if defined(__SANITIZE_THREAD__)
// The sanitizer cannot see the atomics of a library that was built without it, and takes what they
// order for races. Our own threads and callbacks remain checked wherever RocksDB is not on the
// stack.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:librocksdb.so\n"; }
#endif

namespace rutile::engine::testing {

TemporaryDirectory::TemporaryDirectory() {
  const char* root = std::getenv("TMPDIR");
  path_ = std::string(root == nullptr ? "/tmp" : root) + "/rutile-engine-XXXXXX";
  RUTILE_CHECK(mkdtemp(path_.data()) != nullptr, path_);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;  // Left-over files are a nuisance, not a failure.
  std::filesystem::remove_all(path_, ignored);
}

std::string ToString(EngineKind kind) {
  switch (kind) {
    case EngineKind::kMemory: return "Memory";
    case EngineKind::kRocks: return "Rocks";
    case EngineKind::kRocksWithTinyBuffers: return "RocksWithTinyBuffers";
  }
  RUTILE_UNREACHABLE();
}

EngineUnderTest::EngineUnderTest(EngineKind kind)
    : kind_(kind), files_(std::make_unique<posix::PosixFileSystem>(directory_.path())) {
  Open();
}

EngineUnderTest::~EngineUnderTest() = default;

void EngineUnderTest::Reopen() {
  engine_.reset();
  Open();
}

void EngineUnderTest::Write(const WriteBatch& batch) {
  const Status status = engine_->Write(batch);
  RUTILE_CHECK(status.ok(), status.ToString());
}

void EngineUnderTest::Open() {
  const auto open = [this] {
    if (kind_ == EngineKind::kMemory) return OpenMemoryEngine(*files_, "kv");
    RocksOptions options = {.directory = directory_.path() + "/kv"};
    if (kind_ == EngineKind::kRocksWithTinyBuffers) options.write_buffer_bytes = 64 << 10;
    return OpenRocksEngine(options);
  };
  Result<std::unique_ptr<KvEngine>> opened = open();
  RUTILE_CHECK(opened.ok(), opened.status().ToString());
  engine_ = std::move(opened).value();
}

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace rutile::engine::testing
