#include "rpc/services/raw_service.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "rpc/services/convert.h"

namespace rutile::rpc {
namespace {

using store::RawReply;

// Where a response keeps an error that is not about the region: most have a text, those with pairs
// only a pair with an error in it.
template <class Response>
concept HasErrorText = requires(Response r) { r.set_error(std::string()); };

template <class Response>
void SetError(const std::string& text, Response* response) {
  if constexpr (HasErrorText<Response>) {
    response->set_error(text);
  } else if constexpr (requires { response->add_pairs(); }) {
    response->add_pairs()->mutable_error()->set_abort(text);
  } else {
    response->add_kvs()->mutable_error()->set_abort(text);
  }
}

// Refuses what is not served here. Returns whether it did.
template <class Request, class Response>
bool Refused(const Request& request, const Served& served, Response* response,
             RawService::Finished& done) {
  std::optional<std::string> why = Unserved(request, served, codec::KeyMode::kRaw);
  if constexpr (requires { request.cf(); }) {
    if (const std::string& family = request.cf(); !why && !family.empty() && family != "default") {
      why = "column family '" + family + "' does not hold raw data; use default";
    }
  }
  if (!why) return false;
  SetError(*why, response);
  done();
  return true;
}

// Turns a reply into a response: errors here, the value by `fill`.
template <class T, class Response, class Fill>
store::RawDone<T> AnswerRaw(Response* response, RawService::Finished done, Fill fill) {
  return [response, done = std::move(done), fill = std::move(fill)](RawReply<T> reply) mutable {
    if (auto* error = std::get_if<store::RegionError>(&reply)) {
      ToProto(*error, response->mutable_region_error());
    } else if (const auto* status = std::get_if<Status>(&reply)) {
      SetError(std::string(status->message()), response);
    } else {
      fill(std::get<T>(std::move(reply)), response);
    }
    done();
  };
}

template <class Response>
store::RawDone<store::Done> AnswerDone(Response* response, RawService::Finished done) {
  return AnswerRaw<store::Done>(response, std::move(done), [](store::Done, Response*) {});
}

template <class Pairs>
void FillPairs(std::vector<store::KeyValue> found, Pairs* pairs) {
  pairs->Reserve(static_cast<int>(found.size()));
  for (store::KeyValue& pair : found) {
    auto* out = pairs->Add();
    out->set_key(std::move(pair.key));
    out->set_value(std::move(pair.value));
  }
}

// The field is deprecated for clients, not for servers: old ones still set it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
std::uint64_t CommonTtl(const kvrpcpb::RawBatchPutRequest& request) { return request.ttl(); }
#pragma GCC diagnostic pop

}  // namespace

void RawService::Get(const kvrpcpb::RawGetRequest& request, kvrpcpb::RawGetResponse* response,
                     Finished done) {
  if (Refused(request, served_, response, done)) return;
  raw_.Get(ToHeader(request.context()), request.key(),
           AnswerRaw<std::optional<std::string>>(
               response, std::move(done),
               [](std::optional<std::string> value, kvrpcpb::RawGetResponse* out) {
                 if (value) {
                   out->set_value(std::move(*value));
                 } else {
                   out->set_not_found(true);
                 }
               }));
}

void RawService::BatchGet(const kvrpcpb::RawBatchGetRequest& request,
                          kvrpcpb::RawBatchGetResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  raw_.BatchGet(ToHeader(request.context()), ToVector(request.keys()),
                AnswerRaw<std::vector<store::KeyValue>>(
                    response, std::move(done),
                    [](std::vector<store::KeyValue> found, kvrpcpb::RawBatchGetResponse* out) {
                      FillPairs(std::move(found), out->mutable_pairs());
                    }));
}

void RawService::Put(const kvrpcpb::RawPutRequest& request, kvrpcpb::RawPutResponse* response,
                     Finished done) {
  if (Refused(request, served_, response, done)) return;
  std::vector<store::RawPair> pairs;
  pairs.push_back({request.key(), request.value(), request.ttl()});
  raw_.Put(ToHeader(request.context()), std::move(pairs), AnswerDone(response, std::move(done)));
}

void RawService::BatchPut(const kvrpcpb::RawBatchPutRequest& request,
                          kvrpcpb::RawBatchPutResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  // One ttl for each pair, one for all, or none; `ttl` is how older clients say one for all.
  const int count = request.pairs_size();
  if (const int ttls = request.ttls_size(); ttls > 1 && ttls != count) {
    SetError(std::to_string(ttls) + " ttls for " + std::to_string(count) +
                 " pairs; give one for each, one for all, or none",
             response);
    return done();
  }
  std::vector<store::RawPair> pairs;
  pairs.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    const std::uint64_t ttl = request.ttls_size() == 0
                                  ? CommonTtl(request)
                                  : request.ttls(request.ttls_size() == 1 ? 0 : i);
    pairs.push_back({request.pairs(i).key(), request.pairs(i).value(), ttl});
  }
  raw_.Put(ToHeader(request.context()), std::move(pairs), AnswerDone(response, std::move(done)));
}

void RawService::Delete(const kvrpcpb::RawDeleteRequest& request,
                        kvrpcpb::RawDeleteResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  raw_.Delete(ToHeader(request.context()), {request.key()}, AnswerDone(response, std::move(done)));
}

void RawService::BatchDelete(const kvrpcpb::RawBatchDeleteRequest& request,
                             kvrpcpb::RawBatchDeleteResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  raw_.Delete(ToHeader(request.context()), ToVector(request.keys()),
              AnswerDone(response, std::move(done)));
}

void RawService::DeleteRange(const kvrpcpb::RawDeleteRangeRequest& request,
                             kvrpcpb::RawDeleteRangeResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  raw_.DeleteRange(ToHeader(request.context()), request.start_key(), request.end_key(),
                   AnswerDone(response, std::move(done)));
}

void RawService::Scan(const kvrpcpb::RawScanRequest& request, kvrpcpb::RawScanResponse* response,
                      Finished done) {
  if (Refused(request, served_, response, done)) return;
  raw_.Scan(
      ToHeader(request.context()), {{request.start_key(), request.end_key()}},
      {.limit = request.limit(), .key_only = request.key_only(), .reverse = request.reverse()},
      AnswerRaw<std::vector<store::KeyValue>>(
          response, std::move(done),
          [](std::vector<store::KeyValue> found, kvrpcpb::RawScanResponse* out) {
            FillPairs(std::move(found), out->mutable_kvs());
          }));
}

void RawService::BatchScan(const kvrpcpb::RawBatchScanRequest& request,
                           kvrpcpb::RawBatchScanResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  std::vector<store::RawRange> ranges;
  for (const kvrpcpb::KeyRange& range : request.ranges()) {
    ranges.push_back({range.start_key(), range.end_key()});
  }
  raw_.Scan(
      ToHeader(request.context()), std::move(ranges),
      {.limit = request.each_limit(), .key_only = request.key_only(), .reverse = request.reverse()},
      AnswerRaw<std::vector<store::KeyValue>>(
          response, std::move(done),
          [](std::vector<store::KeyValue> found, kvrpcpb::RawBatchScanResponse* out) {
            FillPairs(std::move(found), out->mutable_kvs());
          }));
}

void RawService::GetKeyTtl(const kvrpcpb::RawGetKeyTTLRequest& request,
                           kvrpcpb::RawGetKeyTTLResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  raw_.GetTtl(
      ToHeader(request.context()), request.key(),
      AnswerRaw<store::RawTtl>(response, std::move(done),
                               [](const store::RawTtl& ttl, kvrpcpb::RawGetKeyTTLResponse* out) {
                                 out->set_not_found(!ttl.found);
                                 out->set_ttl(ttl.seconds);
                               }));
}

void RawService::CompareAndSwap(const kvrpcpb::RawCASRequest& request,
                                kvrpcpb::RawCASResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  store::RawCompareAndSwap swap{.key = request.key(),
                                .expected = {},
                                .value = request.value(),
                                .ttl_seconds = request.ttl(),
                                .delete_key = request.delete_()};
  if (!request.previous_not_exist()) swap.expected = request.previous_value();
  raw_.CompareAndSwap(
      ToHeader(request.context()), std::move(swap),
      AnswerRaw<store::CommandResult>(
          response, std::move(done), [](store::CommandResult result, kvrpcpb::RawCASResponse* out) {
            out->set_succeed(result.swapped);
            out->set_previous_not_exist(!result.previous);
            if (result.previous) out->set_previous_value(std::move(*result.previous));
          }));
}

void RawService::Checksum(const kvrpcpb::RawChecksumRequest& request,
                          kvrpcpb::RawChecksumResponse* response, Finished done) {
  if (Refused(request, served_, response, done)) return;
  std::vector<store::RawRange> ranges;
  for (const kvrpcpb::KeyRange& range : request.ranges()) {
    ranges.push_back({range.start_key(), range.end_key()});
  }
  raw_.Checksum(ToHeader(request.context()), std::move(ranges),
                AnswerRaw<store::RawChecksum>(
                    response, std::move(done),
                    [](const store::RawChecksum& sum, kvrpcpb::RawChecksumResponse* out) {
                      out->set_checksum(sum.crc64_xor);
                      out->set_total_kvs(sum.pairs);
                      out->set_total_bytes(sum.bytes);
                    }));
}

void RawService::Coprocessor(const kvrpcpb::RawCoprocessorRequest& request,
                             kvrpcpb::RawCoprocessorResponse* response, Finished done) {
  response->set_error("coprocessor '" + request.copr_name() +
                      "' is not supported: this store runs no code of its clients");
  done();
}

void RawService::Register(Methods* methods) {
  const auto add = [this, methods](const char* name, auto call) {
    methods->HandleMember(std::string("/tikvpb.Tikv/") + name, this, call);
  };
  add("RawGet", &RawService::Get);
  add("RawBatchGet", &RawService::BatchGet);
  add("RawPut", &RawService::Put);
  add("RawBatchPut", &RawService::BatchPut);
  add("RawDelete", &RawService::Delete);
  add("RawBatchDelete", &RawService::BatchDelete);
  add("RawDeleteRange", &RawService::DeleteRange);
  add("RawScan", &RawService::Scan);
  add("RawBatchScan", &RawService::BatchScan);
  add("RawGetKeyTTL", &RawService::GetKeyTtl);
  add("RawCompareAndSwap", &RawService::CompareAndSwap);
  add("RawChecksum", &RawService::Checksum);
  add("RawCoprocessor", &RawService::Coprocessor);
}

}  // namespace rutile::rpc
