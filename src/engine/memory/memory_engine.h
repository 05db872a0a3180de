#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "env/env.h"

namespace rutile::engine {

// The deterministic twin of the engine on RocksDB: everything in memory, and a file in `directory`
// (below the root of `files`, created when missing) that Flush() replaces by an image of all
// families. Opening reads the image, so a crash goes back to the last Flush() that was OK, or that
// failed after its image had become durable.
//
// Nothing is rewritten but by Compact(). A snapshot keeps what it saw even then, which RocksDB's
// does not. It costs as much as copying four pointers; Flush() writes all the data there is.
// `files` must outlive the engine.
Result<std::unique_ptr<KvEngine>> OpenMemoryEngine(FileSystem& files, std::string directory);

}  // namespace rutile::engine
