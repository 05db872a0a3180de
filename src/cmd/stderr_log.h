#pragma once

#include <condition_variable>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "base/log.h"
#include "env/env.h"

namespace rutile::cmd {

// Writes log lines to stderr from a thread of its own: whoever logs never waits for a stuck disk or
// pipe. What does not fit into the queue is dropped and counted in the log itself.
class StderrLog final : public LogSink {
 public:
  // `clock` outlives the sink.
  explicit StderrLog(const Clock& clock);
  // Writes what is queued.
  ~StderrLog() override;

  void Write(LogLevel level, std::string_view file, int line, std::string_view message,
             std::initializer_list<LogField> fields) override;
  // Returns when all that was written before is out, or after a second.
  void Flush();

 private:
  void Run();

  const Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string queue_;  // Guarded by mutex_, as is all that follows.
  std::uint64_t dropped_ = 0;
  bool writing_ = false;
  bool stopping_ = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace rutile::cmd
