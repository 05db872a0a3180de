#include "rpc/services/batch_service.h"

#include <memory>
#include <utility>

#include "base/mutex.h"
#include "proto/tikvpb.pb.h"

namespace rutile::rpc {
namespace {

using tikvpb::BatchCommandsRequest;
using tikvpb::BatchCommandsResponse;
using BatchAnswer = BatchCommandsResponse::Response;

// Gathers answers while a message is on its way, so that the busier a stream is the fuller its
// messages are. Shared with the requests under way, which may outlive the stream.
class Outbox {
 public:
  explicit Outbox(std::shared_ptr<StreamSender> sender) : sender_(std::move(sender)) {}

  void Add(std::uint64_t id, std::unique_ptr<BatchAnswer> answer) {
    MutexLock lock(mutex_);
    gathered_.mutable_responses()->AddAllocated(answer.release());
    gathered_.add_request_ids(id);
    if (!sending_ && held_ == 0) SendLocked();
  }
  // While a message is taken apart, its answers wait for each other.
  void Hold() {
    MutexLock lock(mutex_);
    ++held_;
  }
  void Release() {
    MutexLock lock(mutex_);
    if (--held_ == 0 && !sending_ && gathered_.responses_size() > 0) SendLocked();
  }
  void OnDrained() {
    MutexLock lock(mutex_);
    sending_ = false;
    if (held_ == 0 && gathered_.responses_size() > 0) SendLocked();
  }
  // The client has no more requests: the stream ends when the last answer is on its way.
  void OnHalfClosed() {
    MutexLock lock(mutex_);
    half_closed_ = true;
    FinishIfDone();
  }
  void Begin() {
    MutexLock lock(mutex_);
    ++under_way_;
  }
  void End() {
    MutexLock lock(mutex_);
    --under_way_;
    FinishIfDone();
  }

 private:
  void SendLocked() REQUIRES(mutex_) {
    sending_ = true;
    sender_->Send(gathered_);
    gathered_.Clear();
  }
  void FinishIfDone() REQUIRES(mutex_) {
    if (!half_closed_ || under_way_ > 0) return;
    if (gathered_.responses_size() > 0) SendLocked();
    sender_->Finish(Status());
  }

  const std::shared_ptr<StreamSender> sender_;
  Mutex mutex_;
  BatchCommandsResponse gathered_ GUARDED_BY(mutex_);
  int held_ GUARDED_BY(mutex_) = 0;
  int under_way_ GUARDED_BY(mutex_) = 0;
  bool sending_ GUARDED_BY(mutex_) = false;
  bool half_closed_ GUARDED_BY(mutex_) = false;
};

class BatchStream final : public TypedStreamHandler<BatchCommandsRequest> {
 public:
  BatchStream(RawService& raw, TxnService& txn, std::shared_ptr<StreamSender> sender)
      : raw_(raw),
        txn_(txn),
        outbox_(std::make_shared<Outbox>(sender)),
        sender_(std::move(sender)) {}

  void OnTyped(const BatchCommandsRequest& batch) override {
    if (batch.requests_size() != batch.request_ids_size()) {
      sender_->Finish(
          Status(Code::kInvalidArgument, "BatchCommands: " + std::to_string(batch.requests_size()) +
                                             " requests with " +
                                             std::to_string(batch.request_ids_size()) + " ids"));
      return;
    }
    outbox_->Hold();
    for (int i = 0; i < batch.requests_size(); ++i) {
      Dispatch(batch.requests(i), batch.request_ids(i));
    }
    outbox_->Release();
  }
  void OnDrained() override { outbox_->OnDrained(); }
  void OnHalfClosed() override { outbox_->OnHalfClosed(); }
  void OnClosed(const Status& /*status*/) override {}

 private:
  using Request = BatchCommandsRequest::Request;

  void Dispatch(const Request& request, std::uint64_t id);
  // Return whether the request was one of theirs.
  bool DispatchRaw(const Request& request, std::uint64_t id);
  bool DispatchTxn(const Request& request, std::uint64_t id);

  // True, for those.
  template <class Service, class In, class Out>
  bool Call(Service& service, void (Service::*call)(const In&, Out*, UniqueFunction<void()>),
            const In& request, Out* (BatchAnswer::*member)(), std::uint64_t id) {
    auto answer = std::make_unique<BatchAnswer>();
    Out* response = (answer.get()->*member)();
    outbox_->Begin();
    (service.*call)(request, response,
                    [outbox = outbox_, id, answer = std::move(answer)]() mutable {
                      outbox->Add(id, std::move(answer));
                      outbox->End();
                    });
    return true;
  }

  RawService& raw_;
  TxnService& txn_;
  const std::shared_ptr<Outbox> outbox_;
  const std::shared_ptr<StreamSender> sender_;
};

void BatchStream::Dispatch(const Request& request, std::uint64_t id) {
  if (DispatchRaw(request, id) || DispatchTxn(request, id)) return;
  // Of a request that is not served nothing is set: the client sees that, and keeps the stream.
  auto answer = std::make_unique<BatchAnswer>();
  if (request.cmd_case() == Request::kEmpty) {
    answer->mutable_empty()->set_test_id(request.empty().test_id());
  }
  outbox_->Add(id, std::move(answer));
}

bool BatchStream::DispatchRaw(const Request& all, std::uint64_t id) {
  using Service = RawService;
  const auto call = [&](auto handle, const auto& request, auto member) {
    return Call(raw_, handle, request, member, id);
  };
  switch (all.cmd_case()) {
    case Request::kRawGet: return call(&Service::Get, all.rawget(), &BatchAnswer::mutable_rawget);
    case Request::kRawBatchGet:
      return call(&Service::BatchGet, all.rawbatchget(), &BatchAnswer::mutable_rawbatchget);
    case Request::kRawPut: return call(&Service::Put, all.rawput(), &BatchAnswer::mutable_rawput);
    case Request::kRawBatchPut:
      return call(&Service::BatchPut, all.rawbatchput(), &BatchAnswer::mutable_rawbatchput);
    case Request::kRawDelete:
      return call(&Service::Delete, all.rawdelete(), &BatchAnswer::mutable_rawdelete);
    case Request::kRawBatchDelete:
      return call(&Service::BatchDelete, all.rawbatchdelete(),
                  &BatchAnswer::mutable_rawbatchdelete);
    case Request::kRawScan:
      return call(&Service::Scan, all.rawscan(), &BatchAnswer::mutable_rawscan);
    case Request::kRawDeleteRange:
      return call(&Service::DeleteRange, all.rawdeleterange(),
                  &BatchAnswer::mutable_rawdeleterange);
    case Request::kRawBatchScan:
      return call(&Service::BatchScan, all.rawbatchscan(), &BatchAnswer::mutable_rawbatchscan);
    case Request::kRawCoprocessor:
      return call(&Service::Coprocessor, all.rawcoprocessor(),
                  &BatchAnswer::mutable_rawcoprocessor);
    default: return false;
  }
}

bool BatchStream::DispatchTxn(const Request& all, std::uint64_t id) {
  using Service = TxnService;
  const auto call = [&](auto handle, const auto& request, auto member) {
    return Call(txn_, handle, request, member, id);
  };
  switch (all.cmd_case()) {
    case Request::kGet: return call(&Service::Get, all.get(), &BatchAnswer::mutable_get);
    case Request::kBatchGet:
      return call(&Service::BatchGet, all.batchget(), &BatchAnswer::mutable_batchget);
    case Request::kScan: return call(&Service::Scan, all.scan(), &BatchAnswer::mutable_scan);
    case Request::kPrewrite:
      return call(&Service::Prewrite, all.prewrite(), &BatchAnswer::mutable_prewrite);
    case Request::kCommit:
      return call(&Service::Commit, all.commit(), &BatchAnswer::mutable_commit);
    case Request::kCleanup:
      return call(&Service::Cleanup, all.cleanup(), &BatchAnswer::mutable_cleanup);
    case Request::kBatchRollback:
      return call(&Service::BatchRollback, all.batchrollback(),
                  &BatchAnswer::mutable_batchrollback);
    case Request::kScanLock:
      return call(&Service::ScanLock, all.scanlock(), &BatchAnswer::mutable_scanlock);
    case Request::kResolveLock:
      return call(&Service::ResolveLock, all.resolvelock(), &BatchAnswer::mutable_resolvelock);
    case Request::kCheckTxnStatus:
      return call(&Service::CheckTxnStatus, all.checktxnstatus(),
                  &BatchAnswer::mutable_checktxnstatus);
    case Request::kPessimisticLock:
      return call(&Service::PessimisticLock, all.pessimisticlock(),
                  &BatchAnswer::mutable_pessimisticlock);
    case Request::kPessimisticRollback:
      return call(&Service::PessimisticRollback, all.pessimisticrollback(),
                  &BatchAnswer::mutable_pessimisticrollback);
    case Request::kCheckSecondaryLocks:
      return call(&Service::CheckSecondaryLocks, all.checksecondarylocks(),
                  &BatchAnswer::mutable_checksecondarylocks);
    case Request::kTxnHeartBeat:
      return call(&Service::TxnHeartBeat, all.txnheartbeat(), &BatchAnswer::mutable_txnheartbeat);
    case Request::kFlush: return call(&Service::Flush, all.flush(), &BatchAnswer::mutable_flush);
    case Request::kBufferBatchGet:
      return call(&Service::BufferBatchGet, all.bufferbatchget(),
                  &BatchAnswer::mutable_bufferbatchget);
    case Request::kPrepareFlashbackToVersion:
      return call(&Service::PrepareFlashbackToVersion, all.prepareflashbacktoversion(),
                  &BatchAnswer::mutable_prepareflashbacktoversion);
    case Request::kFlashbackToVersion:
      return call(&Service::FlashbackToVersion, all.flashbacktoversion(),
                  &BatchAnswer::mutable_flashbacktoversion);
    case Request::kBroadcastTxnStatus:
      return call(&Service::BroadcastTxnStatus, all.broadcasttxnstatus(),
                  &BatchAnswer::mutable_broadcasttxnstatus);
    case Request::kDeleteRange:
      return call(&Service::DeleteRange, all.deleterange(), &BatchAnswer::mutable_deleterange);
    default: return false;
  }
}

}  // namespace

void BatchService::Register(Methods* methods) {
  methods->HandleStream<BatchCommandsRequest>(
      "/tikvpb.Tikv/BatchCommands",
      [this](const std::string& /*peer*/, std::shared_ptr<StreamSender> sender) {
        return std::make_unique<BatchStream>(raw_, txn_, std::move(sender));
      });
}

}  // namespace rutile::rpc
