#include "engine/kv_engine.h"

#include <utility>

#include "base/check.h"

namespace rutile::engine {

std::string_view ToString(Family family) {
  switch (family) {
    case Family::kDefault: return "default";
    case Family::kLock: return "lock";
    case Family::kWrite: return "write";
    case Family::kMeta: return "meta";
  }
  RUTILE_UNREACHABLE();
}

void WriteBatch::Put(Family family, std::string key, std::string value) {
  size_bytes_ += key.size() + value.size();
  changes_.push_back({Kind::kPut, family, std::move(key), std::move(value)});
}

void WriteBatch::Delete(Family family, std::string key) {
  size_bytes_ += key.size();
  changes_.push_back({Kind::kDelete, family, std::move(key), {}});
}

void WriteBatch::DeleteRange(Family family, std::string begin, std::string end) {
  size_bytes_ += begin.size() + end.size();
  changes_.push_back({Kind::kDeleteRange, family, std::move(begin), std::move(end)});
}

void WriteBatch::Clear() {
  changes_.clear();
  size_bytes_ = 0;
}

}  // namespace rutile::engine
