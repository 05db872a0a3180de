#include "rpc/wire/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

namespace rutile::rpc {

namespace {

// "[::1]:80" -> "::1", "80".
void Split(const std::string& address, std::string* host, std::string* port) {
  const std::size_t colon = address.rfind(':');
  *host = address.substr(0, colon);
  *port = colon == std::string::npos ? "" : address.substr(colon + 1);
  if (host->size() > 2 && host->front() == '[' && host->back() == ']') {
    *host = host->substr(1, host->size() - 2);
  }
}

// The errno of binding to it, 0 when that works.
int TryBind(const addrinfo& address) {
  const int socket = ::socket(address.ai_family, address.ai_socktype, address.ai_protocol);
  if (socket < 0) return errno;
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int error = 0;
  if (::bind(socket, address.ai_addr, address.ai_addrlen) != 0 || ::listen(socket, 1) != 0) {
    error = errno;
  }
  ::close(socket);
  return error;
}

}  // namespace

Status CheckListenAddress(const std::string& address) { return SplitAddress(address).status(); }

Result<HostAndPort> SplitAddress(const std::string& address) {
  std::string host;
  std::string port;
  Split(address, &host, &port);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (host.empty() || port.empty() || error != std::errc() || end != port.data() + port.size() ||
      number > 65535) {
    return Status(Code::kInvalidArgument, "'" + address + "' is not an address: want host:port");
  }
  return HostAndPort{.host = std::move(host), .port = std::move(port)};
}

Status ExplainBindFailure(const std::string& address) {
  const std::string what = "cannot listen on " + address + ": ";
  std::string host;
  std::string port;
  Split(address, &host, &port);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return Status(Code::kInvalidArgument, what + ::gai_strerror(error));
  }
  int error = 0;
  for (const addrinfo* one = found; one != nullptr && error == 0; one = one->ai_next) {
    error = TryBind(*one);
  }
  ::freeaddrinfo(found);
  if (error == 0)
    return Status(Code::kUnavailable, what + "the attempt failed, but may succeed now");
  const Code code = error == EADDRINUSE                         ? Code::kAlreadyExists
                    : error == EACCES || error == EADDRNOTAVAIL ? Code::kInvalidArgument
                                                                : Code::kIoError;
  return Status(code, what + std::strerror(error));
}

}  // namespace rutile::rpc
