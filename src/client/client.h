#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "client/await.h"
#include "client/channel.h"
#include "client/raw_client.h"
#include "client/tls_files.h"
#include "client/txn_client.h"

namespace rutile::client {

// Which cluster, and how long to try.
struct ClientOptions {
  // Any nodes of the cluster, "host:port"; more than one, so that it does not matter which is down.
  std::vector<std::string> endpoints = {};
  // If any is named, connections are encrypted, and the cluster's certificates verified.
  TlsFiles tls = {};
  // How the two clients work; their endpoints are those above.
  RawClientOptions raw = {};
  TxnClientOptions txn = {};
};

// A client of a cluster with all that it needs: a thread for connections, which are shared by
// nobody, and one for waiting and callbacks.
//
// A cluster of API version V1 is for raw keys or for transactions: nothing keeps the keys of the
// two apart. In a keyspace of one of V2 neither sees the other's.
//
// Safe from any thread.
class Client {
 public:
  // Connects to nobody yet: the first call does. kInvalidArgument if there is no endpoint, one
  // that is no address, or a file for TLS that is of no use.
  static Result<std::unique_ptr<Client>> Open(ClientOptions options);
  // Waits until all that was started has been answered, which takes no longer than the options
  // allow it to, and its callbacks have run. All transactions are destroyed before. Not from a
  // callback.
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  RawClient& raw();
  TxnClient& txn();
  // Makes channels for calls that neither of them has. They do not outlive this, nor do their
  // calls.
  Connect connect();

 private:
  struct Parts;
  explicit Client(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace rutile::client
