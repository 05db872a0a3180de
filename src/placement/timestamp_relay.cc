#include "placement/timestamp_relay.h"

#include <utility>

#include "codec/integers.h"

namespace rutile::placement {
namespace {

constexpr std::uint8_t kFormat = 1;
enum class MessageKind : std::uint8_t { kRequest = 1, kTimestamp = 2, kRefusal = 3 };

// `timestamp` is zero unless it is one.
std::string EncodeMessage(MessageKind kind, std::uint64_t id, Timestamp timestamp = {}) {
  std::string out;
  codec::PutFixed8(&out, kFormat);
  codec::PutFixed8(&out, static_cast<std::uint8_t>(kind));
  codec::PutVarint(&out, id);
  codec::PutVarint(&out, timestamp.physical_ms);
  codec::PutVarint(&out, timestamp.logical);
  return out;
}

Status Unavailable(const char* why) {
  return Status(Code::kUnavailable, std::string("no timestamp from placement: ") + why);
}

}  // namespace

void TimestampRelay::Get(Done done) {
  const std::optional<StoreId> leader = parts_.leader();
  if (!leader) return done(Unavailable("it has no leader at the moment"));
  if (*leader == parts_.self) return parts_.grant(std::move(done));
  Ask(*leader, std::move(done));
}

void TimestampRelay::Ask(StoreId leader, Done done) {
  std::uint64_t id = 0;
  {
    MutexLock lock(mutex_);
    id = next_id_++;
    waiting_.emplace(id, std::move(done));
  }
  parts_.executor.PostAfter(kPatience,
                            [this, id] { Answer(id, Unavailable("its leader is silent")); });
  parts_.send(leader, EncodeMessage(MessageKind::kRequest, id));
}

void TimestampRelay::Answer(std::uint64_t id, Result<Timestamp> timestamp) {
  Done done;
  {
    MutexLock lock(mutex_);
    const auto found = waiting_.find(id);
    if (found == waiting_.end()) return;
    done = std::move(found->second);
    waiting_.erase(found);
  }
  done(std::move(timestamp));
}

void TimestampRelay::OnDatagram(StoreId from, std::string_view payload) {
  codec::Reader reader(payload);
  const std::uint8_t format = reader.Fixed8();
  const auto kind = static_cast<MessageKind>(reader.Fixed8());
  const std::uint64_t id = reader.Varint();
  const std::uint64_t physical_ms = reader.Varint(), logical = reader.Varint();
  if (format != kFormat || !reader.Done()) return;  // From a version of another time.
  switch (kind) {
    case MessageKind::kRequest:
      // Not passed on: who asks knows a leader that knows better, or will soon.
      return parts_.grant([this, from, id](const Result<Timestamp>& timestamp) {
        parts_.send(from, timestamp.ok()
                              ? EncodeMessage(MessageKind::kTimestamp, id, timestamp.value())
                              : EncodeMessage(MessageKind::kRefusal, id));
      });
    case MessageKind::kTimestamp: return Answer(id, Timestamp{physical_ms, logical});
    case MessageKind::kRefusal: return Answer(id, Unavailable("whoever was asked does not lead"));
  }
}

}  // namespace rutile::placement
