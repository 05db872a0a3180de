#include "raft/promises.h"

#include <utility>

#include "base/check.h"

namespace rutile::raft {
namespace {

bool IsAcknowledgement(const Message& message) {
  return message.type == MessageType::kAppendReply && !message.rejected;
}

// Whether `newer` says all that `older` says.
bool Supersedes(const Message& newer, const Message& older) {
  return IsAcknowledgement(newer) && IsAcknowledgement(older) && newer.to == older.to &&
         newer.match >= older.match;
}

}  // namespace

void Promises::Hold(Message&& message, const Mark& mark) {
  auto& queue = mark.index.IsZero() ? of_state_ : of_log_;
  RUTILE_CHECK(queue.empty() || queue.back().mark.write <= mark.write);
  // A leader that repeats itself to a slow disk does not fill the memory.
  if (!queue.empty() && queue.back().mark == mark && Supersedes(message, queue.back().message)) {
    queue.back().message = std::move(message);
    return;
  }
  queue.push_back({.message = std::move(message), .mark = mark});
}

void Promises::Release(const LogTail& tail, std::vector<Message>& out) {
  while (!of_state_.empty() && of_state_.front().mark.write <= tail.durable_write()) {
    out.push_back(std::move(of_state_.front().message));
    of_state_.pop_front();
  }
  const std::size_t first = out.size();
  while (!of_log_.empty() && of_log_.front().mark.write <= tail.durable_write()) {
    Held held = std::move(of_log_.front());
    of_log_.pop_front();
    if (!tail.IsCurrent(held.mark)) continue;
    if (out.size() > first && Supersedes(held.message, out.back())) {
      out.back() = std::move(held.message);
    } else {
      out.push_back(std::move(held.message));
    }
  }
}

void Promises::DropAll() {
  of_state_.clear();
  of_log_.clear();
}

}  // namespace rutile::raft
