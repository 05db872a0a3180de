#include "rpc/services/batch_service.h"

#include <memory>
#include <utility>

#include "base/mutex.h"
#include "proto/tikvpb.pb.h"

namespace rutile::rpc {
namespace {

using tikvpb::BatchCommandsRequest;
using tikvpb::BatchCommandsResponse;
using Answer = BatchCommandsResponse::Response;

// Gathers answers while a message is on its way, so that the busier a stream is the fuller its
// messages are. Shared with the requests under way, which may outlive the stream.
class Outbox {
 public:
  explicit Outbox(std::shared_ptr<StreamSender> sender) : sender_(std::move(sender)) {}

  void Add(std::uint64_t id, std::unique_ptr<Answer> answer) {
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
  BatchStream(RawService& raw, std::shared_ptr<StreamSender> sender)
      : raw_(raw), outbox_(std::make_shared<Outbox>(sender)), sender_(std::move(sender)) {}

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
  void Dispatch(const BatchCommandsRequest::Request& request, std::uint64_t id);
  template <class Request, class Response>
  void Call(void (RawService::*call)(const Request&, Response*, RawService::Finished),
            const Request& request, Response* (Answer::*member)(), std::uint64_t id) {
    auto answer = std::make_unique<Answer>();
    Response* response = (answer.get()->*member)();
    outbox_->Begin();
    (raw_.*call)(request, response, [outbox = outbox_, id, answer = std::move(answer)]() mutable {
      outbox->Add(id, std::move(answer));
      outbox->End();
    });
  }

  RawService& raw_;
  const std::shared_ptr<Outbox> outbox_;
  const std::shared_ptr<StreamSender> sender_;
};

void BatchStream::Dispatch(const BatchCommandsRequest::Request& request, std::uint64_t id) {
  switch (request.cmd_case()) {
    case BatchCommandsRequest::Request::kRawGet:
      return Call(&RawService::Get, request.rawget(), &Answer::mutable_rawget, id);
    case BatchCommandsRequest::Request::kRawBatchGet:
      return Call(&RawService::BatchGet, request.rawbatchget(), &Answer::mutable_rawbatchget, id);
    case BatchCommandsRequest::Request::kRawPut:
      return Call(&RawService::Put, request.rawput(), &Answer::mutable_rawput, id);
    case BatchCommandsRequest::Request::kRawBatchPut:
      return Call(&RawService::BatchPut, request.rawbatchput(), &Answer::mutable_rawbatchput, id);
    case BatchCommandsRequest::Request::kRawDelete:
      return Call(&RawService::Delete, request.rawdelete(), &Answer::mutable_rawdelete, id);
    case BatchCommandsRequest::Request::kRawBatchDelete:
      return Call(&RawService::BatchDelete, request.rawbatchdelete(),
                  &Answer::mutable_rawbatchdelete, id);
    case BatchCommandsRequest::Request::kRawScan:
      return Call(&RawService::Scan, request.rawscan(), &Answer::mutable_rawscan, id);
    case BatchCommandsRequest::Request::kRawDeleteRange:
      return Call(&RawService::DeleteRange, request.rawdeleterange(),
                  &Answer::mutable_rawdeleterange, id);
    case BatchCommandsRequest::Request::kRawBatchScan:
      return Call(&RawService::BatchScan, request.rawbatchscan(), &Answer::mutable_rawbatchscan,
                  id);
    case BatchCommandsRequest::Request::kRawCoprocessor:
      return Call(&RawService::Coprocessor, request.rawcoprocessor(),
                  &Answer::mutable_rawcoprocessor, id);
    case BatchCommandsRequest::Request::kEmpty: {
      auto answer = std::make_unique<Answer>();
      answer->mutable_empty()->set_test_id(request.empty().test_id());
      return outbox_->Add(id, std::move(answer));
    }
    default:
      // Nothing is set: the client sees that this one request is not served, and keeps the stream.
      return outbox_->Add(id, std::make_unique<Answer>());
  }
}

}  // namespace

void BatchService::Register(Methods* methods) {
  methods->HandleStream<BatchCommandsRequest>(
      "/tikvpb.Tikv/BatchCommands",
      [this](const std::string& /*peer*/, std::shared_ptr<StreamSender> sender) {
        return std::make_unique<BatchStream>(raw_, std::move(sender));
      });
}

}  // namespace rutile::rpc
