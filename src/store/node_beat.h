#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "base/time.h"
#include "env/env.h"

namespace rutile::store {

// What one store tells another that it shares regions with: that it lives, and as whom.
struct Beat {
  std::uint64_t incarnation = 0;  // Of the process: drawn when it begins.
  std::uint64_t trouble = 0;      // How many of its replicas have stopped to act since.
  std::uint64_t number = 0;       // Rises with each beat.

  friend bool operator==(const Beat&, const Beat&) = default;
};

// Knows which other stores live, for all regions together: each store sends each other one beat an
// interval, and who is not heard for a timeout is dead until it is heard again. So that regions can
// be quiet.
//
// A beat stands for all that a region would have shown by its own heartbeats. It goes round through
// every executor of regions before it leaves, so that a store one of whose executors is stuck falls
// silent; a process that was started again, or in which a replica has stopped to act, is told as
// one that died and lives. Beats that come late or twice count for nothing, and those of a former
// process for as long as the one after it is heard. Which of two came first nobody can tell, and
// the beat of a process that was never heard before may come late: then it is taken for the newer
// one until it is silent, and the other, which goes on, has its place again.
class NodeBeat {
 public:
  struct Options {
    Duration interval = Milliseconds(100);
    Duration timeout = Milliseconds(900);
  };
  struct Parts {
    const Clock& clock;
    std::vector<Executor*> executors = {};  // Of regions: all of them; at least one.
    std::function<void(StoreId to, const Beat& beat)> send = {};
    // A store has died or lives. On the first of the executors, in the order of what happens.
    std::function<void(StoreId store, bool live)> on_change = {};
  };

  // `incarnation` is unlike that of any earlier process of this store.
  NodeBeat(const Options& options, Parts parts, std::uint64_t incarnation);

  // Begins to send. Call once. Goes on until Stop(); the executors are shut down before this is
  // destroyed.
  void Start();

  // --- Any thread.

  // Falls silent.
  void Stop();
  // From now on `store` is sent beats.
  void Greet(StoreId store);
  void OnBeat(StoreId from, const Beat& beat);
  // A replica of this store has stopped to act.
  void NoteTrouble();
  bool IsLive(StoreId store) const;

 private:
  struct Other {
    Beat heard = {};
    Instant at = {};
    bool live = false;
    // The newest beat of each process before this one: what they have sent may still be on its way.
    std::vector<Beat> former = {};
  };

  // Whether the beat is news, which it becomes.
  static bool Take(Other& other, const Beat& beat);
  // The round through the executors: `position` is the next one's.
  void Round(std::size_t position);
  void Send();
  void FindDead();
  void Tell();

  const Options options_;
  const Parts parts_;

  mutable Mutex mutex_;
  Beat own_ GUARDED_BY(mutex_);
  std::map<StoreId, Other> others_ GUARDED_BY(mutex_);
  std::set<StoreId> greeted_ GUARDED_BY(mutex_);
  bool stopped_ GUARDED_BY(mutex_) = false;
  Instant looked_at_ GUARDED_BY(mutex_);  // When it was last looked for the dead.
  std::vector<std::pair<StoreId, bool>> changes_ GUARDED_BY(mutex_);  // Not yet told.
};

}  // namespace rutile::store
