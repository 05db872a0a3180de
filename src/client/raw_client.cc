#include "client/raw_client.h"

#include <algorithm>
#include <utility>

#include "client/key_form.h"
#include "client/operation.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

Status Invalid(const std::string& text) { return Status(Code::kInvalidArgument, text); }

}  // namespace

// Keeps what operations share, and knows each kind of them.
class RawClient::Core : public Operations {
 public:
  Core(const RawClientOptions& options, Connect connect, const Clock& clock, Executor& executor)
      : Operations(options, std::move(connect), clock, executor),
        form_(options.api, codec::KeyMode::kRaw, options.keyspace) {}

  const KeyForm& form() const { return form_; }

  // A scan that crosses regions goes on in the next one until it has enough.
  struct ScanState {
    std::string from;  // Both in the form that is sent.
    std::string end;
    ScanOptions options;
    std::vector<Pair> found;
    Done<std::vector<Pair>> done;
  };
  void ScanNext(const std::shared_ptr<ScanState>& state);
  void PutNext(const std::shared_ptr<std::vector<Pair>>& rest, StatusDone done);
  void DeleteRangeNext(const std::string& from, const std::string& end, StatusDone done);

 private:
  // Where what goes through a range goes on behind the region, up to `end`, or down to it; empty:
  // it is through.
  Result<std::string> NextOf(const Route& route, const std::string& end, bool reverse) const;

  const KeyForm form_;
};

RawClient::RawClient(const RawClientOptions& options, Connect connect, const Clock& clock,
                     Executor& executor)
    : core_(std::make_shared<Core>(options, std::move(connect), clock, executor)) {}

RawClient::~RawClient() = default;

void RawClient::Close(std::function<void()> done) {
  core_->SetOnEnd(std::move(done));
  core_ = nullptr;
}

void RawClient::Get(std::string key, Done<std::optional<std::string>> done) {
  key = core_->form().ToSent(key);
  kvrpcpb::RawGetRequest request;
  request.set_key(key);
  core_->Run<kvrpcpb::RawGetResponse>(
      {.method = "/tikvpb.Tikv/RawGet", .key = core_->form().ToPlace(key)}, std::move(request),
      [done = std::move(done)](Result<kvrpcpb::RawGetResponse> reply, const Route&) {
        if (!reply.ok()) return done(reply.status());
        kvrpcpb::RawGetResponse& response = reply.value();
        if (!response.error().empty()) return done(Invalid(response.error()));
        if (response.not_found()) return done(std::optional<std::string>());
        done(std::optional(std::move(*response.mutable_value())));
      });
}

void RawClient::Put(std::string key, std::string value, std::uint64_t ttl_seconds,
                    StatusDone done) {
  key = core_->form().ToSent(key);
  kvrpcpb::RawPutRequest request;
  request.set_key(key);
  request.set_value(std::move(value));
  request.set_ttl(ttl_seconds);
  core_->Run<kvrpcpb::RawPutResponse>(
      {.method = "/tikvpb.Tikv/RawPut",
       .key = core_->form().ToPlace(key),
       .effect = Where::Effect::kWrite},
      std::move(request),
      [done = std::move(done)](const Result<kvrpcpb::RawPutResponse>& reply, const Route&) {
        if (!reply.ok()) return done(reply.status());
        done(reply.value().error().empty() ? Status() : Invalid(reply.value().error()));
      });
}

void RawClient::BatchPut(std::vector<Pair> pairs, StatusDone done) {
  for (Pair& pair : pairs) pair.first = core_->form().ToSent(pair.first);
  // Backwards, so that the next pair to write is at the end.
  std::sort(pairs.begin(), pairs.end(), std::greater<>());
  core_->PutNext(std::make_shared<std::vector<Pair>>(std::move(pairs)), std::move(done));
}

void RawClient::Core::PutNext(const std::shared_ptr<std::vector<Pair>>& rest, StatusDone done) {
  if (rest->empty()) return done(Status());
  // The part of the pairs that lies in the region of the first is known once the route is, so the
  // request is completed by the attempt.
  auto sent = std::make_shared<std::size_t>(0);
  const auto fill = [this, rest, sent](const Route& route, kvrpcpb::RawBatchPutRequest* request) {
    request->clear_pairs();
    *sent = 0;
    for (auto it = rest->rbegin(); it != rest->rend(); ++it) {
      if (!route.Contains(form_.ToPlace(it->first))) break;
      auto* pair = request->add_pairs();
      pair->set_key(it->first);
      pair->set_value(it->second);
      ++*sent;
    }
  };
  std::string key = form_.ToPlace(rest->back().first);
  Run<kvrpcpb::RawBatchPutResponse>(
      {.method = "/tikvpb.Tikv/RawBatchPut",
       .key = std::move(key),
       .effect = Where::Effect::kWrite},
      kvrpcpb::RawBatchPutRequest(), fill,
      [this, rest, sent, done = std::move(done)](const Result<kvrpcpb::RawBatchPutResponse>& reply,
                                                 const Route&) {
        if (!reply.ok()) return done(reply.status());
        if (!reply.value().error().empty()) return done(Invalid(reply.value().error()));
        rest->resize(rest->size() - *sent);
        PutNext(rest, done);
      });
}

void RawClient::Delete(std::string key, StatusDone done) {
  key = core_->form().ToSent(key);
  kvrpcpb::RawDeleteRequest request;
  request.set_key(key);
  core_->Run<kvrpcpb::RawDeleteResponse>(
      {.method = "/tikvpb.Tikv/RawDelete",
       .key = core_->form().ToPlace(key),
       .effect = Where::Effect::kWrite},
      std::move(request),
      [done = std::move(done)](const Result<kvrpcpb::RawDeleteResponse>& reply, const Route&) {
        if (!reply.ok()) return done(reply.status());
        done(reply.value().error().empty() ? Status() : Invalid(reply.value().error()));
      });
}

void RawClient::DeleteRange(const std::string& start, const std::string& end, StatusDone done) {
  core_->DeleteRangeNext(core_->form().ToSent(start), core_->form().ToSentEnd(end),
                         std::move(done));
}

void RawClient::Core::DeleteRangeNext(const std::string& from, const std::string& end,
                                      StatusDone done) {
  const auto fill = [this, from, end](const Route& route, kvrpcpb::RawDeleteRangeRequest* request) {
    request->set_start_key(from);
    // A border that makes no sense is met again below.
    const Result<std::string> next = NextOf(route, end, /*reverse=*/false);
    request->set_end_key(next.ok() && !next.value().empty() ? next.value() : end);
  };
  Run<kvrpcpb::RawDeleteRangeResponse>(
      {.method = "/tikvpb.Tikv/RawDeleteRange",
       .key = form_.ToPlace(from),
       .effect = Where::Effect::kWrite},
      kvrpcpb::RawDeleteRangeRequest(), fill,
      [this, end, done = std::move(done)](const Result<kvrpcpb::RawDeleteRangeResponse>& reply,
                                          const Route& route) {
        if (!reply.ok()) return done(reply.status());
        if (!reply.value().error().empty()) return done(Invalid(reply.value().error()));
        const Result<std::string> next = NextOf(route, end, /*reverse=*/false);
        if (!next.ok()) return done(next.status());
        if (next.value().empty()) return done(Status());
        DeleteRangeNext(next.value(), end, done);
      });
}

void RawClient::Scan(const std::string& start, const std::string& end, ScanOptions options,
                     Done<std::vector<Pair>> done) {
  const std::string& low = options.reverse ? end : start;
  const std::string& high = options.reverse ? start : end;
  if (!high.empty() && low >= high) {
    return done(Invalid(options.reverse
                            ? "the range is empty: a reverse scan goes from a higher start down"
                            : "the range is empty: its start is not below its end"));
  }
  auto state = std::make_shared<Core::ScanState>();
  const KeyForm& form = core_->form();
  state->from = options.reverse ? form.ToSentEnd(start) : form.ToSent(start);
  state->end = options.reverse ? form.ToSent(end) : form.ToSentEnd(end);
  state->options = options;
  state->done = std::move(done);
  core_->ScanNext(state);
}

void RawClient::Core::ScanNext(const std::shared_ptr<ScanState>& state) {
  const auto left = static_cast<std::uint32_t>(state->options.limit - state->found.size());
  if (left == 0) return state->done(std::move(state->found));
  kvrpcpb::RawScanRequest request;
  request.set_start_key(state->from);
  request.set_end_key(state->end);
  request.set_limit(left);
  request.set_key_only(state->options.key_only);
  request.set_reverse(state->options.reverse);
  const Where where{.method = "/tikvpb.Tikv/RawScan",
                    .key = state->from.empty() ? std::string() : form_.ToPlace(state->from),
                    .below = state->options.reverse};
  Run<kvrpcpb::RawScanResponse>(
      where, std::move(request),
      [this, state](Result<kvrpcpb::RawScanResponse> reply, const Route& route) {
        if (!reply.ok()) return state->done(reply.status());
        for (auto& pair : *reply.value().mutable_kvs()) {
          if (pair.has_error()) return state->done(Invalid(pair.error().abort()));
          if (!form_.IsOurs(pair.key())) {
            return state->done(
                Status(Code::kInternal, "a scan returned a key of another keyspace"));
          }
          state->found.emplace_back(form_.ToUser(pair.key()), std::move(*pair.mutable_value()));
        }
        Result<std::string> next = NextOf(route, state->end, state->options.reverse);
        if (!next.ok()) return state->done(next.status());
        if (next.value().empty()) return state->done(std::move(state->found));
        state->from = std::move(next).value();
        ScanNext(state);
      });
}

Result<std::string> RawClient::Core::NextOf(const Route& route, const std::string& end,
                                            bool reverse) const {
  RUTILE_ASSIGN_OR_RETURN(std::string border,
                          form_.FromBorder(reverse ? route.start_key : route.end_key));
  const bool is_past_end = !end.empty() && (reverse ? border <= end : border >= end);
  return is_past_end ? std::string() : border;
}

void RawClient::CompareAndSwap(std::string key, std::optional<std::string> expected,
                               std::string value, Done<Swapped> done) {
  key = core_->form().ToSent(key);
  kvrpcpb::RawCASRequest request;
  request.set_key(key);
  request.set_value(std::move(value));
  request.set_previous_not_exist(!expected);
  if (expected) request.set_previous_value(std::move(*expected));
  core_->Run<kvrpcpb::RawCASResponse>(
      {.method = "/tikvpb.Tikv/RawCompareAndSwap",
       .key = core_->form().ToPlace(key),
       .effect = Where::Effect::kAtMostOnce},
      std::move(request),
      [done = std::move(done)](Result<kvrpcpb::RawCASResponse> reply, const Route&) {
        if (!reply.ok()) return done(reply.status());
        kvrpcpb::RawCASResponse& response = reply.value();
        if (!response.error().empty()) return done(Invalid(response.error()));
        Swapped swapped{.swapped = response.succeed()};
        if (!response.previous_not_exist()) {
          swapped.previous = std::move(*response.mutable_previous_value());
        }
        done(std::move(swapped));
      });
}

}  // namespace rutile::client
