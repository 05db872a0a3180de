#include "cmd/stderr_log.h"

#include <chrono>
#include <cstdio>
#include <utility>

namespace rutile::cmd {
namespace {

constexpr std::size_t kMaxQueueBytes = std::size_t{1} << 20;

}  // namespace

StderrLog::StderrLog(const Clock& clock) : clock_(clock), thread_([this] { Run(); }) {}

StderrLog::~StderrLog() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void StderrLog::Write(LogLevel level, std::string_view file, int line, std::string_view message,
                      std::initializer_list<LogField> fields) {
  std::string text = FormatLogLine(clock_.WallMillis(), level, file, line, message, fields) + "\n";
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + text.size() > kMaxQueueBytes) {
      ++dropped_;
      return;
    }
    queue_ += text;
  }
  changed_.notify_all();
}

void StderrLog::Flush() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(1), [this] { return queue_.empty() && !writing_; });
}

void StderrLog::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::string text = std::exchange(queue_, {});
    const std::uint64_t dropped = std::exchange(dropped_, 0);
    writing_ = true;
    lock.unlock();
    if (dropped > 0) {
      text += FormatLogLine(clock_.WallMillis(), LogLevel::kWarn, __FILE__, __LINE__,
                            "log lines were dropped: stderr is too slow",
                            {{"lines", std::to_string(dropped)}}) +
              "\n";
    }
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
    lock.lock();
    writing_ = false;
    changed_.notify_all();
  }
}

}  // namespace rutile::cmd
