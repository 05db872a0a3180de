#pragma once

#include "base/task.h"
#include "proto/kvrpcpb.pb.h"
#include "rpc/services/methods.h"
#include "rpc/services/served.h"
#include "store/txn_kv.h"

namespace rutile::rpc {

// The transactional calls of TiKV's protocol. Each takes its request apart during the call, fills
// `response` later and then runs `done`, on any thread, once. What is wrong with the place goes
// into region_error, what stands in the way of the transaction, or is wrong with the request, into
// error; there is no other failure.
class TxnService {
 public:
  using Finished = UniqueFunction<void()>;

  // `txn` outlives the service.
  TxnService(store::TxnKv& txn, Served served) : txn_(txn), served_(served) {}

  // Serves all of them as unary calls. The service outlives the server.
  void Register(Methods* methods);

  void Get(const kvrpcpb::GetRequest&, kvrpcpb::GetResponse*, Finished done);
  void BatchGet(const kvrpcpb::BatchGetRequest&, kvrpcpb::BatchGetResponse*, Finished done);
  void Scan(const kvrpcpb::ScanRequest&, kvrpcpb::ScanResponse*, Finished done);
  void Prewrite(const kvrpcpb::PrewriteRequest&, kvrpcpb::PrewriteResponse*, Finished done);
  void Commit(const kvrpcpb::CommitRequest&, kvrpcpb::CommitResponse*, Finished done);
  void Cleanup(const kvrpcpb::CleanupRequest&, kvrpcpb::CleanupResponse*, Finished done);
  void BatchRollback(const kvrpcpb::BatchRollbackRequest&, kvrpcpb::BatchRollbackResponse*,
                     Finished done);
  void ScanLock(const kvrpcpb::ScanLockRequest&, kvrpcpb::ScanLockResponse*, Finished done);
  void ResolveLock(const kvrpcpb::ResolveLockRequest&, kvrpcpb::ResolveLockResponse*,
                   Finished done);
  void CheckTxnStatus(const kvrpcpb::CheckTxnStatusRequest&, kvrpcpb::CheckTxnStatusResponse*,
                      Finished done);
  void PessimisticLock(const kvrpcpb::PessimisticLockRequest&, kvrpcpb::PessimisticLockResponse*,
                       Finished done);
  void PessimisticRollback(const kvrpcpb::PessimisticRollbackRequest&,
                           kvrpcpb::PessimisticRollbackResponse*, Finished done);
  void CheckSecondaryLocks(const kvrpcpb::CheckSecondaryLocksRequest&,
                           kvrpcpb::CheckSecondaryLocksResponse*, Finished done);
  void TxnHeartBeat(const kvrpcpb::TxnHeartBeatRequest&, kvrpcpb::TxnHeartBeatResponse*,
                    Finished done);
  void MvccGetByKey(const kvrpcpb::MvccGetByKeyRequest&, kvrpcpb::MvccGetByKeyResponse*,
                    Finished done);
  void MvccGetByStartTs(const kvrpcpb::MvccGetByStartTsRequest&, kvrpcpb::MvccGetByStartTsResponse*,
                        Finished done);
  void Flush(const kvrpcpb::FlushRequest&, kvrpcpb::FlushResponse*, Finished done);
  void BufferBatchGet(const kvrpcpb::BufferBatchGetRequest&, kvrpcpb::BufferBatchGetResponse*,
                      Finished done);
  // Every prewrite looks at what became of its transaction, and every reader asks at the primary
  // key: news of others are not needed, and not kept.
  void BroadcastTxnStatus(const kvrpcpb::BroadcastTxnStatusRequest&,
                          kvrpcpb::BroadcastTxnStatusResponse*, Finished done);
  void GetLockWaitInfo(const kvrpcpb::GetLockWaitInfoRequest&, kvrpcpb::GetLockWaitInfoResponse*,
                       Finished done);
  void PrepareFlashbackToVersion(const kvrpcpb::PrepareFlashbackToVersionRequest&,
                                 kvrpcpb::PrepareFlashbackToVersionResponse*, Finished done);
  void FlashbackToVersion(const kvrpcpb::FlashbackToVersionRequest&,
                          kvrpcpb::FlashbackToVersionResponse*, Finished done);
  void UnsafeDestroyRange(const kvrpcpb::UnsafeDestroyRangeRequest&,
                          kvrpcpb::UnsafeDestroyRangeResponse*, Finished done);
  void DeleteRange(const kvrpcpb::DeleteRangeRequest&, kvrpcpb::DeleteRangeResponse*,
                   Finished done);

 private:
  store::TxnKv& txn_;
  const Served served_;
};

}  // namespace rutile::rpc
