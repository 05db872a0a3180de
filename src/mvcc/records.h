#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "mvcc/types.h"

namespace rutile::mvcc {

// The stored forms; docs/formats/mvcc.md. Decoding answers kCorruption when the bytes are not a
// record, kFailedPrecondition when they have a field that only a newer build knows.
std::string EncodeLock(const Lock& lock);
Result<Lock> DecodeLock(std::string_view bytes);
std::string EncodeWrite(const Write& write);
Result<Write> DecodeWrite(std::string_view bytes);

}  // namespace rutile::mvcc
