#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"
#include "client/connections.h"
#include "client/txn_client.h"
#include "client/txn_error.h"
#include "env/env.h"

namespace rutile::client {

struct GarbageOptions {
  // `client.timeout` is what each step may take: a question to placement, a page of a region's
  // locks, bringing these to their end. A round has as many steps as there are pages.
  TxnClientOptions client = {};
  // For how long versions can be read after they were overwritten.
  Duration life = Seconds(600);
  std::size_t batch_locks = 256;  // In a page.
};

// What came of a round.
struct GarbageRound {
  Timestamp safe_point = {};  // In force at its end.
  bool is_raised = false;     // By this round.
  std::string held_by = {};   // Who needs what is younger, if not only its life keeps it.
  std::size_t locks_resolved = 0;
  std::size_t regions = 0;  // In which locks were looked for.
};

// Decides how far old versions may be removed, and tells placement: the safe point. At or above it
// the stores keep whatever a reader could see; what only readers below it saw they may remove.
//
// A round begins at a new timestamp less the life of versions. It goes down to what services want
// kept, and below the start of each transaction that lives and has a lock: that one is not harmed,
// and the others wait for it. All other locks of transactions that started no later are brought to
// their end, in all regions, in the order of keys; the safe point is raised after that, and only
// after that. For the record of a commit at a primary key may be the only thing that tells what
// became of a lock elsewhere, and it is a version like any other, that is removed when a later one
// lies below the safe point. Who met such a lock then would roll back what is committed.
//
// No lock whose commit could come to lie below the safe point appears behind a round's back: a
// commit's timestamp is taken from placement after the round's, or, where a store chooses it,
// above every timestamp at which locks were looked for there.
//
// Rounds of several such objects may overlap: the safe point never goes back, and each was allowed
// what it asked for. Safe from any thread.
class GarbageRounds {
 public:
  using Done = std::function<void(Result<GarbageRound>)>;

  // `clock`, `random` and `executor` outlive this and all that is under way: see Close(). `random`
  // is used on `executor` only.
  GarbageRounds(GarbageOptions options, Connect connect, const Clock& clock, Random& random,
                Executor& executor);
  ~GarbageRounds();
  GarbageRounds(const GarbageRounds&) = delete;
  GarbageRounds& operator=(const GarbageRounds&) = delete;

  // One round. `done` runs on the executor. An error says what failed, and where: the safe point
  // was not raised then, unless it was its own raising that was not answered.
  void Run(Done done);
  // Rounds that are under way fail, each at its next step. Any number of times.
  void Stop();
  // The last call: as Stop(). `done` runs, on any thread, when nothing is under way any more.
  void Close(std::function<void()> done);

 private:
  const GarbageOptions options_;
  // Both are shared with what is under way.
  const std::shared_ptr<std::atomic<bool>> is_stopped_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<TxnCore> core_;  // Constant until Close().
};

}  // namespace rutile::client
