#pragma once

#include "rpc/services/methods.h"
#include "rpc/services/raw_service.h"

namespace rutile::rpc {

// The BatchCommands stream: many requests in a message, answered one by one in any order, as many
// answers in a message as are there when it is sent. Requests of one stream are independent.
class BatchService {
 public:
  // `raw` outlives the service, which outlives the server.
  explicit BatchService(RawService& raw) : raw_(raw) {}

  void Register(Methods* methods);

 private:
  RawService& raw_;
};

}  // namespace rutile::rpc
