#include "client/key_form.h"

#include <optional>

#include "codec/memcomparable.h"

namespace rutile::client {
KeyForm::KeyForm(codec::ApiVersion api, codec::KeyMode mode, std::uint32_t keyspace)
    : is_encoded_(api == codec::ApiVersion::kV2),
      begin_(is_encoded_ ? codec::KeyspacePrefix(mode, keyspace) : ""),
      end_(is_encoded_ ? codec::KeyspaceEnd(mode, keyspace) : "") {}

std::string KeyForm::ToPlace(std::string_view sent) const {
  return is_encoded_ ? codec::EncodeMemcomparable(sent) : std::string(sent);
}

Result<std::string> KeyForm::FromBorder(std::string_view border) const {
  if (!is_encoded_ || border.empty()) return std::string(border);
  std::optional<std::string> key = codec::TakeMemcomparable(&border);
  if (key) return *std::move(key);
  return Status(Code::kInternal,
                "a region has a border where no key of API version V2 can be; the cluster may be "
                "one of V1: ask without a keyspace");
}

}  // namespace rutile::client
