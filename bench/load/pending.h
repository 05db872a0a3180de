#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "bench/load/target.h"
#include "bench/load/workload.h"

namespace rutile::bench {

// An operation from its start to its end, with what it takes to send it again.
struct PendingOp {
  OpKind kind = OpKind::kPut;
  std::string key = {};
  std::string value = {};
  std::uint32_t limit = 0;
  OpDone done = {};
  Instant deadline = {};
  Instant sent = {};          // The last time.
  std::uint64_t sent_to = 0;  // Whom: a peer's id, or an endpoint's number.
};

// Operations and their memory, used again.
class PendingOps {
 public:
  PendingOp* Take(const Op& op, OpDone done, Instant deadline) {
    if (free_.empty()) {
      all_.push_back(std::make_unique<PendingOp>());
      free_.push_back(all_.back().get());
    }
    PendingOp* pending = free_.back();
    free_.pop_back();
    pending->kind = op.kind;
    pending->key.assign(op.key);
    pending->value.assign(op.value);
    pending->limit = op.limit;
    pending->done = std::move(done);
    pending->deadline = deadline;
    return pending;
  }

  // Tells whoever waits for it, and takes the memory back.
  void Finish(PendingOp* pending, const Status& status, bool found) {
    const OpDone done = std::exchange(pending->done, nullptr);
    free_.push_back(pending);
    done(status, found);
  }

 private:
  std::vector<std::unique_ptr<PendingOp>> all_;
  std::vector<PendingOp*> free_;
};

}  // namespace rutile::bench
