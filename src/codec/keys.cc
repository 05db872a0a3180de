#include "codec/keys.h"

#include "base/check.h"
#include "codec/integers.h"

namespace rutile::codec {
namespace {

constexpr char kData = 'z';
constexpr char kPlacement = 'P';
constexpr char kRegion = 'R';
constexpr char kNode = 'S';
constexpr char kApplied = 'a';
constexpr char kDescriptor = 'd';
constexpr char kSafePoint = 's';
constexpr char kTombstone = 't';

// The first key after all that begin with `prefix`.
std::string After(char prefix) { return std::string(1, static_cast<char>(prefix + 1)); }

std::string KeyOfRegion(RegionId region, char suffix) {
  std::string key(1, kRegion);
  PutBigEndian64(&key, region.value());
  key.push_back(suffix);
  return key;
}

RegionId RegionOf(std::string_view key, char suffix) {
  if (key.size() != 10 || key.front() != kRegion || key.back() != suffix) return {};
  return RegionId(DecodeBigEndian64(key.data() + 1));
}

}  // namespace

std::string DataKey(std::string_view user_key) {
  std::string key;
  key.reserve(1 + user_key.size());
  key.push_back(kData);
  key.append(user_key);
  return key;
}

std::string DataEndKey(std::string_view user_key) {
  return user_key.empty() ? After(kData) : DataKey(user_key);
}

std::string_view UserKey(std::string_view data_key) {
  RUTILE_CHECK(!data_key.empty() && data_key.front() == kData);
  return data_key.substr(1);
}

std::string RegionKey(RegionId region) { return KeyOfRegion(region, kDescriptor); }
std::string AppliedKey(RegionId region) { return KeyOfRegion(region, kApplied); }
std::string SafePointKey(RegionId region) { return KeyOfRegion(region, kSafePoint); }
std::string TombstoneKey(RegionId region) { return KeyOfRegion(region, kTombstone); }
std::string RegionKeysBegin() { return std::string(1, kRegion); }
std::string RegionKeysEnd() { return After(kRegion); }

RegionId RegionOfDescriptorKey(std::string_view key) { return RegionOf(key, kDescriptor); }
RegionId RegionOfTombstoneKey(std::string_view key) { return RegionOf(key, kTombstone); }

std::string PlacementKey(std::string_view name) {
  std::string key(1, kPlacement);
  key.append(name);
  return key;
}
std::string PlacementKeysBegin() { return std::string(1, kPlacement); }
std::string PlacementKeysEnd() { return After(kPlacement); }

std::string NodeIdentityKey() { return {kNode, 'i'}; }

}  // namespace rutile::codec
