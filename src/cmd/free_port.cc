#include "cmd/free_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace rutile::cmd {

Result<int> FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  // sockaddr_in is what the interface means by sockaddr.
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool found =
      fd >= 0 && ::bind(fd, generic, length) == 0 && ::getsockname(fd, generic, &length) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!found) {
    return Status(Code::kUnavailable, std::string("no free port: ") + std::strerror(error));
  }
  return static_cast<int>(ntohs(address.sin_port));
}

}  // namespace rutile::cmd
