#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "node/node.h"

namespace rutile::rpc {

// The state of a node over HTTP, for people and monitors; docs/operations/status.md:
//
//   /         a page that shows it and keeps itself up to date
//   /status   as JSON
//   /metrics  numbers in Prometheus' text format
//   /livez    200: the process answers
//   /readyz   200 while it serves clients, else 503
//
// A few threads that sleep until somebody asks.
class HttpStatusServer {
 public:
  // Listens on `listen`, "host:port"; port 0 takes any that is free. `node` outlives the
  // server; `serving` and `more_metrics`, which renders what /metrics shows besides the node's own
  // (may be null), run on its threads and must not block.
  static Result<std::unique_ptr<HttpStatusServer>> Start(
      const std::string& listen, node::Node& node, std::function<bool()> serving,
      std::function<std::string()> more_metrics = nullptr);
  // Answers what is under way, which may take seconds when the node is stuck.
  ~HttpStatusServer();
  HttpStatusServer(const HttpStatusServer&) = delete;
  HttpStatusServer& operator=(const HttpStatusServer&) = delete;

  std::uint16_t port() const;

 private:
  class Impl;
  explicit HttpStatusServer(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace rutile::rpc
