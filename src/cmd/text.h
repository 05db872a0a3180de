#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace rutile::cmd {

// How keys and values are written on the command line.
enum class TextFormat {
  kText,     // As they are.
  kHex,      // Two digits a byte.
  kEscaped,  // Printable ASCII as it is, \\ for a backslash, \xNN for any other byte.
};

Result<TextFormat> ParseTextFormat(std::string_view name);
Result<std::string> ParseBytes(TextFormat format, std::string_view text);
std::string FormatBytes(TextFormat format, std::string_view bytes);

}  // namespace rutile::cmd
