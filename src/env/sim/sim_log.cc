#include "env/sim/sim_log.h"

#include <cstdio>

namespace rutile::sim {

void SimLogSink::Write(LogLevel level, std::string_view file, int line, std::string_view message,
                       std::initializer_list<LogField> fields) {
  const std::string text = FormatLogLine(0, level, file, line, message, fields);
  world_.Note(message);
  if (!take_) return;
  char stamp[64];
  std::snprintf(stamp, sizeof(stamp), "[%12.6fs] [store %s] ", ToSeconds(world_.Now()),
                ToString(store_).c_str());
  // Behind the date, which would be 1970's.
  take_(stamp + text.substr(text.find("] ") + 2));
}

}  // namespace rutile::sim
