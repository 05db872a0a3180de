#include "client/txn_client.h"

#include <algorithm>
#include <set>

#include "client/held_locks.h"
#include "client/txn_commit.h"
#include "client/txn_core.h"
#include "client/txn_reads.h"

namespace rutile::client {
namespace {

constexpr std::size_t kPagePairs = 256;

TxnError Over() { return {.code = TxnCode::kRefused, .message = "the transaction is over"}; }

using Pairs = Transaction::Pairs;
using PairList = std::vector<Transaction::Pair>;

// Keys as users have them; false: some are not of this client's keyspace.
bool MakeUsers(const KeyForm& form, Pairs* pairs) {
  Pairs made;
  for (auto& [key, value] : *pairs) {
    if (!form.IsOurs(key)) return false;
    made.emplace_hint(made.end(), form.ToUser(key), std::move(value));
  }
  *pairs = std::move(made);
  return true;
}
bool MakeUsers(const KeyForm& form, PairList* pairs) {
  for (auto& [key, value] : *pairs) {
    if (!form.IsOurs(key)) return false;
    key = form.ToUser(key);
  }
  return true;
}
bool MakeUsers(const KeyForm& /*form*/, Timestamp* /*commit*/) { return true; }

// `done` with keys as its user has them.
template <class T>
TxnDone<T> ForUser(const KeyForm& form, TxnDone<T> done) {
  if (form.is_plain()) return done;
  return [form, done = std::move(done)](TxnResult<T> result) {
    if (auto* error = std::get_if<TxnError>(&result)) {
      if (form.IsOurs(error->key)) error->key = form.ToUser(error->key);
    } else if (!MakeUsers(form, &std::get<T>(result))) {
      return done(TxnError{.code = TxnCode::kInternal,
                           .message = "a store answered with a key of another keyspace"});
    }
    done(std::move(result));
  };
}

std::vector<std::string> Sent(const KeyForm& form, std::vector<std::string> keys) {
  for (std::string& key : keys) key = form.ToSent(key);
  return keys;
}

// A scan that goes on from page to page until it has enough.
struct Scanning {
  std::shared_ptr<TxnCore> core;
  Timestamp at;
  std::string from;  // What is left of the range.
  std::string to;
  bool is_reverse = false;
  std::size_t limit = 0;
  WriteBuffer own;  // As it was when the scan began.
  std::vector<Transaction::Pair> found = {};
  TxnDone<std::vector<Transaction::Pair>> done;
};

// The pairs of a page, in the order of the scan, with own writes.
std::vector<Transaction::Pair> MergeOwn(const Scanning& scan, Page page) {
  if (!scan.is_reverse) {
    return scan.own.Merge(std::move(page.pairs), scan.from, page.next.value_or(scan.to));
  }
  std::ranges::reverse(page.pairs);
  auto merged = scan.own.Merge(std::move(page.pairs), page.next.value_or(scan.from), scan.to);
  std::ranges::reverse(merged);
  return merged;
}

void ScanOn(const std::shared_ptr<Scanning>& scan) {
  // Own writes may hide what is found, so that more is read than was asked for; never less.
  const std::size_t page = std::min(kPagePairs, scan->limit - scan->found.size() + 1);
  const Range range = {.from = scan->from, .to = scan->to, .is_reverse = scan->is_reverse};
  ReadPage(scan->core, scan->at, range, page, [scan](TxnResult<Page> result) {
    if (auto* error = std::get_if<TxnError>(&result)) return scan->done(std::move(*error));
    Page& read = std::get<Page>(result);
    const std::optional<std::string> next = read.next;
    for (auto& pair : MergeOwn(*scan, std::move(read))) {
      if (scan->found.size() == scan->limit) break;
      scan->found.push_back(std::move(pair));
    }
    if (!next || scan->found.size() == scan->limit) return scan->done(std::move(scan->found));
    (scan->is_reverse ? scan->to : scan->from) = *next;
    ScanOn(scan);
  });
}

}  // namespace

TxnClient::TxnClient(const TxnClientOptions& options, Connect connect, const Clock& clock,
                     Random& random, Executor& executor)
    : core_(std::make_shared<TxnCore>(options, std::move(connect), clock, random, executor)) {}

TxnClient::~TxnClient() = default;

void TxnClient::Begin(const TransactionOptions& options,
                      TxnDone<std::shared_ptr<Transaction>> done) {
  const Instant began = core_->Now();
  core_->GetTimestamp(core_->NewDeadline(), [core = core_, options, began, done = std::move(done)](
                                                const Result<Timestamp>& start) {
    if (!start.ok()) return done(ErrorOf(start.status()));
    done(std::shared_ptr<Transaction>(new Transaction(core, options, start.value(), began)));
  });
}

void TxnClient::Close(std::function<void()> done) {
  core_->SetOnEnd(std::move(done));
  core_ = nullptr;
}

Transaction::Transaction(std::shared_ptr<TxnCore> core, const TransactionOptions& options,
                         Timestamp start, Instant began)
    : core_(std::move(core)),
      options_(options),
      start_(start),
      began_(began),
      held_(options.is_pessimistic ? std::make_shared<HeldLocks>(core_, start, began) : nullptr) {}

Transaction::~Transaction() { Rollback(); }

Timestamp Transaction::for_update() const { return held_->for_update(); }

void Transaction::Get(const std::string& key, TxnDone<std::optional<std::string>> done) {
  BatchGet({key}, [key, done = std::move(done)](TxnResult<Pairs> result) {
    if (auto* error = std::get_if<TxnError>(&result)) return done(std::move(*error));
    auto& pairs = std::get<Pairs>(result);
    const auto found = pairs.find(key);
    if (found == pairs.end()) return done(std::optional<std::string>());
    done(std::optional(std::move(found->second)));
  });
}

void Transaction::BatchGet(std::vector<std::string> keys, TxnDone<Pairs> done) {
  if (is_over_) {
    return core_->executor().Post([done = std::move(done)] { done(Over()); });
  }
  done = ForUser(core_->form(), std::move(done));
  Pairs own;
  std::set<std::string> stored;
  for (std::string& key : Sent(core_->form(), std::move(keys))) {
    WriteBuffer::Own value = writes_.Find(key);
    if (!value) {
      stored.insert(std::move(key));
    } else if (*value) {
      own[std::move(key)] = **std::move(value);
    }
  }
  if (stored.empty()) {
    return core_->executor().Post([own = std::move(own), done = std::move(done)] { done(own); });
  }
  ReadKeys(core_, start_, {stored.begin(), stored.end()},
           [own = std::move(own), done = std::move(done)](TxnResult<Pairs> result) {
             if (auto* found = std::get_if<Pairs>(&result)) found->insert(own.begin(), own.end());
             done(std::move(result));
           });
}

void Transaction::Scan(const std::string& start, const std::string& end, std::size_t limit,
                       TxnDone<std::vector<Pair>> done) {
  StartScan(start, end, limit, /*is_reverse=*/false, std::move(done));
}

void Transaction::ReverseScan(const std::string& start, const std::string& end, std::size_t limit,
                              TxnDone<std::vector<Pair>> done) {
  StartScan(start, end, limit, /*is_reverse=*/true, std::move(done));
}

void Transaction::StartScan(const std::string& start, const std::string& end, std::size_t limit,
                            bool is_reverse, TxnDone<std::vector<Pair>> done) {
  if (is_over_) {
    return core_->executor().Post([done = std::move(done)] { done(Over()); });
  }
  if (limit == 0 || (!end.empty() && end <= start)) {
    return core_->executor().Post([done = std::move(done)] { done(std::vector<Pair>()); });
  }
  auto scan = std::make_shared<Scanning>();
  scan->core = core_;
  scan->at = start_;
  scan->from = core_->form().ToSent(start);
  scan->to = core_->form().ToSentEnd(end);
  scan->is_reverse = is_reverse;
  scan->limit = limit;
  scan->own = writes_;
  scan->done = ForUser(core_->form(), std::move(done));
  ScanOn(scan);
}

void Transaction::Put(const std::string& key, std::string value) {
  writes_.Put(core_->form().ToSent(key), std::move(value));
}

void Transaction::Insert(const std::string& key, std::string value) {
  writes_.Insert(core_->form().ToSent(key), std::move(value));
}

void Transaction::Delete(const std::string& key) { writes_.Delete(core_->form().ToSent(key)); }

void Transaction::LockKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : Sent(core_->form(), keys)) writes_.Lock(key);
}

void Transaction::Lock(const std::vector<std::string>& keys, const LockOptions& options,
                       TxnDone<Pairs> done) {
  std::optional<TxnError> refused;
  if (is_over_) refused = Over();
  if (!is_pessimistic()) {
    refused = {.code = TxnCode::kRefused, .message = "only a pessimistic transaction locks keys"};
  }
  const std::vector<std::string> sent = Sent(core_->form(), keys);
  core_->executor().Post([held = held_, keys = std::set<std::string>(sent.begin(), sent.end()),
                          options, refused, done = ForUser(core_->form(), std::move(done))] {
    if (refused) return done(*refused);
    held->Lock(keys, options, done);
  });
}

void Transaction::Commit(TxnDone<Timestamp> done) {
  if (is_over_) {
    return core_->executor().Post([done = std::move(done)] { done(Over()); });
  }
  is_over_ = true;
  core_->executor().Post([core = core_, held = held_,
                          done = ForUser(core_->form(), std::move(done)),
                          commitment = Commitment{.start = start_,
                                                  .began = began_,
                                                  .options = options_,
                                                  .writes = writes_.writes(),
                                                  .held = held_}]() mutable {
    if (held != nullptr) {
      auto writes = PrepareWrites(std::move(commitment.writes), held->values());
      if (auto* error = std::get_if<TxnError>(&writes)) {
        held->RollBack();
        return done(std::move(*error));
      }
      commitment.writes = std::get<0>(std::move(writes));
    }
    if (commitment.writes.empty()) return done(commitment.start);
    CommitTransaction(core, std::move(commitment), std::move(done));
  });
  writes_.Clear();
}

void Transaction::Rollback() {
  if (std::exchange(is_over_, true)) return;
  writes_.Clear();
  if (held_ != nullptr) core_->executor().Post([held = held_] { held->RollBack(); });
}

}  // namespace rutile::client
