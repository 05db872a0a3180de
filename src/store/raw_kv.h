#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "codec/api_version.h"
#include "env/env.h"
#include "store/region_error.h"
#include "store/store.h"

namespace rutile::store {

// What the raw calls accept; configuration of the node.
struct RawLimits {
  std::size_t max_key_bytes = std::size_t{8} << 10;
  std::size_t max_value_bytes = std::size_t{6} << 20;
  bool allow_empty_values = false;
  std::uint32_t max_scan_limit = 100'000;  // Pairs of one scan.
};

// The answer to a raw call: a T, a region error, or a Status whose message is for the user (a bad
// argument, or stored bytes that do not verify).
template <class T>
using RawReply = std::variant<T, RegionError, Status>;
template <class T>
using RawDone = UniqueFunction<void(RawReply<T>)>;

struct KeyValue {
  std::string key = {};
  std::string value = {};
};

struct RawPair {
  std::string key = {};
  std::string value = {};
  std::uint64_t ttl_seconds = 0;  // 0: for ever.
};

// A range of a scan. Forward: [start, end). Reverse: from below `start` down to `end`, both as the
// protocol has them: start is the exclusive upper, end the inclusive lower border. Empty: no
// border.
struct RawRange {
  std::string start = {};
  std::string end = {};
};

struct RawScanOptions {
  std::uint32_t limit = 0;
  bool key_only = false;
  bool reverse = false;
};

struct RawCompareAndSwap {
  std::string key = {};
  std::optional<std::string> expected = {};  // Nothing: the key must be absent.
  std::string value = {};
  std::uint64_t ttl_seconds = 0;
  bool delete_key = false;
};

struct RawTtl {
  bool found = false;
  std::uint64_t seconds = 0;  // 0: for ever.
};

struct RawChecksum {
  std::uint64_t crc64_xor = 0;  // Over CRC-64/XZ of key and value of each pair.
  std::uint64_t pairs = 0;
  std::uint64_t bytes = 0;  // Of keys and values.
};

struct Done {};

// The raw calls of one store: keys and values without transactions. Checks arguments, encodes
// values and turns calls into commands and reads of the region that the header names. Linearizable
// for each key. Expired values are absent; they are removed when they are next overwritten or
// deleted.
//
// Keys of API version V2 stand in the engine and in the log in their memory-comparable form, which
// is also that of region borders. Callers see keys as clients send them, and have checked that
// those of V2 are raw ones, borders of ranges included.
//
// Safe from any thread; `done` runs exactly once, possibly before the call returns.
class RawKv {
 public:
  // Both outlive the object.
  RawKv(Store& store, const Clock& clock, RawLimits limits,
        codec::ApiVersion api = codec::ApiVersion::kV1)
      : store_(store), clock_(clock), limits_(limits), api_(api) {}

  void Get(const RequestHeader& header, std::string key, RawDone<std::optional<std::string>> done);
  // Only the keys that are present, in the order asked for.
  void BatchGet(const RequestHeader& header, std::vector<std::string> keys,
                RawDone<std::vector<KeyValue>> done);
  void Put(const RequestHeader& header, std::vector<RawPair> pairs, RawDone<Done> done);
  void Delete(const RequestHeader& header, std::vector<std::string> keys, RawDone<Done> done);
  // [start, end) in one region.
  void DeleteRange(const RequestHeader& header, std::string start, std::string end,
                   RawDone<Done> done);
  // Each range up to options.limit pairs, clipped to the region, one after the other. A reversed
  // range holds nothing.
  void Scan(const RequestHeader& header, std::vector<RawRange> ranges, RawScanOptions options,
            RawDone<std::vector<KeyValue>> done);
  void GetTtl(const RequestHeader& header, std::string key, RawDone<RawTtl> done);
  void CompareAndSwap(const RequestHeader& header, RawCompareAndSwap request,
                      RawDone<CommandResult> done);
  void Checksum(const RequestHeader& header, std::vector<RawRange> ranges,
                RawDone<RawChecksum> done);

 private:
  Status CheckKey(std::string_view key) const;
  Status CheckValue(std::string_view key, std::string_view value) const;
  std::uint64_t NowSeconds() const { return clock_.WallMillis() / 1000; }
  std::uint64_t ExpiryOf(std::uint64_t ttl_seconds) const {
    return ttl_seconds == 0 ? 0 : NowSeconds() + ttl_seconds;
  }
  bool IsEncoded() const { return api_ == codec::ApiVersion::kV2; }
  // The key as it is stored; of an open border, that.
  std::string Stored(std::string key) const;
  std::vector<RawRange> Stored(std::vector<RawRange> ranges) const;
  void Write(const RequestHeader& header, std::vector<Mutation> mutations, RawDone<Done> done);
  // Runs `read` on a view and hands on what it returns.
  template <class T, class F>
  void Read(const RequestHeader& header, RawDone<T> done, F read);

  Store& store_;
  const Clock& clock_;
  const RawLimits limits_;
  const codec::ApiVersion api_;
};

}  // namespace rutile::store
