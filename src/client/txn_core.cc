#include "client/txn_core.h"

#include <algorithm>
#include <optional>

#include "base/probe.h"
#include "codec/memcomparable.h"
#include "proto/pdpb.pb.h"

namespace rutile::client {
namespace {

RawClientOptions ToRawOptions(const TxnClientOptions& options) {
  // Every write of a transaction may be repeated: the records say what was done before.
  return {.endpoints = options.endpoints,
          .timeout = options.timeout,
          .attempt_timeout = options.attempt_timeout,
          .backoff_min = options.backoff_min,
          .backoff_max = options.backoff_max,
          .repeat_writes = true,
          .follower_reads = options.follower_reads,
          .api = options.api};
}

Timestamp ToTimestamp(const pdpb::Timestamp& timestamp) {
  return Timestamp((static_cast<std::uint64_t>(timestamp.physical()) << kTimestampCountBits) +
                   static_cast<std::uint64_t>(timestamp.logical()));
}

}  // namespace

TxnCore::TxnCore(const TxnClientOptions& options, Connect connect, const Clock& clock,
                 Random& random, Executor& executor)
    : Operations(ToRawOptions(options), std::move(connect), clock, executor),
      txn_options_(options),
      form_(options.api, codec::KeyMode::kTransactional, options.keyspace),
      random_(random) {}

void TxnCore::GetTimestamp(Instant deadline, std::function<void(Result<Timestamp>)> done) {
  AskPlacement<pdpb::GetMinTSResponse>(
      "GetMinTS", "a timestamp", pdpb::GetMinTSRequest(), deadline,
      [done = std::move(done)](const Result<pdpb::GetMinTSResponse>& response) {
        if (!response.ok()) return done(response.status());
        done(ToTimestamp(response.value().timestamp()));
      });
}

void TxnCore::CheckIsKept(Timestamp start, Instant deadline, std::function<void(Status)> done) {
  AskPlacement<pdpb::GetGCSafePointResponse>(
      "GetGCSafePoint", "the safe point", pdpb::GetGCSafePointRequest(), deadline,
      [start, done = std::move(done)](const Result<pdpb::GetGCSafePointResponse>& response) {
        if (!response.ok()) return done(response.status());
        if (response.value().safe_point() <= start.value()) return done({});
        RUTILE_SOMETIMES(true, "client: what became of a transaction is not kept");
        done(Status(Code::kFailedPrecondition,
                    "it took so long that what became of the transaction need not be kept"));
      });
}

void TxnCore::Ask(const std::shared_ptr<Question>& question) {
  const auto too_late = [question] {
    std::string text = "placement did not give " + question->what + " in time";
    if (!question->last_error.ok()) text += ": " + question->last_error.ToString();
    question->fail(Status(Code::kUnavailable, std::move(text)));
  };
  const Duration left = question->deadline - Now();
  if (left <= Duration()) return too_late();
  // A member that does not lead says so at once.
  const auto on_answer = [self = Self(), question, too_late](Status status,
                                                             const std::string& bytes) {
    if (status.ok() && question->take(bytes)) return;
    question->last_error =
        status.ok() ? Status(Code::kUnavailable, "the answer says nothing") : std::move(status);
    const std::size_t endpoints = self->txn_options_.endpoints.size();
    self->endpoint_ = (self->endpoint_ + 1) % endpoints;
    if (++question->tried % endpoints != 0) return self->Ask(question);
    self->Pause(
        &question->backoff, question->deadline, [self, question] { self->Ask(question); },
        too_late);
  };
  connections()
      .To(txn_options_.endpoints[endpoint_])
      .Call("/pdpb.PD/" + question->method, question->request,
            std::min(left, txn_options_.attempt_timeout),
            [self = Self(), on_answer](Status status, std::string bytes) {
              self->executor().Post(
                  [on_answer, status = std::move(status), bytes = std::move(bytes)]() mutable {
                    on_answer(std::move(status), bytes);
                  });
            });
}

void TxnCore::Pause(Backoff* backoff, Instant deadline, const std::function<void()>& then,
                    const std::function<void()>& too_late) {
  backoff->next = std::clamp(2 * backoff->next, txn_options_.backoff_min, txn_options_.backoff_max);
  // Not all who wait for the same come back at the same time.
  const auto half = static_cast<std::uint64_t>(backoff->next.count()) / 2;
  const Duration pause(static_cast<Duration::rep>(half + random_.Below(half + 1)));
  if (Now() + pause >= deadline) return too_late();
  executor().PostAfter(pause, [self = Self(), then] { then(); });
}

namespace {

// The key at a border of a region; nothing: it has none there.
Result<std::optional<std::string>> KeyAt(const Route& route, std::string_view border) {
  if (border.empty()) return std::optional<std::string>();
  std::optional<std::string> key = codec::TakeMemcomparable(&border);
  if (key) return key;
  return Status(Code::kInternal, "region " + ToString(route.region) +
                                     " has a border where no transaction can have a key");
}

}  // namespace

Result<std::optional<std::string>> TxnCore::KeyBehind(const Route& route) {
  return KeyAt(route, route.end_key);
}

Result<std::optional<std::string>> TxnCore::FirstKey(const Route& route) {
  return KeyAt(route, route.start_key);
}

Where TxnCore::WhereOf(const Call& call, const std::string& key) const {
  return {.method = "/tikvpb.Tikv/" + call.method,
          // Below an empty key: below the end of all.
          .key = call.below && key.empty() ? std::string() : codec::EncodeMemcomparable(key),
          .below = call.below,
          .effect = call.effect,
          .deadline = call.deadline,
          .is_late = call.is_late};
}

bool TxnCore::Holds(const Route& route, const std::string& key) {
  return route.Contains(codec::EncodeMemcomparable(key));
}

std::vector<std::vector<std::string>> TxnCore::Group(const Call& call,
                                                     std::vector<std::string> keys) const {
  std::vector<std::vector<std::string>> groups;
  std::optional<Route> route;  // Of the last group, if it is known.
  std::size_t bytes = 0;
  for (std::string& key : keys) {
    const std::string encoded = codec::EncodeMemcomparable(key);
    const bool is_same = route && route->Contains(encoded);
    std::optional<Route> own = is_same ? route : routes().Find(encoded);
    const std::size_t more = call.bytes ? call.bytes(key) : 0;
    const bool is_full =
        !groups.empty() && (groups.back().size() == txn_options_.batch_keys ||
                            (bytes > 0 && bytes + more > txn_options_.batch_bytes));
    // Keys of unknown regions go together: those that prove to be elsewhere are left over.
    if (groups.empty() || is_full || own.has_value() != route.has_value() || (own && !is_same)) {
      groups.emplace_back();
      bytes = 0;
    }
    route = std::move(own);
    bytes += more;
    groups.back().push_back(std::move(key));
  }
  return groups;
}

}  // namespace rutile::client
