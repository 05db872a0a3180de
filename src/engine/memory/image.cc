#include "engine/memory/image.h"

#include "codec/crc64.h"
#include "codec/integers.h"

namespace rutile::engine {
namespace {

constexpr std::string_view kMagic = "RUTILKVI";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kChecksumBytes = 8;

void AppendFamily(std::string* out, const SortedMap& map) {
  codec::PutVarint(out, map.size());
  for (const auto* record = map.FirstAtLeast({}); record != nullptr;
       record = map.FirstAbove(record->key)) {
    codec::PutBytes(out, record->key);
    codec::PutBytes(out, record->value);
  }
}

}  // namespace

std::string EncodeImage(const Contents& contents) {
  std::string out(kMagic);
  codec::PutFixed32(&out, kVersion);
  codec::PutFixed64(&out, contents.sequence);
  for (const SortedMap& map : contents.families) AppendFamily(&out, map);
  codec::PutFixed64(&out, codec::Crc64(out));
  return out;
}

Result<Contents> DecodeImage(std::string_view image) {
  codec::Reader header(image);
  if (header.Raw(kMagic.size()) != kMagic) {
    return Status(Code::kCorruption, "not an image of the in-memory engine");
  }
  const std::uint32_t version = header.Fixed32();
  if (header.ok() && version > kVersion) {
    return Status(Code::kFailedPrecondition,
                  "an image of version " + std::to_string(version) + "; this build reads up to " +
                      std::to_string(kVersion) + ": use the build that wrote it, or a newer one");
  }
  if (!header.ok() || header.rest().size() < kChecksumBytes) {
    return Status(Code::kCorruption, "the image is cut off");
  }
  const std::size_t body_bytes = image.size() - kChecksumBytes;
  if (codec::DecodeFixed64(image.data() + body_bytes) !=
      codec::Crc64(image.substr(0, body_bytes))) {
    return Status(Code::kCorruption, "the image's checksum does not match");
  }
  codec::Reader reader(header.rest().substr(0, header.rest().size() - kChecksumBytes));
  Contents contents;
  contents.sequence = reader.Fixed64();
  for (SortedMap& map : contents.families) {
    for (std::uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
      std::string key(reader.Bytes());
      map = map.Put(std::move(key), std::string(reader.Bytes()));
    }
  }
  if (!reader.Done()) return Status(Code::kCorruption, "the image's records do not add up");
  return contents;
}

}  // namespace rutile::engine
