#include "rpc/services/etcd_service.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "proto/etcd.pb.h"

namespace rutile::rpc {
namespace {

namespace etcd = etcdserverpb;

using placement::Placement;
using placement::State;
using View = std::shared_ptr<const State>;

constexpr std::size_t kMaxKeyBytes = 4u << 10;
constexpr std::size_t kMaxValueBytes = 1u << 20;

void FillHeader(const Placement& placement, etcd::ResponseHeader* header) {
  header->set_cluster_id(placement.cluster().value());
  header->set_member_id(placement.self().value());
  header->set_revision(1);
}

Status Unserved(const std::string& what) {
  return Status(Code::kUnimplemented, what + " is not served by placement");
}

void AddPair(const std::string& key, const std::string& value, bool keys_only,
             mvccpb::KeyValue* out) {
  out->set_key(key);
  if (!keys_only) out->set_value(value);
  out->set_create_revision(1);
  out->set_mod_revision(1);
  out->set_version(1);
}

Status CheckRange(const etcd::RangeRequest& request) {
  if (request.key().empty()) return Status(Code::kInvalidArgument, "key is not provided");
  if (request.revision() > 1 || request.min_mod_revision() > 1 ||
      request.min_create_revision() > 1 || request.max_mod_revision() < 0 ||
      request.max_create_revision() < 0) {
    return Unserved("a read by revision");
  }
  return {};
}

// The pairs of the range, in the order of the keys or the reverse.
Status Range(const State& state, const etcd::RangeRequest& request, etcd::RangeResponse* response) {
  RUTILE_RETURN_IF_ERROR(CheckRange(request));
  const auto& values = state.values;
  const std::string& end = request.range_end();
  const bool to_last = end == std::string(1, '\0');
  const auto from = values.lower_bound(request.key());
  auto to = to_last       ? values.end()
            : end.empty() ? values.upper_bound(request.key())
                          : values.lower_bound(std::max(end, request.key()));
  const auto count = std::distance(from, to);
  response->set_count(count);
  if (request.count_only()) return {};
  const bool reverse = request.sort_order() == etcd::RangeRequest::DESCEND;
  const auto limit = request.limit() > 0 ? std::min(request.limit(), count) : count;
  auto next = from;
  for (std::int64_t i = 0; i < limit; ++i) {
    const auto& [key, value] = reverse ? *--to : *next++;
    AddPair(key, value, request.keys_only(), response->add_kvs());
  }
  response->set_more(limit < count);
  return {};
}

Status CheckPut(const etcd::PutRequest& request) {
  if (request.key().empty()) return Status(Code::kInvalidArgument, "key is not provided");
  if (request.key().size() > kMaxKeyBytes || request.value().size() > kMaxValueBytes) {
    return Status(Code::kInvalidArgument,
                  "placement keeps small values only: keys up to " + std::to_string(kMaxKeyBytes) +
                      " bytes, values up to " + std::to_string(kMaxValueBytes));
  }
  if (request.lease() != 0) return Unserved("a lease");
  if (request.prev_kv() || request.ignore_value() || request.ignore_lease()) {
    return Unserved("a put that asks for the value before it");
  }
  return {};
}

// ---- Transactions

std::optional<std::string> ValueOf(const State& state, const std::string& key) {
  const auto found = state.values.find(key);
  if (found == state.values.end()) return std::nullopt;
  return found->second;
}

// What a comparison asks for: that the key has this value, or none.
struct Condition {
  std::string key = {};
  std::optional<std::string> value = {};
};

Result<Condition> ToCondition(const etcd::Compare& compare) {
  const bool equal = compare.result() == etcd::Compare::EQUAL && compare.range_end().empty();
  const bool is_zero =
      (compare.target() == etcd::Compare::VERSION && compare.version() == 0) ||
      (compare.target() == etcd::Compare::CREATE && compare.create_revision() == 0) ||
      (compare.target() == etcd::Compare::MOD && compare.mod_revision() == 0);
  if (equal && compare.target() == etcd::Compare::VALUE) {
    return Condition{.key = compare.key(), .value = compare.value()};
  }
  if (equal && is_zero) return Condition{.key = compare.key(), .value = {}};
  return Unserved("a comparison other than with a value or with there being none");
}

bool IsRead(const etcd::RequestOp& op) {
  return op.request_case() == etcd::RequestOp::kRequestRange;
}
bool OnlyReads(const google::protobuf::RepeatedPtrField<etcd::RequestOp>& ops) {
  return std::all_of(ops.begin(), ops.end(), IsRead);
}

Status RunReads(const Placement& placement, const State& state,
                const google::protobuf::RepeatedPtrField<etcd::RequestOp>& ops,
                etcd::TxnResponse* response) {
  for (const etcd::RequestOp& op : ops) {
    etcd::RangeResponse* range = response->add_responses()->mutable_response_range();
    FillHeader(placement, range->mutable_header());
    RUTILE_RETURN_IF_ERROR(Range(state, op.request_range(), range));
  }
  return {};
}

// A transaction that reads, on any conditions; all from one view.
void ReadTxn(Placement& placement, const etcd::TxnRequest& request, etcd::TxnResponse* response,
             Done done) {
  placement.CurrentView(
      [&placement, &request, response, done = std::move(done)](Result<View> view) mutable {
        if (!view.ok()) return done(view.status());
        bool holds = true;
        for (const etcd::Compare& compare : request.compare()) {
          const Result<Condition> condition = ToCondition(compare);
          if (!condition.ok()) return done(condition.status());
          holds = holds && ValueOf(*view.value(), condition.value().key) == condition.value().value;
        }
        response->set_succeeded(holds);
        done(RunReads(placement, *view.value(), holds ? request.success() : request.failure(),
                      response));
      });
}

// The only operation of `request`'s success branch as a write, if that is what it is.
Result<placement::PutValue> OnlyWrite(const etcd::TxnRequest& request) {
  if (request.success_size() != 1 || !OnlyReads(request.failure()) || request.compare_size() > 1) {
    return Unserved("a transaction with more than one write and one comparison");
  }
  const etcd::RequestOp& op = request.success(0);
  if (op.request_case() == etcd::RequestOp::kRequestPut) {
    RUTILE_RETURN_IF_ERROR(CheckPut(op.request_put()));
    return placement::PutValue{.key = op.request_put().key(), .value = op.request_put().value()};
  }
  if (op.request_case() == etcd::RequestOp::kRequestDeleteRange &&
      op.request_delete_range().range_end().empty() && !op.request_delete_range().prev_kv() &&
      request.compare_size() == 1) {
    return placement::PutValue{.key = op.request_delete_range().key(), .value = {}};
  }
  return Unserved("this operation of a transaction");
}

void AnswerWrite(const Placement& placement, const Condition* condition, bool is_put,
                 etcd::ResponseOp* out) {
  if (is_put) return FillHeader(placement, out->mutable_response_put()->mutable_header());
  FillHeader(placement, out->mutable_response_delete_range()->mutable_header());
  out->mutable_response_delete_range()->set_deleted(condition->value ? 1 : 0);
}

// The condition did not hold: what the client wants to know instead.
void AnswerFailure(Placement& placement, const etcd::TxnRequest& request,
                   etcd::TxnResponse* response, Done done) {
  placement.CurrentView(
      [&placement, &request, response, done = std::move(done)](Result<View> view) mutable {
        if (!view.ok()) return done(view.status());
        done(RunReads(placement, *view.value(), request.failure(), response));
      });
}

void WriteTxn(Placement& placement, const etcd::TxnRequest& request, etcd::TxnResponse* response,
              Done done) {
  Result<placement::PutValue> write = OnlyWrite(request);
  if (!write.ok()) return done(write.status());
  placement::PutValue put = std::move(write).value();
  std::optional<Condition> condition;
  if (request.compare_size() == 1) {
    Result<Condition> parsed = ToCondition(request.compare(0));
    if (!parsed.ok()) return done(parsed.status());
    condition = std::move(parsed).value();
    if (condition->key != put.key) {
      return done(Unserved("a transaction that compares one key and writes another"));
    }
  }
  placement::Command command = put;
  if (condition) {
    command = placement::CompareAndPutValue{
        .key = put.key, .expected = condition->value, .value = put.value};
  }
  placement.Execute(command, [&placement, &request, response, condition,
                              is_put = put.value.has_value(),
                              done = std::move(done)](Result<std::string> result) mutable {
    if (!result.ok()) return done(result.status());
    const bool held = !condition || result.value() == "1";
    response->set_succeeded(held);
    if (!held) return AnswerFailure(placement, request, response, std::move(done));
    AnswerWrite(placement, condition ? &*condition : nullptr, is_put, response->add_responses());
    done();
  });
}

void RegisterKv(Placement& placement, Methods* methods) {
  methods->Handle<etcd::RangeRequest, etcd::RangeResponse>(
      "/etcdserverpb.KV/Range",
      [&placement](const etcd::RangeRequest& request, etcd::RangeResponse* response, Done done) {
        FillHeader(placement, response->mutable_header());
        if (request.serializable()) return done(Range(*placement.View(), request, response));
        placement.CurrentView(
            [&request, response, done = std::move(done)](Result<View> view) mutable {
              if (!view.ok()) return done(view.status());
              done(Range(*view.value(), request, response));
            });
      });
  methods->Handle<etcd::PutRequest, etcd::PutResponse>(
      "/etcdserverpb.KV/Put",
      [&placement](const etcd::PutRequest& request, etcd::PutResponse* response, Done done) {
        if (Status status = CheckPut(request); !status.ok()) return done(std::move(status));
        FillHeader(placement, response->mutable_header());
        placement.Execute(placement::PutValue{.key = request.key(), .value = request.value()},
                          [done = std::move(done)](const Result<std::string>& result) mutable {
                            done(result.status());
                          });
      });
  methods->Handle<etcd::TxnRequest, etcd::TxnResponse>(
      "/etcdserverpb.KV/Txn",
      [&placement](const etcd::TxnRequest& request, etcd::TxnResponse* response, Done done) {
        FillHeader(placement, response->mutable_header());
        if (OnlyReads(request.success()) && OnlyReads(request.failure())) {
          return ReadTxn(placement, request, response, std::move(done));
        }
        WriteTxn(placement, request, response, std::move(done));
      });
}

}  // namespace

void RegisterEtcdCalls(Placement& placement, const std::string& scheme, Methods* methods) {
  RegisterKv(placement, methods);
  methods->Handle<etcd::MemberListRequest, etcd::MemberListResponse>(
      "/etcdserverpb.Cluster/MemberList",
      [&placement, scheme](const etcd::MemberListRequest&, etcd::MemberListResponse* response,
                           Done done) {
        FillHeader(placement, response->mutable_header());
        for (const placement::Member& member : placement.members()) {
          etcd::Member* out = response->add_members();
          out->set_id(member.store.value());
          out->set_name(member.name);
          out->add_peerurls(scheme + "://" + member.address);
          out->add_clienturls(scheme + "://" + member.address);
        }
        done();
      });
}

}  // namespace rutile::rpc
