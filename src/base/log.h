#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace rutile {

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError };
std::string_view ToString(LogLevel level);

// One "key=value" of a log line.
struct LogField {
  std::string_view key;
  std::string value;
};

// Where log lines go. Safe from any thread; Write must not block for long, and never on a disk.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void Write(LogLevel level, std::string_view file, int line, std::string_view message,
                     std::initializer_list<LogField> fields) = 0;
};

// What a room logs to. Given to it, never global: the simulator's prefixes virtual time and node.
// Safe from any thread.
class Logger {
 public:
  // `sink` outlives the logger.
  Logger(LogSink& sink, LogLevel level) : sink_(sink), level_(level) {}

  bool IsOn(LogLevel level) const { return level >= level_.load(std::memory_order_relaxed); }
  void SetLevel(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  void Write(LogLevel level, std::string_view file, int line, std::string_view message,
             std::initializer_list<LogField> fields) {
    sink_.Write(level, file, line, message, fields);
  }

 private:
  LogSink& sink_;
  std::atomic<LogLevel> level_;
};

// The text form of a line, without its end, after TiDB's unified log format:
// [2026/11/23 09:00:00.000 +00:00] [INFO] [file.cc:145] ["message"] [key=value]
std::string FormatLogLine(std::uint64_t wall_millis, LogLevel level, std::string_view file,
                          int line, std::string_view message,
                          std::initializer_list<LogField> fields);

}  // namespace rutile

// RUTILE_LOG(logger, kWarn, "what happened", {"region", ToString(id)}, ...); fields are evaluated
// only when the level is on.
#define RUTILE_LOG(logger, level, message, ...)                                              \
  do {                                                                                       \
    if ((logger).IsOn(::rutile::LogLevel::level))                                            \
      (logger).Write(::rutile::LogLevel::level, __FILE__, __LINE__, message, {__VA_ARGS__}); \
  } while (false)
