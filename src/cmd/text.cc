#include "cmd/text.h"

#include <optional>

namespace rutile::cmd {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

std::optional<int> Digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::optional<char> HexByte(std::string_view two) {
  if (two.size() < 2) return std::nullopt;
  const std::optional<int> high = Digit(two[0]);
  const std::optional<int> low = Digit(two[1]);
  if (!high || !low) return std::nullopt;
  return static_cast<char>(*high * 16 + *low);
}

Status Bad(std::string_view text, std::size_t at, const char* why) {
  return Status(Code::kInvalidArgument,
                "'" + std::string(text) + "' at character " + std::to_string(at + 1) + ": " + why);
}

Result<std::string> ParseHex(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const std::optional<char> byte = HexByte(text.substr(i, 2));
    if (!byte) return Bad(text, i, "expected two hexadecimal digits");
    out.push_back(*byte);
  }
  return out;
}

Result<std::string> ParseEscaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == '\\') {
      out.push_back('\\');
      ++i;
    } else if (next == 'x') {
      const std::optional<char> byte = HexByte(text.substr(i + 2, 2));
      if (!byte) return Bad(text, i, "expected \\x and two hexadecimal digits");
      out.push_back(*byte);
      i += 3;
    } else {
      return Bad(text, i, "expected \\\\ or \\xNN");
    }
  }
  return out;
}

}  // namespace

Result<TextFormat> ParseTextFormat(std::string_view name) {
  if (name == "text") return TextFormat::kText;
  if (name == "hex") return TextFormat::kHex;
  if (name == "escaped") return TextFormat::kEscaped;
  return Status(Code::kInvalidArgument,
                "unknown format '" + std::string(name) + "'; there are text, hex and escaped");
}

Result<std::string> ParseBytes(TextFormat format, std::string_view text) {
  switch (format) {
    case TextFormat::kText: return std::string(text);
    case TextFormat::kHex: return ParseHex(text);
    case TextFormat::kEscaped: return ParseEscaped(text);
  }
  RUTILE_UNREACHABLE();
}

std::string FormatBytes(TextFormat format, std::string_view bytes) {
  if (format == TextFormat::kText) return std::string(bytes);
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (format == TextFormat::kHex) {
      out += {kDigits[byte >> 4], kDigits[byte & 15]};
    } else if (c == '\\') {
      out += "\\\\";
    } else if (byte >= 0x20 && byte < 0x7F) {
      out.push_back(c);
    } else {
      out += {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return out;
}

}  // namespace rutile::cmd
