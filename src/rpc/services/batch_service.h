#pragma once

#include "rpc/services/methods.h"
#include "rpc/services/raw_service.h"
#include "rpc/services/txn_service.h"

namespace rutile::rpc {

// The BatchCommands stream: many requests in a message, answered one by one in any order, as many
// answers in a message as are there when it is sent. Requests of one stream are independent.
class BatchService {
 public:
  // What carries requests out outlives the service, which outlives the server.
  BatchService(RawService& raw, TxnService& txn) : raw_(raw), txn_(txn) {}

  void Register(Methods* methods);

 private:
  RawService& raw_;
  TxnService& txn_;
};

}  // namespace rutile::rpc
