#include "store/command.h"

#include "codec/integers.h"

namespace rutile::store {
namespace {

constexpr std::uint8_t kFormat = 1;
constexpr std::uint8_t kHasExpected = 1;
constexpr std::uint8_t kSwapDeletes = 2;

}  // namespace

std::size_t Command::size_bytes() const {
  std::size_t bytes = 32;
  for (const Mutation& mutation : mutations) {
    bytes += 8 + mutation.key.size() + mutation.value.size();
    if (mutation.expected) bytes += mutation.expected->size();
  }
  return bytes;
}

std::string EncodeCommand(const Command& command) {
  std::string out;
  out.reserve(command.size_bytes());
  codec::PutFixed8(&out, kFormat);
  codec::PutVarint(&out, command.epoch.conf_version);
  codec::PutVarint(&out, command.epoch.version);
  codec::PutVarint(&out, command.now_seconds);
  codec::PutVarint(&out, command.mutations.size());
  for (const Mutation& mutation : command.mutations) {
    codec::PutFixed8(&out, static_cast<std::uint8_t>(mutation.kind));
    codec::PutFixed8(&out, static_cast<std::uint8_t>(mutation.family));
    codec::PutBytes(&out, mutation.key);
    if (mutation.kind != Mutation::Kind::kDelete) codec::PutBytes(&out, mutation.value);
    if (mutation.kind != Mutation::Kind::kCompareAndSwap) continue;
    codec::PutFixed8(&out, static_cast<std::uint8_t>((mutation.expected ? kHasExpected : 0) |
                                                     (mutation.swap_deletes ? kSwapDeletes : 0)));
    if (mutation.expected) codec::PutBytes(&out, *mutation.expected);
  }
  return out;
}

Result<Command> DecodeCommand(std::string_view bytes) {
  codec::Reader reader(bytes);
  if (const std::uint8_t format = reader.Fixed8(); format != kFormat) {
    return Status(Code::kCorruption, "command: unknown format " + std::to_string(format));
  }
  Command command;
  command.epoch.conf_version = reader.Varint();
  command.epoch.version = reader.Varint();
  command.now_seconds = reader.Varint();
  const std::uint64_t count = reader.Varint();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    Mutation mutation;
    const std::uint8_t kind = reader.Fixed8();
    const std::uint8_t family = reader.Fixed8();
    if (kind < 1 || kind > 7 || family >= engine::kAllFamilies.size()) {
      return Status(Code::kCorruption, "command: unknown mutation");
    }
    mutation.kind = static_cast<Mutation::Kind>(kind);
    mutation.family = static_cast<engine::Family>(family);
    mutation.key = reader.Bytes();
    if (mutation.kind != Mutation::Kind::kDelete) mutation.value = reader.Bytes();
    if (mutation.kind == Mutation::Kind::kCompareAndSwap) {
      const std::uint8_t flags = reader.Fixed8();
      mutation.swap_deletes = (flags & kSwapDeletes) != 0;
      if ((flags & kHasExpected) != 0) mutation.expected = std::string(reader.Bytes());
    }
    command.mutations.push_back(std::move(mutation));
  }
  if (!reader.Done()) return Status(Code::kCorruption, "command: wrong length");
  return command;
}

}  // namespace rutile::store
