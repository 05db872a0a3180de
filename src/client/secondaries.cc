#include "client/secondaries.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/probe.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

using Keys = std::vector<std::string>;

class Look : public std::enable_shared_from_this<Look> {
 public:
  using Done = std::function<void(Result<SecondariesFound>)>;

  Look(const kvrpcpb::LockInfo& primary, Done done) : done_(std::move(done)) {
    found_.commit = Timestamp(primary.min_commit_ts());
  }

  void Run(TxnCore& core, Timestamp start, const std::set<std::string>& keys, Instant deadline) {
    left_ = keys.size();
    if (left_ == 0) return done_(found_);
    core.SendAll<kvrpcpb::CheckSecondaryLocksResponse, kvrpcpb::CheckSecondaryLocksRequest>(
        {.method = "KvCheckSecondaryLocks", .deadline = deadline}, {keys.begin(), keys.end()},
        [start](const Keys& some, kvrpcpb::CheckSecondaryLocksRequest* request) {
          request->set_start_version(start.value());
          *request->mutable_keys() = {some.begin(), some.end()};
        },
        [self = shared_from_this()](const Result<kvrpcpb::CheckSecondaryLocksResponse>& reply,
                                    const Keys& some) {
          self->Take(reply, some.size());
          self->left_ -= some.size();
          if (self->left_ == 0) self->Finish();
        });
  }

 private:
  void Take(const Result<kvrpcpb::CheckSecondaryLocksResponse>& reply, std::size_t keys) {
    if (!reply.ok() || reply.value().has_error()) {
      status_ = reply.ok() ? Status(Code::kInternal, "locks of an asynchronous commit: " +
                                                         reply.value().error().ShortDebugString())
                           : reply.status();
      return;
    }
    if (is_decided_) return;
    if (static_cast<std::size_t>(reply.value().locks_size()) < keys) {
      is_decided_ = true;
      found_.commit = Timestamp(reply.value().commit_ts());
      return;
    }
    for (const kvrpcpb::LockInfo& lock : reply.value().locks()) {
      found_.commit = std::max(found_.commit, Timestamp(lock.min_commit_ts()));
      if (!lock.use_async_commit()) found_.is_in_two_phases = true;
    }
  }
  void Finish() {
    if (!status_.ok()) return done_(status_);
    // A key that is decided speaks for all.
    if (is_decided_) found_.is_in_two_phases = false;
    RUTILE_SOMETIMES(!is_decided_ && !found_.is_in_two_phases,
                     "client: all locks of an asynchronous commit are there");
    RUTILE_SOMETIMES(is_decided_ && found_.commit.IsZero(),
                     "client: a lock of an asynchronous commit never comes");
    RUTILE_SOMETIMES(found_.is_in_two_phases,
                     "client: a lock of an asynchronous commit is one of two phases");
    done_(found_);
  }

  const Done done_;
  SecondariesFound found_;
  std::size_t left_ = 0;
  bool is_decided_ = false;
  Status status_;
};

}  // namespace

void CheckSecondaries(const std::shared_ptr<TxnCore>& core, Timestamp start,
                      const kvrpcpb::LockInfo& primary, Instant deadline,
                      std::function<void(Result<SecondariesFound>)> done) {
  const std::set<std::string> keys(primary.secondaries().begin(), primary.secondaries().end());
  std::make_shared<Look>(primary, std::move(done))->Run(*core, start, keys, deadline);
}

}  // namespace rutile::client
