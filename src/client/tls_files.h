#pragma once

#include <string>

namespace rutile::client {

// Files in PEM for TLS, by their paths. None: connections are not encrypted.
struct TlsFiles {
  // Certificates of those who may sign the other side's. Empty: those that this machine trusts. The
  // other side's certificate must name the host that is dialled.
  std::string ca = {};
  // What this side shows if it is asked, with what signs it, and the key to it: both or neither.
  std::string cert = {};
  std::string key = {};

  bool empty() const { return ca.empty() && cert.empty() && key.empty(); }
};

}  // namespace rutile::client
