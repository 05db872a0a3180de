#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "base/time.h"
#include "client/txn_core.h"
#include "client/txn_error.h"

namespace rutile::client {

// Keeps the locks of one transaction alive: prolongs that of the primary key, again and again,
// until Stop() or until the last reference to it is gone, for no longer than a transaction may
// live. Internal to the room; all on the executor.
class SignsOfLife : public std::enable_shared_from_this<SignsOfLife> {
 public:
  // `began`: when the timestamp `start` was asked for. `ttl`: how long a lock protects without a
  // sign.
  SignsOfLife(std::shared_ptr<TxnCore> core, Timestamp start, Instant began, Duration ttl)
      : core_(std::move(core)), start_(start), began_(began), ttl_(ttl) {}

  // For a request that leaves locks: what keeps them alive for one time to live from now on, since
  // it counts from the start.
  std::uint64_t TtlMillis() const;
  // Locks live longer from the next sign on.
  void Prolong(Duration ttl) { ttl_ = std::max(ttl_, ttl); }
  // Before locks are asked for. Any number of times.
  void Start();
  // There is a lock on the primary key, which is this one; before that no sign is given.
  void OnLocked(const std::string& primary) { primary_ = primary; }
  void Stop() { is_stopped_ = true; }

 private:
  void Wait();
  void Send();

  const std::shared_ptr<TxnCore> core_;
  const Timestamp start_;
  const Instant began_;
  Duration ttl_;
  std::string primary_ = {};  // Empty: not locked yet.
  bool is_started_ = false;
  bool is_stopped_ = false;
};

}  // namespace rutile::client
