#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "rpc/testing.h"
#include "rpc/testing/grpc_channel.h"
#include "rpc/testing/grpc_server.h"

namespace rutile::rpc {

// Who is at the ends of the wire: ours, or the library that defines the protocol.
enum class Ends { kOurs, kTheirServer, kTheirClient };

// The thread sanitizer cannot see into a library that was built without it.
#if defined(__SANITIZE_THREAD__)
inline const auto kAllEnds = ::testing::Values(Ends::kOurs);
#else
inline const auto kAllEnds = ::testing::Values(Ends::kOurs, Ends::kTheirServer, Ends::kTheirClient);
#endif

inline std::string EndsName(const ::testing::TestParamInfo<Ends>& info) {
  switch (info.param) {
    case Ends::kOurs: return "Ours";
    case Ends::kTheirServer: return "TheirServer";
    case Ends::kTheirClient: return "TheirClient";
  }
  return "";
}

inline std::unique_ptr<Server> StartLocal(Ends ends, Methods methods, ServerOptions options) {
  if (ends != Ends::kTheirServer) return StartLocal(std::move(methods), std::move(options));
  options.listen = "127.0.0.1:0";
  return StartGrpcServer(options, std::move(methods)).value();
}

// A channel to it.
inline std::unique_ptr<Channel> ConnectLocal(Ends ends, const Server& server) {
  const std::string address = LocalAddress(server);
  return ends == Ends::kTheirClient ? NewGrpcChannel(address) : NewChannel(address);
}

}  // namespace rutile::rpc
