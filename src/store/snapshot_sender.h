#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/task.h"
#include "base/time.h"
#include "engine/kv_engine.h"
#include "env/env.h"
#include "store/options.h"
#include "store/peer_message.h"
#include "store/region.h"
#include "store/state_machine.h"

namespace rutile::store {

// Streams the data of groups to peers that need it: reads one engine snapshot part by part and
// keeps a window of parts on their way, so that a slow receiver costs no memory. One transfer per
// peer of a region at a time; a lost part or reply is repeated, a silent receiver is given up.
//
// Everything runs on the background executor.
class SnapshotSender {
 public:
  // Where a transfer ends up; called on the background executor.
  using OnEnd = UniqueFunction<void(RegionId region, PeerId to, LogId id, bool sent)>;
  using Send = UniqueFunction<void(StoreId to, std::string message)>;

  // Transfers are numbered from `first_number`, which should differ from one start of the process
  // to the next: receivers remember numbers.
  SnapshotSender(const ReplicaOptions& options, engine::KvEngine& engine, const Clock& clock,
                 Executor& background, std::uint64_t first_number, Send send, OnEnd on_end);

  struct Request {
    RegionId region = {};
    PeerId from = {};
    Peer to = {};
    Term term = {};
    std::vector<DataRange> ranges = {};  // The descriptor goes with them.
  };
  // Begins unless a transfer to that peer is under way.
  void Start(Request request);
  void OnReply(const SnapshotPartReply& reply);
  // Gives up, without a word, what this store was sending of a replica that is destroyed.
  void Forget(RegionId region);

 private:
  using Key = std::pair<RegionId, PeerId>;
  struct Transfer {
    Request request = {};
    std::uint64_t number = 0;  // Of this transfer.
    raft::SnapshotMeta meta = {};
    Term term = {};
    std::unique_ptr<const engine::Snapshot> snapshot = {};
    std::unique_ptr<engine::Iterator> iterator = {};
    std::size_t range = 0;                            // The one that `iterator` walks.
    std::map<std::uint64_t, SnapshotPart> sent = {};  // Not acknowledged, by number.
    std::uint64_t next_part = 0;
    bool complete = false;  // The last part has been built.
    Instant last_progress = {};
    Instant last_sent = {};
  };

  Status Open(Transfer& transfer);
  // Builds and sends parts until the window is full.
  Status Fill(Transfer& transfer);
  void SendPart(const Transfer& transfer, SnapshotPart* part);
  // The next records, at most a part's worth; sets `complete` at the end.
  Result<std::string> NextPart(Transfer& transfer);
  void End(const Key& key, bool sent);
  void Watch();

  const ReplicaOptions options_;
  engine::KvEngine& engine_;
  const Clock& clock_;
  Executor& background_;
  Send send_;
  OnEnd on_end_;
  std::map<Key, Transfer> transfers_;
  std::uint64_t next_number_;
  bool watching_ = false;
};

}  // namespace rutile::store
