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
  if (!mark.index.IsZero()) return HoldAcknowledgement(message, mark);
  RUTILE_CHECK(of_state_.empty() || of_state_.back().write <= mark.write);
  // A leader that repeats itself to a slow disk does not fill the memory.
  if (!of_state_.empty() && of_state_.back().write == mark.write &&
      Supersedes(message, of_state_.back().message)) {
    of_state_.back().message = std::move(message);
    return;
  }
  of_state_.emplace_back(std::move(message), mark.write);
}

void Promises::HoldAcknowledgement(const Message& message, const Mark& mark) {
  RUTILE_CHECK(IsAcknowledgement(message), ToString(message));
  RUTILE_CHECK(message.term == mark.term && message.match == mark.index, ToString(message));
  RUTILE_CHECK(of_log_.empty() || of_log_.back().mark.write <= mark.write);
  // Said already.
  if (!of_log_.empty() && of_log_.back().mark == mark && of_log_.back().to == message.to) return;
  of_log_.emplace_back(message.to, mark);
}

void Promises::Release(PeerId from, const LogTail& tail, Messages& out) {
  while (!of_state_.empty() && of_state_.front().write <= tail.durable_write()) {
    out.push_back(std::move(of_state_.front().message));
    of_state_.pop_front();
    if (of_state_.empty()) of_state_.clear();  // Once a term: not worth the memory meanwhile.
  }
  const std::size_t first = out.size();
  while (!of_log_.empty() && of_log_.front().mark.write <= tail.durable_write()) {
    const Acknowledgement held = of_log_.front();
    of_log_.pop_front();
    if (!tail.IsCurrent(held.mark)) continue;
    const Index match = held.mark.index;
    if (out.size() > first && out.back().to == held.to && out.back().match <= match) {
      out.back().match = match;
      continue;
    }
    Message& message = out.emplace_back();
    message.type = MessageType::kAppendReply;
    message.from = from;
    message.to = held.to;
    message.term = held.mark.term;
    message.match = match;
  }
}

void Promises::DropAll() {
  of_state_.clear();
  of_log_.clear();
}

}  // namespace rutile::raft
