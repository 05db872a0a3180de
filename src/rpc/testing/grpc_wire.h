#pragma once

#include "base/status.h"
#include "rpc/seam/stream.h"

namespace grpc {
class ByteBuffer;
class Status;
}  // namespace grpc

// What the server's and the client's binding to gRPC share.
namespace rutile::rpc {

// Encodes `message` into `buffer`. kInternal when it is too large to be encoded at all.
Status Encode(const Message& message, grpc::ByteBuffer* buffer);
// Fills the empty `message`. kInvalidArgument, naming the type, when the bytes are not of it.
Status Decode(grpc::ByteBuffer* buffer, Message* message);

grpc::Status ToGrpc(const Status& status);
// `context` names the call in the message of an error.
Status FromGrpc(const grpc::Status& status, std::string_view context);

// Once for the process, before anything else of gRPC: keeps it from writing to standard error what
// we report ourselves, unless the environment (GRPC_VERBOSITY) asks for it.
void InitializeGrpc();

}  // namespace rutile::rpc
