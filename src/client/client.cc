#include "client/client.h"

#include <utility>

#include "env/posix/event_loop.h"
#include "env/posix/posix_clock.h"
#include "env/posix/thread_executor.h"
#include "rpc/wire/h2_channel.h"
#include "rpc/wire/listen_address.h"
#include "rpc/wire/tls.h"

namespace rutile::client {

// The threads go last, and that of the connections first: what it destroys may post to the other.
struct Client::Parts {
  Parts(const ClientOptions& options, std::shared_ptr<const rpc::TlsContext> tls_context)
      : tls(std::move(tls_context)),
        raw(options.raw, NewConnect(), clock, executor),
        txn(options.txn, NewConnect(), clock, random, executor) {}

  Connect NewConnect() {
    return [this](const std::string& address) {
      return rpc::NewH2Channel(address, loop, {.tls = tls});
    };
  }

  const std::shared_ptr<const rpc::TlsContext> tls;
  const posix::PosixClock clock = {};
  SeededRandom random{posix::RandomSeed()};
  posix::ThreadExecutor executor{"client"};
  posix::EventLoop loop{"connections"};
  RawClient raw;
  TxnClient txn;
};

Result<std::unique_ptr<Client>> Client::Open(ClientOptions options) {
  if (options.endpoints.empty()) {
    return Status(Code::kInvalidArgument,
                  "no endpoint is given: name nodes of the cluster, as host:port");
  }
  for (const std::string& endpoint : options.endpoints) {
    RUTILE_RETURN_IF_ERROR(rpc::CheckListenAddress(endpoint).WithContext("endpoint"));
  }
  std::shared_ptr<const rpc::TlsContext> tls;
  if (!options.tls.empty()) {
    RUTILE_ASSIGN_OR_RETURN(tls,
                            rpc::TlsContext::Load(options.tls, rpc::TlsContext::Side::kClient));
  }
  options.raw.endpoints = options.endpoints;
  options.txn.endpoints = std::move(options.endpoints);
  return std::unique_ptr<Client>(new Client(std::make_unique<Parts>(options, std::move(tls))));
}

Client::Client(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Client::~Client() {
  AwaitClosed(parts_->txn);
  AwaitClosed(parts_->raw);
}

RawClient& Client::raw() { return parts_->raw; }
TxnClient& Client::txn() { return parts_->txn; }
Connect Client::connect() { return parts_->NewConnect(); }

}  // namespace rutile::client
