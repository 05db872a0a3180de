#include "rpc/testing/grpc_wire.h"

#include <google/protobuf/message_lite.h>
#include <grpc/support/log.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>
#include <grpcpp/support/status.h>

#include <climits>
#include <cstdlib>
#include <string>

namespace rutile::rpc {

namespace {

grpc::StatusCode ToGrpcCode(Code code) {
  switch (code) {
    case Code::kOk: return grpc::StatusCode::OK;
    case Code::kInvalidArgument: return grpc::StatusCode::INVALID_ARGUMENT;
    case Code::kNotFound: return grpc::StatusCode::NOT_FOUND;
    case Code::kUnavailable: return grpc::StatusCode::UNAVAILABLE;
    case Code::kIoError: return grpc::StatusCode::INTERNAL;
    case Code::kCorruption: return grpc::StatusCode::DATA_LOSS;
    case Code::kAlreadyExists: return grpc::StatusCode::ALREADY_EXISTS;
    case Code::kFailedPrecondition: return grpc::StatusCode::FAILED_PRECONDITION;
    case Code::kResourceExhausted: return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case Code::kUnimplemented: return grpc::StatusCode::UNIMPLEMENTED;
    case Code::kDeadlineExceeded: return grpc::StatusCode::DEADLINE_EXCEEDED;
    case Code::kInternal: return grpc::StatusCode::INTERNAL;
  }
  return grpc::StatusCode::UNKNOWN;
}

Code FromGrpcCode(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK: return Code::kOk;
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::OUT_OF_RANGE: return Code::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND: return Code::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS: return Code::kAlreadyExists;
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNAUTHENTICATED: return Code::kFailedPrecondition;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return Code::kResourceExhausted;
    case grpc::StatusCode::UNIMPLEMENTED: return Code::kUnimplemented;
    case grpc::StatusCode::DEADLINE_EXCEEDED: return Code::kDeadlineExceeded;
    case grpc::StatusCode::DATA_LOSS: return Code::kCorruption;
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::UNAVAILABLE: return Code::kUnavailable;
    default: return Code::kInternal;
  }
}

}  // namespace

Status Encode(const Message& message, grpc::ByteBuffer* buffer) {
  const std::size_t size = message.ByteSizeLong();
  if (size > INT_MAX) {
    return Status(Code::kInternal, message.GetTypeName() + " is too large to be sent");
  }
  grpc::Slice slice(size);
  // A new slice is ours alone until it is put into a buffer.
  message.SerializeWithCachedSizesToArray(const_cast<std::uint8_t*>(slice.begin()));
  grpc::ByteBuffer encoded(&slice, 1);
  buffer->Swap(&encoded);
  return Status();
}

Status Decode(grpc::ByteBuffer* buffer, Message* message) {
  grpc::Slice slice;
  bool parsed = false;
  if (buffer->TrySingleSlice(&slice).ok()) {
    parsed = message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  } else {
    grpc::ProtoBufferReader reader(buffer);
    parsed = reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
  }
  if (parsed) return Status();
  return Status(Code::kInvalidArgument, std::to_string(buffer->Length()) +
                                            " bytes that are not a " + message->GetTypeName());
}

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(ToGrpcCode(status.code()), std::string(status.message()));
}

Status FromGrpc(const grpc::Status& status, std::string_view context) {
  if (status.ok()) return Status();
  return Status(FromGrpcCode(status.error_code()), status.error_message()).WithContext(context);
}

void InitializeGrpc() {
  static const bool once = [] {
    if (std::getenv("GRPC_VERBOSITY") == nullptr) {
      gpr_set_log_function([](gpr_log_func_args*) {});
    }
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace rutile::rpc
