#pragma once

#include "base/task.h"
#include "proto/kvrpcpb.pb.h"
#include "rpc/services/methods.h"
#include "rpc/services/served.h"
#include "store/raw_kv.h"

namespace rutile::rpc {

// The raw calls of TiKV's protocol. Each takes its request apart during the call, fills `response`
// later and then runs `done`, on any thread, once. What is wrong with the place goes into
// region_error, what is wrong with the request into error; there is no other failure.
class RawService {
 public:
  using Finished = UniqueFunction<void()>;

  // `raw` outlives the service.
  RawService(store::RawKv& raw, Served served) : raw_(raw), served_(served) {}

  // Serves all of them as unary calls. The service outlives the server.
  void Register(Methods* methods);

  void Get(const kvrpcpb::RawGetRequest&, kvrpcpb::RawGetResponse*, Finished done);
  void BatchGet(const kvrpcpb::RawBatchGetRequest&, kvrpcpb::RawBatchGetResponse*, Finished done);
  void Put(const kvrpcpb::RawPutRequest&, kvrpcpb::RawPutResponse*, Finished done);
  void BatchPut(const kvrpcpb::RawBatchPutRequest&, kvrpcpb::RawBatchPutResponse*, Finished done);
  void Delete(const kvrpcpb::RawDeleteRequest&, kvrpcpb::RawDeleteResponse*, Finished done);
  void BatchDelete(const kvrpcpb::RawBatchDeleteRequest&, kvrpcpb::RawBatchDeleteResponse*,
                   Finished done);
  void DeleteRange(const kvrpcpb::RawDeleteRangeRequest&, kvrpcpb::RawDeleteRangeResponse*,
                   Finished done);
  void Scan(const kvrpcpb::RawScanRequest&, kvrpcpb::RawScanResponse*, Finished done);
  void BatchScan(const kvrpcpb::RawBatchScanRequest&, kvrpcpb::RawBatchScanResponse*,
                 Finished done);
  void GetKeyTtl(const kvrpcpb::RawGetKeyTTLRequest&, kvrpcpb::RawGetKeyTTLResponse*,
                 Finished done);
  void CompareAndSwap(const kvrpcpb::RawCASRequest&, kvrpcpb::RawCASResponse*, Finished done);
  void Checksum(const kvrpcpb::RawChecksumRequest&, kvrpcpb::RawChecksumResponse*, Finished done);
  // Answered with 'not supported'.
  void Coprocessor(const kvrpcpb::RawCoprocessorRequest&, kvrpcpb::RawCoprocessorResponse*,
                   Finished done);

 private:
  store::RawKv& raw_;
  const Served served_;
};

}  // namespace rutile::rpc
