#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "engine/kv_engine.h"
#include "mvcc/reader.h"
#include "mvcc/scanner.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// From below the upper bound down: what a ForwardScanner shows, the last one first. It meets the
// oldest record of a key first, and so decodes records that are older than the one in view.
class BackwardScanner final : public Scanner {
 public:
  BackwardScanner(const engine::Snapshot& snapshot, Options options);

 private:
  Result<std::optional<Version>> FindVersion(std::string_view lock_key) override;
  void SkipVersions(std::string_view lock_key) override;
  // The same as FindVersion, from the newest record in view on, for a key with many. What stands at
  // `seen` and below is known: of these `newest_seen` is the newest put or deletion.
  Result<std::optional<Version>> FindFromNewest(std::string_view lock_key, Timestamp seen,
                                                std::optional<Version> newest_seen);
};

}  // namespace rutile::mvcc
