#pragma once

#include <optional>
#include <string>
#include <type_traits>

#include "base/ids.h"
#include "base/status.h"
#include "codec/api_version.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::rpc {

// Whose requests a node serves.
struct Served {
  ClusterId cluster = {};
  codec::ApiVersion api = codec::ApiVersion::kV1;
};

// Why a request with this context cannot be served here at all, as text for the user.
std::optional<std::string> Unserved(const kvrpcpb::Context& context, const Served& served,
                                    codec::KeyMode mode);

namespace internal {

template <class Keys>
Status CheckAllKeys(const Keys& keys, codec::KeyMode mode) {
  for (const auto& one : keys) {
    if constexpr (requires { one.key(); }) {
      RUTILE_RETURN_IF_ERROR(codec::CheckKeyMode(mode, one.key()));
    } else {
      RUTILE_RETURN_IF_ERROR(codec::CheckKeyMode(mode, one));
    }
  }
  return {};
}

// A range that is read downwards has its upper border first.
template <class Range>
Status CheckOneRange(const Range& range, bool reverse, codec::KeyMode mode) {
  return reverse ? codec::CheckRangeMode(mode, range.end_key(), range.start_key())
                 : codec::CheckRangeMode(mode, range.start_key(), range.end_key());
}

template <class Request>
bool IsReverse(const Request& request) {
  if constexpr (requires { request.reverse(); }) return request.reverse();
  return false;
}

template <class Request>
Status CheckRanges(const Request& request, codec::KeyMode mode) {
  const bool reverse = IsReverse(request);
  if constexpr (requires { request.start_key(); }) {
    RUTILE_RETURN_IF_ERROR(CheckOneRange(request, reverse, mode));
  }
  if constexpr (requires { request.ranges_size(); }) {
    for (const auto& range : request.ranges()) {
      RUTILE_RETURN_IF_ERROR(CheckOneRange(range, reverse, mode));
    }
  }
  return {};
}

}  // namespace internal

// Whether all keys of a request have the mode of its call: the fields of the protocol that hold
// keys have the same few names in all its messages. OK when there are none.
template <class Request>
Status CheckKeys(const Request& request, codec::KeyMode mode) {
  if constexpr (requires { request.key(); }) {
    RUTILE_RETURN_IF_ERROR(codec::CheckKeyMode(mode, request.key()));
  }
  if constexpr (requires { request.keys_size(); }) {
    RUTILE_RETURN_IF_ERROR(internal::CheckAllKeys(request.keys(), mode));
  }
  if constexpr (requires { request.pairs_size(); }) {
    RUTILE_RETURN_IF_ERROR(internal::CheckAllKeys(request.pairs(), mode));
  }
  if constexpr (requires { request.mutations_size(); }) {
    RUTILE_RETURN_IF_ERROR(internal::CheckAllKeys(request.mutations(), mode));
  }
  if constexpr (requires { request.secondaries_size(); }) {
    RUTILE_RETURN_IF_ERROR(internal::CheckAllKeys(request.secondaries(), mode));
  }
  if constexpr (requires { request.primary_lock(); }) {
    RUTILE_RETURN_IF_ERROR(codec::CheckKeyMode(mode, request.primary_lock()));
  }
  if constexpr (requires { request.primary_key(); }) {
    // A commit need not name it, and most do not.
    const bool may_lack = std::is_same_v<Request, kvrpcpb::CommitRequest>;
    if (!may_lack || !request.primary_key().empty()) {
      RUTILE_RETURN_IF_ERROR(codec::CheckKeyMode(mode, request.primary_key()));
    }
  }
  return internal::CheckRanges(request, mode);
}

// As above, of a whole request: its keys are looked at, too.
template <class Request>
std::optional<std::string> Unserved(const Request& request, const Served& served,
                                    codec::KeyMode mode) {
  if (std::optional<std::string> why = Unserved(request.context(), served, mode)) return why;
  if (served.api == codec::ApiVersion::kV1) return std::nullopt;
  const Status status = CheckKeys(request, mode);
  if (status.ok()) return std::nullopt;
  return std::string(status.message());
}

}  // namespace rutile::rpc
