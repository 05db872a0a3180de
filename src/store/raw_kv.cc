#include "store/raw_kv.h"

#include "codec/crc64.h"
#include "codec/keys.h"
#include "codec/memcomparable.h"
#include "store/raw_value.h"

namespace rutile::store {
namespace {

constexpr engine::Family kFamily = engine::Family::kDefault;

std::optional<RegionError> NotInRegion(const Region& region, std::string_view key) {
  if (region.Contains(key)) return std::nullopt;
  return NotIn(region, std::string(key));
}

// The part of `range` that lies in the region, as a forward range of engine keys; nothing when the
// range does not begin in the region.
std::optional<engine::Bounds> Clip(const Region& region, const RawRange& range, bool reverse) {
  std::string_view lower = range.start;
  std::string_view upper = range.end;
  if (reverse) std::swap(lower, upper);
  if (!reverse && !region.Contains(lower)) return std::nullopt;
  if (reverse && ((!upper.empty() && upper <= region.start_key) ||
                  (!region.end_key.empty() && (upper.empty() || upper > region.end_key)))) {
    return std::nullopt;
  }
  if (lower < region.start_key) lower = region.start_key;
  if (!region.end_key.empty() && (upper.empty() || upper > region.end_key)) upper = region.end_key;
  return engine::Bounds{.lower = codec::DataKey(lower), .upper = codec::DataEndKey(upper)};
}

Status CheckRange(const RawRange& range, bool reverse) {
  const std::string& low = reverse ? range.end : range.start;
  const std::string& high = reverse ? range.start : range.end;
  if (high.empty() || low < high) return {};
  return Status(Code::kInvalidArgument,
                low == high ? "the range is empty: both borders are the same"
                            : "the range is reversed: its lower border lies above its upper one");
}

// How a range is walked.
struct Way {
  bool reverse = false;
  bool is_encoded = false;  // The keys are.
  std::uint64_t now_seconds = 0;
};

// The user's key in a stored one.
Result<std::string> Shown(std::string_view stored, bool is_encoded) {
  if (!is_encoded) return std::string(stored);
  std::string_view rest = stored;
  std::optional<std::string> key = codec::TakeMemcomparable(&rest);
  if (key && rest.empty()) return *std::move(key);
  return Status(Code::kCorruption,
                "a raw key of " + std::to_string(stored.size()) +
                    " bytes is not in its comparable form; this node's data is damaged: have it "
                    "rebuilt from the other replicas");
}

// Calls `visit(key, value)` for each live pair until it returns false.
template <class Visit>
Status Walk(const ReadView& view, const engine::Bounds& bounds, const Way& way, Visit visit) {
  const std::unique_ptr<engine::Iterator> iterator = view.snapshot.NewIterator(kFamily, bounds);
  way.reverse ? iterator->SeekBefore(bounds.upper) : iterator->Seek(bounds.lower);
  for (; iterator->Valid(); way.reverse ? iterator->Prev() : iterator->Next()) {
    RUTILE_ASSIGN_OR_RETURN(const RawValue raw, DecodeRawValue(iterator->value()));
    if (!raw.IsLive(way.now_seconds)) continue;
    RUTILE_ASSIGN_OR_RETURN(std::string key,
                            Shown(codec::UserKey(iterator->key()), way.is_encoded));
    if (!visit(std::move(key), raw.value)) return {};
  }
  return iterator->status();
}

// The live value of a key.
Result<std::optional<RawValue>> Find(const ReadView& view, std::string_view key,
                                     std::uint64_t now_seconds, std::string* stored) {
  RUTILE_ASSIGN_OR_RETURN(std::optional<std::string> found,
                          view.snapshot.Get(kFamily, codec::DataKey(key)));
  if (!found) return std::optional<RawValue>();
  *stored = std::move(*found);
  RUTILE_ASSIGN_OR_RETURN(const RawValue raw, DecodeRawValue(*stored));
  if (!raw.IsLive(now_seconds)) return std::optional<RawValue>();
  return std::optional(raw);
}

}  // namespace

Status RawKv::CheckKey(std::string_view key) const {
  if (key.empty()) return Status(Code::kInvalidArgument, "the key is empty");
  if (key.size() > limits_.max_key_bytes) {
    return Status(Code::kInvalidArgument,
                  "the key has " + std::to_string(key.size()) + " bytes, the limit is " +
                      std::to_string(limits_.max_key_bytes) + " (option max-key-bytes)");
  }
  return {};
}

Status RawKv::CheckValue(std::string_view key, std::string_view value) const {
  RUTILE_RETURN_IF_ERROR(CheckKey(key));
  if (value.empty() && !limits_.allow_empty_values) {
    return Status(Code::kInvalidArgument, "the value is empty (option allow-empty-values)");
  }
  if (value.size() > limits_.max_value_bytes) {
    return Status(Code::kInvalidArgument,
                  "the value has " + std::to_string(value.size()) + " bytes, the limit is " +
                      std::to_string(limits_.max_value_bytes) + " (option max-value-bytes)");
  }
  return {};
}

std::string RawKv::Stored(std::string key) const {
  return IsEncoded() && !key.empty() ? codec::EncodeMemcomparable(key) : std::move(key);
}

std::vector<RawRange> RawKv::Stored(std::vector<RawRange> ranges) const {
  for (RawRange& range : ranges) {
    range.start = Stored(std::move(range.start));
    range.end = Stored(std::move(range.end));
  }
  return ranges;
}

template <class T, class F>
void RawKv::Read(const RequestHeader& header, RawDone<T> done, F read) {
  store_.Read(header, [done = std::move(done), read = std::move(read)](
                          const ReadView* view, const RegionError* error) mutable {
    if (view == nullptr) return done(*error);
    done(read(*view));
  });
}

void RawKv::Get(const RequestHeader& header, std::string key,
                RawDone<std::optional<std::string>> done) {
  using Reply = RawReply<std::optional<std::string>>;
  if (Status status = CheckKey(key); !status.ok()) return done(std::move(status));
  Read<std::optional<std::string>>(
      header, std::move(done),
      [key = Stored(std::move(key)), now = NowSeconds()](const ReadView& view) -> Reply {
        if (auto error = NotInRegion(view.region, key)) return std::move(*error);
        std::string stored;
        Result<std::optional<RawValue>> found = Find(view, key, now, &stored);
        if (!found.ok()) return found.status();
        if (!found.value()) return std::optional<std::string>();
        stored.resize(found.value()->value.size());  // The value is the front of what is stored.
        return std::optional(std::move(stored));
      });
}

void RawKv::BatchGet(const RequestHeader& header, std::vector<std::string> keys,
                     RawDone<std::vector<KeyValue>> done) {
  using Reply = RawReply<std::vector<KeyValue>>;
  for (const std::string& key : keys) {
    if (Status status = CheckKey(key); !status.ok()) return done(std::move(status));
  }
  Read<std::vector<KeyValue>>(
      header, std::move(done),
      [this, keys = std::move(keys), now = NowSeconds()](const ReadView& view) mutable -> Reply {
        std::vector<KeyValue> pairs;
        for (std::string& key : keys) {
          const std::string at = Stored(key);
          if (auto error = NotInRegion(view.region, at)) return std::move(*error);
          std::string stored;
          Result<std::optional<RawValue>> found = Find(view, at, now, &stored);
          if (!found.ok()) return found.status();
          if (!found.value()) continue;
          stored.resize(found.value()->value.size());
          pairs.push_back({std::move(key), std::move(stored)});
        }
        return pairs;
      });
}

void RawKv::Write(const RequestHeader& header, std::vector<Mutation> mutations,
                  RawDone<Done> done) {
  Command command{.epoch = {}, .now_seconds = NowSeconds(), .mutations = std::move(mutations)};
  store_.Write(header, std::move(command), [done = std::move(done)](WriteOutcome outcome) mutable {
    if (auto* error = std::get_if<RegionError>(&outcome)) return done(std::move(*error));
    done(Done{});
  });
}

void RawKv::Put(const RequestHeader& header, std::vector<RawPair> pairs, RawDone<Done> done) {
  std::vector<Mutation> mutations;
  mutations.reserve(pairs.size());
  for (RawPair& pair : pairs) {
    if (Status status = CheckValue(pair.key, pair.value); !status.ok()) {
      return done(std::move(status));
    }
    mutations.push_back({.kind = Mutation::Kind::kPut,
                         .family = kFamily,
                         .key = Stored(std::move(pair.key)),
                         .value = EncodeRawValue(pair.value, ExpiryOf(pair.ttl_seconds))});
  }
  if (mutations.empty()) return done(Done{});
  Write(header, std::move(mutations), std::move(done));
}

void RawKv::Delete(const RequestHeader& header, std::vector<std::string> keys, RawDone<Done> done) {
  std::vector<Mutation> mutations;
  mutations.reserve(keys.size());
  for (std::string& key : keys) {
    if (Status status = CheckKey(key); !status.ok()) return done(std::move(status));
    mutations.push_back(
        {.kind = Mutation::Kind::kDelete, .family = kFamily, .key = Stored(std::move(key))});
  }
  if (mutations.empty()) return done(Done{});
  Write(header, std::move(mutations), std::move(done));
}

void RawKv::DeleteRange(const RequestHeader& header, std::string start, std::string end,
                        RawDone<Done> done) {
  if (Status status = CheckRange({start, end}, false); !status.ok()) {
    return done(std::move(status));
  }
  Write(header,
        {{.kind = Mutation::Kind::kDeleteRange,
          .family = kFamily,
          .key = Stored(std::move(start)),
          .value = Stored(std::move(end))}},
        std::move(done));
}

void RawKv::Scan(const RequestHeader& header, std::vector<RawRange> ranges, RawScanOptions options,
                 RawDone<std::vector<KeyValue>> done) {
  using Reply = RawReply<std::vector<KeyValue>>;
  if (options.limit > limits_.max_scan_limit) {
    return done(Status(Code::kInvalidArgument,
                       "a scan of " + std::to_string(options.limit) + " pairs, the limit is " +
                           std::to_string(limits_.max_scan_limit) + " (option max-scan-limit)"));
  }
  // A reversed range holds nothing. Scans say so by their answer: clients look for no error in it.
  std::erase_if(ranges,
                [&](const RawRange& range) { return !CheckRange(range, options.reverse).ok(); });
  Read<std::vector<KeyValue>>(
      header, std::move(done),
      [ranges = Stored(std::move(ranges)), options,
       way =
           Way{.reverse = options.reverse, .is_encoded = IsEncoded(), .now_seconds = NowSeconds()}](
          const ReadView& view) -> Reply {
        std::vector<KeyValue> pairs;
        for (const RawRange& range : ranges) {
          const auto bounds = Clip(view.region, range, options.reverse);
          if (!bounds) {
            return RegionError(NotIn(view.region, range.start));
          }
          std::uint32_t left = options.limit;
          if (left == 0) continue;
          const Status status =
              Walk(view, *bounds, way, [&](std::string key, std::string_view value) {
                pairs.push_back({std::move(key), options.key_only ? "" : std::string(value)});
                return --left > 0;
              });
          if (!status.ok()) return status;
        }
        return pairs;
      });
}

void RawKv::GetTtl(const RequestHeader& header, std::string key, RawDone<RawTtl> done) {
  using Reply = RawReply<RawTtl>;
  if (Status status = CheckKey(key); !status.ok()) return done(std::move(status));
  Read<RawTtl>(header, std::move(done),
               [key = Stored(std::move(key)), now = NowSeconds()](const ReadView& view) -> Reply {
                 if (auto error = NotInRegion(view.region, key)) return std::move(*error);
                 std::string stored;
                 Result<std::optional<RawValue>> found = Find(view, key, now, &stored);
                 if (!found.ok()) return found.status();
                 if (!found.value()) return RawTtl{};
                 const std::uint64_t expires_at = found.value()->expires_at;
                 return RawTtl{.found = true, .seconds = expires_at == 0 ? 0 : expires_at - now};
               });
}

void RawKv::CompareAndSwap(const RequestHeader& header, RawCompareAndSwap request,
                           RawDone<CommandResult> done) {
  Status status =
      request.delete_key ? CheckKey(request.key) : CheckValue(request.key, request.value);
  if (!status.ok()) return done(std::move(status));
  Command command{.epoch = {}, .now_seconds = NowSeconds(), .mutations = {}};
  command.mutations.push_back(
      {.kind = Mutation::Kind::kCompareAndSwap,
       .family = kFamily,
       .key = Stored(std::move(request.key)),
       .value = EncodeRawValue(request.value, ExpiryOf(request.ttl_seconds)),
       .expected = std::move(request.expected),
       .swap_deletes = request.delete_key});
  store_.Write(header, std::move(command), [done = std::move(done)](WriteOutcome outcome) mutable {
    if (auto* error = std::get_if<RegionError>(&outcome)) return done(std::move(*error));
    done(std::get<CommandResult>(std::move(outcome)));
  });
}

void RawKv::Checksum(const RequestHeader& header, std::vector<RawRange> ranges,
                     RawDone<RawChecksum> done) {
  using Reply = RawReply<RawChecksum>;
  for (const RawRange& range : ranges) {
    if (Status status = CheckRange(range, false); !status.ok()) return done(std::move(status));
  }
  Read<RawChecksum>(header, std::move(done),
                    [ranges = Stored(std::move(ranges)),
                     way = Way{.is_encoded = IsEncoded(), .now_seconds = NowSeconds()}](
                        const ReadView& view) -> Reply {
                      RawChecksum sum;
                      for (const RawRange& range : ranges) {
                        const auto bounds = Clip(view.region, range, false);
                        if (!bounds) {
                          return RegionError(NotIn(view.region, range.start));
                        }
                        const Status status =
                            Walk(view, *bounds, way,
                                 [&](const std::string& key, std::string_view value) {
                                   sum.crc64_xor ^= codec::Crc64(value, codec::Crc64(key));
                                   ++sum.pairs;
                                   sum.bytes += key.size() + value.size();
                                   return true;
                                 });
                        if (!status.ok()) return status;
                      }
                      return sum;
                    });
}

}  // namespace rutile::store
