#include "node/identity.h"

#include <vector>

#include "codec/crc32c.h"
#include "codec/integers.h"

namespace rutile::node {
namespace {

constexpr const char* kFileName = "IDENTITY";
constexpr std::string_view kMagic = "rutile-data\n";

// The oldest format that can say all of it.
std::uint32_t FormatOf(const Identity& identity) {
  if (identity.api != codec::ApiVersion::kV1) return 3;
  return identity.log_streams == 1 ? 1 : 2;
}

}  // namespace

Result<Identity> LoadIdentity(FileSystem& files) {
  RUTILE_ASSIGN_OR_RETURN(const std::string bytes, files.ReadAll(kFileName));
  const auto damaged = [](const std::string& what) {
    return Status(Code::kCorruption, std::string(kFileName) + ": " + what +
                                         "; restore the file from a backup of this directory");
  };
  if (!std::string_view(bytes).starts_with(kMagic) || bytes.size() < kMagic.size() + 8) {
    return damaged("this is not an identity file");
  }
  codec::Reader reader(std::string_view(bytes).substr(kMagic.size()));
  const std::uint32_t checksum = reader.Fixed32();
  if (codec::Crc32c(reader.rest()) != checksum) return damaged("it does not verify");
  const std::uint32_t format = reader.Fixed32();
  if (format > kDataFormat) {
    return Status(Code::kFailedPrecondition,
                  "the data directory has format " + std::to_string(format) +
                      ", this version knows formats up to " + std::to_string(kDataFormat) +
                      "; start the version that wrote it, or a newer one");
  }
  Identity identity;
  identity.cluster = ClusterId(reader.Fixed64());
  identity.store = StoreId(reader.Fixed64());
  identity.name = reader.Bytes();
  if (format > 1) identity.log_streams = reader.Varint();
  const std::uint8_t api = format > 2 ? reader.Fixed8() : 1;
  if (!reader.Done()) return damaged("wrong length");
  if (api < 1 || api > 2) return damaged("it names no API version");
  identity.api = static_cast<codec::ApiVersion>(api);
  if (identity.log_streams == 0) return damaged("it knows no log");
  return identity;
}

Status SaveIdentity(FileSystem& files, const Identity& identity) {
  std::string body;
  const std::uint32_t format = FormatOf(identity);
  codec::PutFixed32(&body, format);
  codec::PutFixed64(&body, identity.cluster.value());
  codec::PutFixed64(&body, identity.store.value());
  codec::PutBytes(&body, identity.name);
  if (format > 1) codec::PutVarint(&body, identity.log_streams);
  if (format > 2) codec::PutFixed8(&body, static_cast<std::uint8_t>(identity.api));
  std::string bytes(kMagic);
  codec::PutFixed32(&bytes, codec::Crc32c(body));
  return WriteFileAtomically(files, ".", kFileName, bytes + body);
}

Result<Identity> EstablishIdentity(FileSystem& files, const ClusterSpec& spec,
                                   const std::string& name) {
  const placement::Member* member = spec.Find(name);
  if (member == nullptr) {
    return Status(Code::kInvalidArgument,
                  "--name " + name + ": the cluster's list has no node of that name");
  }
  const Identity wanted{
      .cluster = spec.id, .store = member->store, .name = name, .log_streams = 1, .api = spec.api};
  Result<Identity> found = LoadIdentity(files);
  if (!found.ok()) {
    if (found.status().code() != Code::kNotFound) return found.status();
    RUTILE_RETURN_IF_ERROR(SaveIdentity(files, wanted));
    return wanted;
  }
  const Identity& identity = found.value();
  if (identity.name != name || identity.store != wanted.store) {
    return Status(Code::kFailedPrecondition,
                  "the data directory belongs to node " + identity.name + " (store " +
                      ToString(identity.store) + "), this is " + name + " (store " +
                      ToString(wanted.store) + "); give --data of the right node");
  }
  if (identity.api != spec.api) {
    const std::string held(ToString(identity.api));
    return Status(Code::kFailedPrecondition,
                  "the data directory holds keys of API version " + held + ", --api-version is " +
                      std::string(ToString(spec.api)) + "; start it with --api-version " + held +
                      ", or give another --data for a new cluster");
  }
  // A node on its own gets another token at every start; its directory knows better.
  if (spec.members.size() > 1 && identity.cluster != spec.id) {
    return Status(Code::kFailedPrecondition,
                  "the data directory belongs to cluster " + ToString(identity.cluster) +
                      ", --cluster describes cluster " + ToString(spec.id) +
                      "; give the list and token that the cluster began with, or another --data");
  }
  return identity;
}

}  // namespace rutile::node
