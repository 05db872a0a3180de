#include "rpc/listener.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <utility>

#include "rpc/wire/listen_address.h"

namespace rutile::rpc {

namespace {

constexpr int kBacklog = 1024;
// Without file descriptors nothing can be accepted; somebody may close one.
constexpr Duration kTryAgain = Milliseconds(100);

std::string Describe(const sockaddr_storage& address, socklen_t size) {
  std::string host(NI_MAXHOST, '\0');
  std::string port(NI_MAXSERV, '\0');
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(),
                    static_cast<socklen_t>(host.size()), port.data(),
                    static_cast<socklen_t>(port.size()), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "an unknown address";
  }
  host.resize(host.find('\0'));
  port.resize(port.find('\0'));
  return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
}

std::uint16_t PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

// A socket that listens, or -1.
int Listen(const addrinfo& address) {
  const int fd = ::socket(address.ai_family, address.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                          address.ai_protocol);
  if (fd < 0) return -1;
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, address.ai_addr, address.ai_addrlen) == 0 && ::listen(fd, kBacklog) == 0) {
    return fd;
  }
  ::close(fd);
  return -1;
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::Start(const std::string& address,
                                                  posix::EventLoop& loop, Taker take) {
  RUTILE_ASSIGN_OR_RETURN(const HostAndPort parts, SplitAddress(address));
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (::getaddrinfo(parts.host.c_str(), parts.port.c_str(), &hints, &found) != 0) {
    return ExplainBindFailure(address);
  }
  int fd = -1;
  for (const addrinfo* one = found; one != nullptr && fd < 0; one = one->ai_next) {
    fd = Listen(*one);
  }
  ::freeaddrinfo(found);
  if (fd < 0) return ExplainBindFailure(address);
  std::unique_ptr<Listener> listener(new Listener(fd, PortOf(fd), loop, std::move(take)));
  std::promise<void> watched;
  loop.Post([&listener, &watched] {
    listener->watch_ = listener->loop_.Watch(listener->fd_, listener.get());
    watched.set_value();
  });
  watched.get_future().wait();
  return listener;
}

Listener::Listener(int fd, std::uint16_t port, posix::EventLoop& loop, Taker take)
    : fd_(fd), port_(port), loop_(loop), take_(std::move(take)) {}

Listener::~Listener() {
  *self_ = nullptr;
  if (fd_ >= 0) ::close(fd_);
}

void Listener::Close() {
  if (fd_ < 0) return;
  if (watch_ != 0) loop_.Unwatch(fd_, watch_);
  ::close(std::exchange(fd_, -1));
}

void Listener::OnShutdown() {
  watch_ = 0;
  Close();
}

void Listener::TryAgainLater() {
  loop_.PostAfter(kTryAgain, [self = self_] {
    if (*self != nullptr) (*self)->OnEvents(0);
  });
}

void Listener::OnEvents(std::uint32_t /*events*/) {
  while (fd_ >= 0) {
    sockaddr_storage address = {};
    socklen_t size = sizeof address;
    const int fd =
        ::accept4(fd_, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
        TryAgainLater();
      return;
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    take_(fd, Describe(address, size));
  }
}

}  // namespace rutile::rpc
