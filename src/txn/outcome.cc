#include "txn/outcome.h"

#include <set>
#include <string_view>

namespace rutile::txn {

Status CheckKeys(const std::vector<std::string>& keys, const char* what) {
  if (keys.empty()) return Status(Code::kInvalidArgument, std::string(what) + " of no keys");
  std::set<std::string_view> seen;
  for (const std::string& key : keys) {
    if (!seen.insert(key).second) {
      return Status(Code::kInvalidArgument, std::string(what) + " names a key twice");
    }
  }
  return {};
}

}  // namespace rutile::txn
