#include <utility>

#include "bench/load/pending.h"
#include "bench/load/target.h"
#include "proto/etcd.pb.h"

namespace rutile::bench {
namespace {

constexpr Duration kBackoff = Milliseconds(10);

class EtcdTarget final : public Target {
 public:
  EtcdTarget(const TargetOptions& options, H2Client& client) : options_(options), client_(client) {
    for (const std::string& endpoint : options.endpoints) members_.push_back(&client.To(endpoint));
  }

  Status Connect() override {
    bool done = false;
    Status result;
    Start(Op{.kind = OpKind::kGet, .key = "connect"}, [&](const Status& status, bool) {
      done = true;
      result = status;
    });
    while (!done) client_.Poll(Seconds(1));
    return result;
  }

  void Start(const Op& op, OpDone done) override {
    Send(pending_.Take(op, std::move(done), client_.Now() + options_.op_timeout));
  }

  std::uint64_t retries() const override { return retries_; }

 private:
  void Send(PendingOp* op) {
    op->sent_to = member_;
    const auto answered = [this, op](const Status& status, std::string_view bytes) {
      OnAnswer(op, status, bytes);
    };
    if (op->kind == OpKind::kPut) {
      put_.set_key(op->key);
      put_.set_value(op->value);
      put_.SerializeToString(&buffer_);
      members_[member_]->Call("/etcdserverpb.KV/Put", buffer_, answered);
      return;
    }
    range_.set_key(op->key);
    if (op->kind == OpKind::kScan) {
      range_.set_range_end(std::string(1, '\0'));
      range_.set_limit(op->limit);
    } else {
      range_.clear_range_end();
      range_.clear_limit();
    }
    range_.SerializeToString(&buffer_);
    members_[member_]->Call("/etcdserverpb.KV/Range", buffer_, answered);
  }

  void OnAnswer(PendingOp* op, const Status& status, std::string_view bytes) {
    if (!status.ok()) return Retry(op, status);
    if (op->kind == OpKind::kPut) return pending_.Finish(op, {}, true);
    if (!found_.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return pending_.Finish(op, Status(Code::kCorruption, "the answer cannot be read"), false);
    }
    pending_.Finish(op, {}, found_.kvs_size() > 0);
  }

  void Retry(PendingOp* op, const Status& why) {
    const bool elsewhere =
        why.code() == Code::kUnavailable || why.code() == Code::kDeadlineExceeded;
    if (!elsewhere || client_.Now() >= op->deadline) return pending_.Finish(op, why, false);
    ++retries_;
    // Many operations fail at once: the first one moves on.
    if (op->sent_to == member_) member_ = (member_ + 1) % members_.size();
    client_.RunAfter(kBackoff, [this, op] { Send(op); });
  }

  const TargetOptions options_;
  H2Client& client_;
  std::vector<H2Peer*> members_;
  std::size_t member_ = 0;
  PendingOps pending_;
  std::uint64_t retries_ = 0;
  etcdserverpb::PutRequest put_;
  etcdserverpb::RangeRequest range_;
  etcdserverpb::RangeResponse found_;
  std::string buffer_;
};

}  // namespace

std::unique_ptr<Target> NewEtcdTarget(const TargetOptions& options, H2Client& client) {
  return std::make_unique<EtcdTarget>(options, client);
}

Result<std::unique_ptr<Target>> NewTarget(const TargetOptions& options, H2Client& client) {
  if (options.endpoints.empty()) return Status(Code::kInvalidArgument, "no endpoint is given");
  if (options.batch == 0)
    return Status(Code::kInvalidArgument, "a message holds a request or more");
  if (options.kind == TargetKind::kEtcd) return NewEtcdTarget(options, client);
  return NewRawTarget(options, client);
}

}  // namespace rutile::bench
