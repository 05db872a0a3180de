#include "rpc/wire/connector.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "env/posix/thread_executor.h"
#include "rpc/wire/listen_address.h"

namespace rutile::rpc {

namespace {

// Looking a name up blocks, for seconds when nobody answers. Never ends: it may be in the middle of
// that when the process wants to.
posix::ThreadExecutor& Resolver() {
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): one for the process.
  static auto* const resolver = new posix::ThreadExecutor("resolver");
  return *resolver;
}

Result<std::vector<SocketAddress>> LookUp(const std::string& address, int flags) {
  RUTILE_ASSIGN_OR_RETURN(const HostAndPort parts, SplitAddress(address));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found);
  if (error != 0) {
    return Status(Code::kUnavailable, "cannot look up " + address + ": " + ::gai_strerror(error));
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    addresses.push_back(
        {.family = one->ai_family,
         .bytes = std::string(reinterpret_cast<const char*>(one->ai_addr), one->ai_addrlen)});
  }
  ::freeaddrinfo(found);
  return addresses;
}

}  // namespace

void Resolve(const std::string& address, posix::EventLoop& loop,
             std::function<void(Result<std::vector<SocketAddress>>)> done) {
  Result<std::vector<SocketAddress>> numeric = LookUp(address, AI_NUMERICHOST);
  if (numeric.ok() || numeric.status().code() == Code::kInvalidArgument) {
    return done(std::move(numeric));
  }
  // It may take longer than the loop lives.
  Resolver().Post([address, post = loop.Poster(), done = std::move(done)]() mutable {
    post(
        [found = LookUp(address, 0), done = std::move(done)]() mutable { done(std::move(found)); });
  });
}

Result<int> BeginConnect(const SocketAddress& address) {
  const int fd = ::socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return Status(Code::kUnavailable, std::strerror(errno));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(address.bytes.data()),
                static_cast<socklen_t>(address.bytes.size())) == 0 ||
      errno == EINPROGRESS) {
    return fd;
  }
  const int error = errno;
  ::close(fd);
  return Status(Code::kUnavailable, std::strerror(error));
}

}  // namespace rutile::rpc
