#include "base/log.h"

#include <cstdio>

#include "base/check.h"

namespace rutile {
namespace {

// Days since 1970 to a civil date. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
// http://howardhinnant.github.io/date_algorithms.html#civil_from_days (public domain algorithm).
struct Date {
  std::int64_t year;
  unsigned month;
  unsigned day;
};

Date CivilFromDays(std::int64_t days) {
  days += 719'468;
  const std::int64_t era = days / 146'097;
  const auto day_of_era = static_cast<unsigned>(days - era * 146'097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted_month = (5 * day_of_year + 2) / 153;
  const unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {era * 400 + year_of_era + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

bool NeedsQuotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == '"' || c == '=' || c == '[' || c == ']') {
      return true;
    }
  }
  return false;
}

// As a JSON string: what the format asks for wherever a word would be ambiguous.
void AppendQuoted(std::string* out, std::string_view text) {
  out->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      *out += {'\\', c};
    } else if (c == '\n') {
      *out += "\\n";
    } else if (byte < 0x20 || byte >= 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x", byte);
      *out += escaped;
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

void AppendWord(std::string* out, std::string_view text) {
  if (NeedsQuotes(text)) {
    AppendQuoted(out, text);
  } else {
    out->append(text);
  }
}

}  // namespace

std::string_view ToString(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "DEBUG";
    case LogLevel::kInfo: return "INFO";
    case LogLevel::kWarn: return "WARN";
    case LogLevel::kError: return "ERROR";
  }
  RUTILE_UNREACHABLE();
}

std::string FormatLogLine(std::uint64_t wall_millis, LogLevel level, std::string_view file,
                          int line, std::string_view message,
                          std::initializer_list<LogField> fields) {
  const std::uint64_t seconds = wall_millis / 1000;
  const Date date = CivilFromDays(static_cast<std::int64_t>(seconds / 86'400));
  char when[64];
  std::snprintf(when, sizeof(when), "[%04lld/%02u/%02u %02u:%02u:%02u.%03u +00:00] ",
                static_cast<long long>(date.year), date.month, date.day,
                static_cast<unsigned>(seconds / 3600 % 24),
                static_cast<unsigned>(seconds / 60 % 60), static_cast<unsigned>(seconds % 60),
                static_cast<unsigned>(wall_millis % 1000));
  std::string out = when;
  if (const std::size_t slash = file.rfind('/'); slash != std::string_view::npos) {
    file.remove_prefix(slash + 1);
  }
  out += "[" + std::string(ToString(level)) + "] [" + std::string(file) + ":" +
         std::to_string(line) + "] [";
  AppendQuoted(&out, message);
  out += "]";
  for (const LogField& field : fields) {
    out += " [";
    AppendWord(&out, field.key);
    out += "=";
    AppendWord(&out, field.value);
    out += "]";
  }
  return out;
}

}  // namespace rutile
