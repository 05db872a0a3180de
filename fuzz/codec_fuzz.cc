// Every decoder of what comes from a peer or from a disk: it refuses, or what it has decoded is
// encoded and decoded to the same again. The first byte chooses the decoder.

#include <string>
#include <variant>

#include "base/check.h"
#include "codec/keys.h"
#include "codec/memcomparable.h"
#include "fuzz/input.h"
#include "placement/state.h"
#include "raft/types.h"
#include "store/apply_queue.h"
#include "store/command.h"
#include "store/peer_message.h"
#include "store/raw_value.h"
#include "store/region.h"
#include "wal/entry_block.h"
#include "wal/format.h"

namespace rutile::fuzz {
namespace {

// What `decode` takes, `encode` makes and `decode` takes again; and that is made to the same bytes.
template <class Decode, class Encode>
void RoundTrip(std::string_view bytes, Decode decode, Encode encode) {
  const auto first = decode(bytes);
  if (!first) return;
  const std::string encoded = encode(*first);
  const auto second = decode(encoded);
  RUTILE_CHECK(static_cast<bool>(second));
  RUTILE_CHECK(encode(*second) == encoded);
}

// A Result, so that it can be asked like an optional.
template <class T>
std::optional<T> ToOptional(Result<T> result) {
  if (!result.ok()) return std::nullopt;
  return std::move(result).value();
}

std::string EncodeItems(const std::vector<wal::Item>& items) {
  std::string out;
  for (const wal::Item& item : items) wal::PutItem(&out, item);
  return out;
}

void TryBlock(std::string_view bytes) {
  const Bytes block = Bytes::Copy(bytes);
  const std::uint32_t count = bytes.empty() ? 0 : static_cast<std::uint8_t>(bytes[0]) % 8;
  wal::VerifyBlock(bytes, RegionId(2), Index(7), 1);
  static_cast<void>(wal::PlainBytes(bytes));
  const auto entries = wal::DecodeBlock(block, count / 4, Index(7), Term(3), count);
  RUTILE_CHECK(!entries || entries->size() == count);
}

void TryBatchHeader(std::string_view bytes) {
  if (bytes.size() < wal::kBatchHeaderBytes) return;
  wal::BatchHeader header;
  if (wal::DecodeBatchHeader(bytes, 5, 4096, &header) != wal::HeaderState::kValid) return;
  RUTILE_CHECK(wal::EncodeBatchHeader(header, 5, 4096) == bytes.substr(0, wal::kBatchHeaderBytes));
}

void TryKey(std::string_view bytes) {
  codec::RegionOfDescriptorKey(bytes);
  const std::string encoded = codec::EncodeMemcomparable(bytes);
  std::string_view input = encoded;
  RUTILE_CHECK(codec::TakeMemcomparable(&input) == std::optional(std::string(bytes)));
  input = bytes;
  static_cast<void>(codec::TakeMemcomparable(&input));
}

void TryDisk(std::uint64_t choice, std::string_view bytes) {
  switch (choice) {
    case 0:
      return RoundTrip(
          bytes, [](auto in) { return ToOptional(wal::DecodeSegmentHeader(in)); },
          [](const auto& header) { return wal::EncodeSegmentHeader(header); });
    case 1: return TryBatchHeader(bytes);
    case 2: {
      const std::uint32_t count = bytes.empty() ? 0 : static_cast<std::uint8_t>(bytes[0]) % 8;
      if (!bytes.empty()) bytes.remove_prefix(1);
      return RoundTrip(
          bytes, [count](auto in) { return wal::DecodeItems(in, count); }, EncodeItems);
    }
    case 3: return TryBlock(bytes);
    case 4: return TryKey(bytes);
    case 5:
      return RoundTrip(
          bytes, [](auto in) { return ToOptional(store::DecodeHardState(in)); },
          [](const auto& state) { return store::EncodeHardState(state); });
    case 6:
      return RoundTrip(
          bytes, [](auto in) { return ToOptional(store::DecodeRegion(in)); },
          [](const auto& region) { return store::EncodeRegion(region); });
    default:
      return RoundTrip(
          bytes, [](auto in) { return ToOptional(store::DecodeApplied(in)); },
          [](const auto& id) { return store::EncodeApplied(id); });
  }
}

void TryEntries(std::uint64_t choice, std::string_view bytes) {
  switch (choice) {
    case 0:
      return RoundTrip(
          bytes, [](auto in) { return ToOptional(store::DecodeCommand(in)); },
          [](const auto& command) { return store::EncodeCommand(command); });
    case 1:
      return RoundTrip(
          bytes, [](auto in) { return ToOptional(placement::DecodeCommand(in)); },
          [](const auto& command) { return placement::EncodeCommand(command); });
    case 2:
      return RoundTrip(
          bytes, [](auto in) { return ToOptional(placement::DecodeLowestSafePoint(in)); },
          [](const auto& lowest) { return placement::EncodeLowestSafePoint(lowest); });
    case 3: {
      static_cast<void>(store::DecodeRawValue(bytes));
      return;
    }
    default:
      return RoundTrip(
          bytes, [](auto in) { return raft::DecodeConfiguration(in); },
          [](const auto& configuration) {
            return std::string(raft::EncodeConfiguration(configuration).view());
          });
  }
}

}  // namespace
}  // namespace rutile::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = rutile::fuzz::AsText(data + 1, size - 1);
  if (data[0] % 3 == 0) {
    rutile::fuzz::RoundTrip(
        bytes,
        [](auto in) { return rutile::fuzz::ToOptional(rutile::store::DecodePeerMessage(in)); },
        [](const auto& message) {
          return std::visit([](const auto& each) { return rutile::store::Encode(each); }, message);
        });
  } else if (data[0] % 3 == 1) {
    rutile::fuzz::TryDisk(data[0] / 3 % 8, bytes);
  } else {
    rutile::fuzz::TryEntries(data[0] / 3 % 5, bytes);
  }
  return 0;
}
