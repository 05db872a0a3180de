#include "client/txn_reads.h"

#include <algorithm>
#include <set>

#include "client/lock_resolver.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {
namespace {

// What all reads have in common: locks that are in the way.
class Read {
 public:
  Read(std::shared_ptr<TxnCore> core, Timestamp at)
      : core_(std::move(core)), at_(at), deadline_(core_->NewDeadline()) {}

 protected:
  using Fail = std::function<void(TxnError)>;

  // Once the locks are out of the way, or may be, runs `again`.
  void Await(const std::vector<MetLock>& locks, const std::function<void()>& again,
             const Fail& fail) {
    ResolveLocks(core_, locks, at_, deadline_,
                 [this, key = locks.front().key, again, fail](const Result<LocksResolved>& result) {
                   if (!result.ok()) return fail(ErrorOf(result.status()));
                   passed_.insert(result.value().passed.begin(), result.value().passed.end());
                   if (!result.value().is_blocked()) return again();
                   core_->Pause(&backoff_, deadline_, again,
                                [fail, key] { fail(HeldForTooLong(key)); });
                 });
  }
  template <class Request>
  void SetView(Request* request) const {
    request->set_version(at_.value());
    // Where nothing is committed any more at or below the timestamp, nobody need be asked.
    request->mutable_context()->set_stale_read(core_->txn_options().follower_reads);
    request->mutable_context()->clear_resolved_locks();
    for (const Timestamp passed : passed_) {
      request->mutable_context()->add_resolved_locks(passed.value());
    }
  }
  TxnCore::Call CallOf(std::string method) const {
    return {.method = std::move(method), .effect = Where::Effect::kNone, .deadline = deadline_};
  }
  // Of a key, not a lock.
  static TxnError Unexpected(const kvrpcpb::KeyError& error) {
    if (!error.abort().empty()) return {.code = TxnCode::kRefused, .message = error.abort()};
    if (!error.retryable().empty()) {
      return {.code = TxnCode::kRolledBack, .message = error.retryable()};
    }
    return {.code = TxnCode::kInternal, .message = "a read: " + error.ShortDebugString()};
  }

  const std::shared_ptr<TxnCore> core_;
  const Timestamp at_;
  const Instant deadline_;

 private:
  std::set<Timestamp> passed_;  // Transactions whose locks hide nothing.
  Backoff backoff_;
};

class KeysRead final : public Read, public std::enable_shared_from_this<KeysRead> {
 public:
  using Found = std::map<std::string, std::string>;

  KeysRead(std::shared_ptr<TxnCore> core, Timestamp at, TxnDone<Found> done)
      : Read(std::move(core), at), done_(std::move(done)) {}

  void Run(std::vector<std::string> keys) {
    left_ = keys.size();
    if (left_ == 0) return done_(std::move(found_));
    locks_.clear();
    core_->SendAll<kvrpcpb::BatchGetResponse, kvrpcpb::BatchGetRequest>(
        CallOf("KvBatchGet"), std::move(keys),
        [self = shared_from_this()](const std::vector<std::string>& some,
                                    kvrpcpb::BatchGetRequest* request) {
          self->SetView(request);
          *request->mutable_keys() = {some.begin(), some.end()};
        },
        [self = shared_from_this()](Result<kvrpcpb::BatchGetResponse> reply,
                                    const std::vector<std::string>& some) {
          if (!reply.ok()) {
            self->error_ = ErrorOf(reply.status());
          } else {
            self->Take(std::move(reply).value());
          }
          self->left_ -= some.size();
          if (self->left_ == 0) self->OnRound();
        });
  }

 private:
  void Take(kvrpcpb::BatchGetResponse response) {
    // A store may tell of a lock for a key or for the request.
    if (response.has_error()) TakeError(response.error());
    for (kvrpcpb::KvPair& pair : *response.mutable_pairs()) {
      if (pair.has_error()) {
        TakeError(pair.error());
      } else {
        found_.insert_or_assign(std::move(*pair.mutable_key()), std::move(*pair.mutable_value()));
      }
    }
  }
  void TakeError(const kvrpcpb::KeyError& error) {
    if (error.has_locked()) {
      locks_.push_back(ToMetLock(error.locked()));
    } else {
      error_ = Unexpected(error);
    }
  }
  // All regions have answered.
  void OnRound() {
    if (error_) return done_(*std::move(error_));
    if (locks_.empty()) return done_(std::move(found_));
    std::set<std::string> again;
    for (const MetLock& lock : locks_) again.insert(lock.key);
    Await(
        locks_,
        [self = shared_from_this(), again] {
          self->Run({again.begin(), again.end()});
        },
        [self = shared_from_this()](TxnError error) { self->done_(std::move(error)); });
  }

  const TxnDone<Found> done_;
  Found found_;
  std::size_t left_ = 0;
  std::vector<MetLock> locks_;
  std::optional<TxnError> error_;
};

class PageRead final : public Read, public std::enable_shared_from_this<PageRead> {
 public:
  PageRead(std::shared_ptr<TxnCore> core, Timestamp at, Range range, std::size_t limit,
           TxnDone<Page> done)
      : Read(std::move(core), at),
        range_(std::move(range)),
        limit_(limit),
        done_(std::move(done)) {}

  void Run() {
    // The protocol's start is where a scan begins, also of one that goes down.
    const std::string& first = range_.is_reverse ? range_.to : range_.from;
    kvrpcpb::ScanRequest scan;
    scan.set_start_key(first);
    scan.set_end_key(range_.is_reverse ? range_.from : range_.to);
    scan.set_reverse(range_.is_reverse);
    scan.set_limit(static_cast<std::uint32_t>(limit_));
    TxnCore::Call call = CallOf("KvScan");
    call.below = range_.is_reverse;
    core_->Send<kvrpcpb::ScanResponse>(
        call, first, std::move(scan),
        [self = shared_from_this()](const Route&, kvrpcpb::ScanRequest* request) {
          self->SetView(request);
        },
        [self = shared_from_this()](Result<kvrpcpb::ScanResponse> reply, const Route& route) {
          if (!reply.ok()) return self->done_(ErrorOf(reply.status()));
          self->Take(std::move(reply).value(), route);
        });
  }

 private:
  void Take(kvrpcpb::ScanResponse response, const Route& route) {
    std::vector<MetLock> locks;
    std::optional<TxnError> error;
    const auto take_error = [&](const kvrpcpb::KeyError& of_key) {
      if (of_key.has_locked()) {
        locks.push_back(ToMetLock(of_key.locked()));
      } else {
        error = Unexpected(of_key);
      }
    };
    if (response.has_error()) take_error(response.error());
    Page page;
    for (kvrpcpb::KvPair& pair : *response.mutable_pairs()) {
      if (pair.has_error()) take_error(pair.error());
      page.pairs.emplace_back(std::move(*pair.mutable_key()), std::move(*pair.mutable_value()));
    }
    if (error) return done_(*std::move(error));
    if (!locks.empty()) {
      return Await(
          locks, [self = shared_from_this()] { self->Run(); },
          [self = shared_from_this()](TxnError why) { self->done_(std::move(why)); });
    }
    Result<std::optional<std::string>> next = NextOf(page, route);
    if (!next.ok()) return done_(ErrorOf(next.status()));
    page.next = std::move(next).value();
    done_(std::move(page));
  }
  // Where the rest of the range begins, or ends.
  Result<std::optional<std::string>> NextOf(const Page& page, const Route& route) const {
    const bool is_full = page.pairs.size() >= limit_;
    std::optional<std::string> next;
    if (range_.is_reverse) {
      if (is_full) next = page.pairs.back().first;
      if (!is_full) {
        RUTILE_ASSIGN_OR_RETURN(next, TxnCore::FirstKey(route));
      }
      if (next && *next <= range_.from) next.reset();
      return next;
    }
    if (is_full) next = page.pairs.back().first + '\0';
    if (!is_full) {
      RUTILE_ASSIGN_OR_RETURN(next, TxnCore::KeyBehind(route));
    }
    if (next && !range_.to.empty() && *next >= range_.to) next.reset();
    return next;
  }

  const Range range_;
  const std::size_t limit_;
  const TxnDone<Page> done_;
};

}  // namespace

void ReadKeys(const std::shared_ptr<TxnCore>& core, Timestamp at, std::vector<std::string> keys,
              TxnDone<std::map<std::string, std::string>> done) {
  std::make_shared<KeysRead>(core, at, std::move(done))->Run(std::move(keys));
}

void ReadPage(const std::shared_ptr<TxnCore>& core, Timestamp at, Range range, std::size_t limit,
              TxnDone<Page> done) {
  std::make_shared<PageRead>(core, at, std::move(range), limit, std::move(done))->Run();
}

}  // namespace rutile::client
