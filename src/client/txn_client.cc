#include "client/txn_client.h"

#include <algorithm>
#include <set>

#include "client/two_phase_commit.h"
#include "client/txn_core.h"
#include "client/txn_reads.h"

namespace rutile::client {
namespace {

constexpr std::size_t kPagePairs = 256;

TxnError Over() { return {.code = TxnCode::kRefused, .message = "the transaction is over"}; }

// A scan that goes on from page to page until it has enough.
struct Scanning {
  std::shared_ptr<TxnCore> core;
  Timestamp at;
  std::string from;
  std::string to;
  std::size_t limit = 0;
  WriteBuffer own;  // As it was when the scan began.
  std::vector<Transaction::Pair> found = {};
  TxnDone<std::vector<Transaction::Pair>> done;
};

void ScanOn(const std::shared_ptr<Scanning>& scan) {
  // Own writes may hide what is found, so that more is read than was asked for; never less.
  const std::size_t page = std::min(kPagePairs, scan->limit - scan->found.size() + 1);
  ReadPage(scan->core, scan->at, scan->from, scan->to, page, [scan](TxnResult<Page> result) {
    if (auto* error = std::get_if<TxnError>(&result)) return scan->done(std::move(*error));
    Page& read = std::get<Page>(result);
    const std::string border = read.next.value_or(scan->to);
    for (auto& pair : scan->own.Merge(std::move(read.pairs), scan->from, border)) {
      if (scan->found.size() == scan->limit) break;
      scan->found.push_back(std::move(pair));
    }
    if (!read.next || scan->found.size() == scan->limit) {
      return scan->done(std::move(scan->found));
    }
    scan->from = *std::move(read.next);
    ScanOn(scan);
  });
}

}  // namespace

TxnClient::TxnClient(const TxnClientOptions& options, Connect connect, const Clock& clock,
                     Random& random, Executor& executor)
    : core_(std::make_shared<TxnCore>(options, std::move(connect), clock, random, executor)) {}

TxnClient::~TxnClient() = default;

void TxnClient::Begin(TxnDone<std::shared_ptr<Transaction>> done) {
  const Instant began = core_->Now();
  core_->GetTimestamp(core_->NewDeadline(), [core = core_, began, done = std::move(done)](
                                                const Result<Timestamp>& start) {
    if (!start.ok()) return done(ErrorOf(start.status()));
    done(std::shared_ptr<Transaction>(new Transaction(core, start.value(), began)));
  });
}

void TxnClient::Close(std::function<void()> done) {
  core_->SetOnEnd(std::move(done));
  core_ = nullptr;
}

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
  Pairs own;
  std::set<std::string> stored;
  for (std::string& key : keys) {
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

void Transaction::Scan(std::string start, std::string end, std::size_t limit,
                       TxnDone<std::vector<Pair>> done) {
  if (is_over_) {
    return core_->executor().Post([done = std::move(done)] { done(Over()); });
  }
  if (limit == 0 || (!end.empty() && end <= start)) {
    return core_->executor().Post([done = std::move(done)] { done(std::vector<Pair>()); });
  }
  auto scan = std::make_shared<Scanning>();
  scan->core = core_;
  scan->at = start_;
  scan->from = std::move(start);
  scan->to = std::move(end);
  scan->limit = limit;
  scan->own = writes_;
  scan->done = std::move(done);
  ScanOn(scan);
}

void Transaction::LockKeys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) writes_.Lock(key);
}

void Transaction::Commit(TxnDone<Timestamp> done) {
  if (is_over_) {
    return core_->executor().Post([done = std::move(done)] { done(Over()); });
  }
  is_over_ = true;
  if (writes_.empty()) {
    return core_->executor().Post([start = start_, done = std::move(done)] { done(start); });
  }
  CommitInTwoPhases(core_, start_, began_, writes_.writes(), std::move(done));
  writes_.Clear();
}

void Transaction::Rollback() {
  is_over_ = true;
  writes_.Clear();
}

}  // namespace rutile::client
