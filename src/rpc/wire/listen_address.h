#pragma once

#include <string>

#include "base/status.h"

namespace rutile::rpc {

// The parts of an address; the host without brackets.
struct HostAndPort {
  std::string host = {};
  std::string port = {};
};

// kInvalidArgument unless `address` is as CheckListenAddress wants it.
Result<HostAndPort> SplitAddress(const std::string& address);

// OK if `address` is "host:port" with a port in 0..65535; IPv6 hosts are in brackets.
Status CheckListenAddress(const std::string& address);

// Why `address`, which could not be listened on, could not: asks the system once more.
Status ExplainBindFailure(const std::string& address);

}  // namespace rutile::rpc
