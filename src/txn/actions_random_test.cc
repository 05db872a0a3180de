// Clients that read, lock, prewrite, commit, die between any two steps and repeat themselves, and
// that resolve each other's locks, in two phases, asynchronously and in one phase: the history must
// be one of snapshot isolation, and what a pessimistic client was told of a key must hold until it
// commits.

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>

#include "engine/testing/engines.h"
#include "mvcc/reader.h"
#include "txn/check_secondary_locks.h"
#include "txn/check_status.h"
#include "txn/commit.h"
#include "txn/pessimistic_lock.h"
#include "txn/pessimistic_rollback.h"
#include "txn/prewrite.h"
#include "txn/resolve.h"
#include "txn/rollback.h"

namespace rutile::txn {
namespace {

using engine::testing::EngineKind;
using engine::testing::EngineUnderTest;
using engine::testing::FromEnvironment;

// After the time to live of everything.
constexpr Timestamp kMuchLater{std::uint64_t{9} << mvcc::kLogicalBits};

// One transaction, as its client sees it.
struct Client {
  enum class State : std::uint8_t { kLocking, kPrewriting, kCommitting, kDone, kFailed, kDead };
  enum class Protocol : std::uint8_t { kTwoPhases, kAsync, kOnePhase };
  State state = State::kPrewriting;
  Protocol protocol = Protocol::kTwoPhases;
  Timestamp start = {};
  Timestamp max_commit = {};
  Timestamp commit = {};
  std::vector<Mutation> mutations = {};  // The first one's key is the primary.
  std::size_t next = 0;                  // Of the mutations: to be locked, prewritten or committed.
  bool has_prewritten = true;            // A request for that may be on its way.

  // Of a pessimistic one. Some take keys with conflict, and all of those know what they hold.
  bool is_pessimistic = false;
  bool with_conflict = false;
  Timestamp for_update = {};
  std::vector<Timestamp> asked_at = {};   // By mutation: zero, or when the lock was asked for last.
  std::vector<Timestamp> locked_at = {};  // Likewise: since when nobody else may have written.

  // What the model knows. Answers count also when the client has not lived to hear them.
  bool fell_back = false;                             // To two phases.
  bool is_committed = false;                          // At `commit`, whatever becomes of anybody.
  std::map<std::size_t, Timestamp> min_commits = {};  // By mutation.

  const std::string& primary() const { return mutations.front().key; }
  PrewriteRequest PrewriteOf(std::size_t i) const {
    PrewriteRequest request = {.mutations = {mutations[i]},
                               .primary = primary(),
                               .start = start,
                               .ttl_ms = 1,
                               .use_async_commit = protocol == Protocol::kAsync,
                               .try_one_phase = protocol == Protocol::kOnePhase,
                               .max_commit = max_commit,
                               .for_update = for_update};
    if (request.try_one_phase) request.mutations = mutations;
    for (std::size_t k = 1; request.use_async_commit && k < mutations.size(); ++k) {
      request.secondaries.push_back(mutations[k].key);
    }
    return request;
  }
  PessimisticLockRequest LockOf(std::size_t i) const {
    return {.keys = {{.key = mutations[i].key}},
            .primary = primary(),
            .start = start,
            .for_update = asked_at[i],
            .ttl_ms = 1,
            .return_values = true,
            .allow_lock_with_conflict = with_conflict};
  }
  bool Locks(std::size_t i) const {
    return is_pessimistic && mutations[i].check == Mutation::Check::kLocked;
  }
};

struct Read {
  std::string key = {};
  Timestamp at = {};
  std::optional<std::string> value = {};
};

class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  void Step() {
    if (clients_.size() < 400 && random_.OneIn(16)) Begin();
    if (clients_.empty()) return;
    // Mostly young ones, so that there is contention; sometimes an old one wakes up.
    const std::size_t recent = std::min<std::size_t>(clients_.size(), 6);
    Client& client = random_.OneIn(12) ? clients_[random_.Below(clients_.size())]
                                       : clients_[clients_.size() - 1 - random_.Below(recent)];
    const std::uint64_t what = random_.Below(20);
    if (what == 0) {
      Repeat(client);
    } else if (what == 1 && IsAlive(client) && random_.OneIn(3)) {
      client.state = Client::State::kDead;
    } else if (what < 6) {
      ReadSomething();
    } else if (IsAlive(client)) {
      Advance(client);
    }
  }

  // Everything that is locked is resolved, and every read compared with the history.
  void Check() {
    is_over_ = true;
    for (int i = 0; i < kKeys; ++i) {
      while (const std::optional<mvcc::Lock> lock = LockOn(Key(i))) {
        ResolveLock(Key(i), *lock, true);
      }
    }
    CheckFirstCommitterWon();
    for (std::uint64_t at = 1; at <= now_; at += 7) {
      for (int i = 0; i < kKeys; ++i) {
        ASSERT_EQ(ValueAt(Key(i), Timestamp(at)), History(Key(i), Timestamp(at)))
            << Key(i) << " at " << at;
      }
    }
    for (const Read& read : reads_) {
      ASSERT_EQ(read.value, History(read.key, read.at))
          << read.key << " was read otherwise at " << ToString(read.at);
    }
    for (const Client::Protocol protocol :
         {Client::Protocol::kTwoPhases, Client::Protocol::kAsync, Client::Protocol::kOnePhase}) {
      EXPECT_GT(std::ranges::count_if(
                    committed_,
                    [&](const auto& one) { return clients_[one.second].protocol == protocol; }),
                8);
    }
    EXPECT_GT(committed_.size(), clients_.size() / 10);
    EXPECT_LT(committed_.size(), clients_.size());
    EXPECT_GT(reads_.size(), 100u);
    const auto is_pessimistic = [&](const auto& commit) {
      return clients_[commit.second].is_pessimistic;
    };
    EXPECT_GT(std::ranges::count_if(committed_, is_pessimistic), 30);
  }

 private:
  static constexpr int kKeys = 8;
  static std::string Key(int i) { return std::string(1, static_cast<char>('a' + i)); }
  static bool IsAlive(const Client& client) {
    return client.state == Client::State::kLocking || client.state == Client::State::kPrewriting ||
           client.state == Client::State::kCommitting;
  }
  Timestamp Tick() { return Timestamp(++now_); }

  void Begin() {
    Client client = {.protocol = static_cast<Client::Protocol>(random_.Below(3)), .start = Tick()};
    if (random_.OneIn(5)) client.max_commit = client.start.Plus(1 + random_.Below(60));
    std::set<std::string> keys;
    for (std::uint64_t left = 1 + random_.Below(3); left > 0; --left) {
      keys.insert(Key(static_cast<int>(random_.Below(kKeys))));
    }
    for (const std::string& key : keys) {
      Mutation mutation = {.key = key};
      const std::uint64_t kind = random_.Below(10);
      if (kind == 0) {
        mutation.kind = Mutation::Kind::kLock;
      } else if (kind < 3) {
        mutation.kind = Mutation::Kind::kDelete;
      } else {
        // Every value is another one; some are long.
        mutation.value = ToString(client.start) + std::string(random_.OneIn(3) ? 300 : 0, '.');
      }
      client.mutations.push_back(std::move(mutation));
    }
    std::swap(client.mutations.front(), client.mutations[random_.Below(client.mutations.size())]);
    if (random_.OneIn(2)) BecomePessimistic(client);
    by_start_.emplace(client.start, clients_.size());
    clients_.push_back(std::move(client));
  }

  void BecomePessimistic(Client& client) {
    client.state = Client::State::kLocking;
    client.has_prewritten = false;
    client.is_pessimistic = true;
    client.with_conflict = random_.OneIn(2);
    client.for_update = client.start;
    client.asked_at.resize(client.mutations.size());
    client.locked_at.resize(client.mutations.size(), client.start);
    for (std::size_t i = 0; i < client.mutations.size(); ++i) {
      // The primary key is always locked.
      const bool late = i > 0 && random_.OneIn(4);
      client.mutations[i].check = late ? Mutation::Check::kConstraint : Mutation::Check::kLocked;
    }
  }

  // A request that was sent before arrives again, or only now.
  void Repeat(Client& client) {
    const std::size_t i = random_.Below(client.mutations.size());
    if (client.Locks(i) && !client.asked_at[i].IsZero() && random_.OneIn(2)) {
      Lock(client.LockOf(i));
    } else if (client.has_prewritten) {
      SendPrewrite(client, i);
    }
  }

  PessimisticLockOutcome Lock(const PessimisticLockRequest& request) {
    max_ts_ = std::max(max_ts_, request.for_update);
    const auto snapshot = engine_->GetSnapshot();
    mvcc::Reader reader(*snapshot);
    Result<PessimisticLockOutcome> result = PessimisticLock(reader, request);
    RUTILE_CHECK(result.ok(), result.status().ToString());
    engine_.Write(result.value().outcome.changes);
    return std::move(result).value();
  }

  void LockNext(Client& client) {
    if (client.next == client.mutations.size()) {
      client.state = Client::State::kPrewriting;
      client.has_prewritten = true;
      client.next = 0;
      return;
    }
    const std::size_t i = client.next;
    if (!client.Locks(i)) {
      ++client.next;
      return;
    }
    // Each statement may begin as of now, or as of when the last one did.
    if (random_.OneIn(3)) client.for_update = Tick();
    client.asked_at[i] = client.for_update;
    const PessimisticLockOutcome result = Lock(client.LockOf(i));
    if (!result.outcome.errors.empty()) return OnLockError(client, result.outcome.errors.front());
    const LockedKey& locked = result.keys.front();
    Timestamp& at = client.locked_at[i];
    at = std::max(client.for_update, locked.locked_with_conflict_at);
    // A timestamp of the transaction, now that it has seen this.
    client.for_update = std::max(client.for_update, at);
    reads_.push_back({client.mutations[i].key, at, locked.value});
    if (client.with_conflict || random_.OneIn(2)) client.mutations[i].locked_for_update = at;
    ++client.next;
  }

  void OnLockError(Client& client, const KeyError& error) {
    if (const auto* locked = std::get_if<KeyIsLocked>(&error)) {
      ResolveLock(locked->key, locked->lock, random_.OneIn(8));
    } else if (const auto* conflict = std::get_if<WriteConflict>(&error);
               conflict != nullptr &&
               conflict->reason == WriteConflict::Reason::kPessimisticRetry) {
      client.for_update = Tick();
    } else {
      client.state = Client::State::kFailed;
    }
    // The statement fails, or the whole transaction is given up.
    if (random_.OneIn(20)) client.state = Client::State::kFailed;
    if (client.state != Client::State::kFailed) return;
    for (const Mutation& mutation : client.mutations) {
      EXPECT_TRUE(
          Run(PessimisticRollback,
              {.keys = {mutation.key}, .start = client.start, .for_update = client.for_update})
              .empty());
    }
  }

  template <class Request>
  std::vector<KeyError> Run(Result<Outcome> (*action)(mvcc::Reader&, const Request&),
                            const Request& request) {
    const auto snapshot = engine_->GetSnapshot();
    mvcc::Reader reader(*snapshot);
    Result<Outcome> outcome = action(reader, request);
    RUTILE_CHECK(outcome.ok(), outcome.status().ToString());
    engine_.Write(outcome.value().changes);
    return std::move(outcome).value().errors;
  }

  // Others may come between two requests of one of them.
  void Interleave() {
    if (is_over_ || depth_ == 3 || !random_.OneIn(3)) return;
    ++depth_;
    Step();
    --depth_;
  }

  std::vector<KeyError> SendPrewrite(Client& client, std::size_t i) {
    const auto snapshot = engine_->GetSnapshot();
    mvcc::Reader reader(*snapshot);
    // Sometimes nobody knows what was read: a leader is new.
    const std::optional<Timestamp> max_ts =
        random_.OneIn(12) ? std::nullopt : std::optional(max_ts_);
    const Result<PrewriteOutcome> result = Prewrite(reader, client.PrewriteOf(i), max_ts);
    RUTILE_CHECK(result.ok(), result.status().ToString());
    engine_.Write(result.value().outcome.changes);
    if (result.value().outcome.errors.empty()) NotePrewritten(client, i, result.value());
    return result.value().outcome.errors;
  }

  // An asynchronous commit is done with the last of its prewrites, whoever has sent it and when.
  void NotePrewritten(Client& client, std::size_t i, const PrewriteOutcome& result) {
    if (client.protocol == Client::Protocol::kTwoPhases) return;
    if (client.protocol == Client::Protocol::kOnePhase) {
      EXPECT_TRUE(result.min_commit.IsZero());
      if (!result.one_phase_commit.IsZero()) return NoteCommit(client, result.one_phase_commit);
      client.fell_back = true;
      return;
    }
    EXPECT_TRUE(result.one_phase_commit.IsZero());
    const Timestamp told = client.min_commits.try_emplace(i, result.min_commit).first->second;
    if (told != result.min_commit) {
      EXPECT_TRUE(client.is_committed);
      EXPECT_EQ(result.min_commit, client.commit);
    }
    if (result.min_commit.IsZero()) client.fell_back = true;
    if (client.fell_back || client.min_commits.size() < client.mutations.size()) return;
    Timestamp commit;
    for (const auto& [mutation, min_commit] : client.min_commits) {
      commit = std::max(commit, min_commit);
    }
    NoteCommit(client, commit);
  }

  void NoteCommit(Client& client, Timestamp commit) {
    if (client.is_committed) {
      EXPECT_EQ(client.commit, commit);
      return;
    }
    client.is_committed = true;
    client.commit = commit;
    committed_.emplace(commit, by_start_.at(client.start));
  }

  void Advance(Client& client) {
    if (client.state == Client::State::kLocking) return LockNext(client);
    if (client.state == Client::State::kCommitting) return CommitNext(client);
    const std::vector<KeyError> errors = SendPrewrite(client, client.next);
    if (errors.empty()) {
      const bool all_at_once = client.protocol == Client::Protocol::kOnePhase;
      if (++client.next < client.mutations.size() && !all_at_once) return;
      client.next = 0;
      client.state = Client::State::kCommitting;
      if (!client.is_committed) client.commit = Tick();
      if (client.is_committed && all_at_once) client.state = Client::State::kDone;
    } else if (const auto* locked = std::get_if<KeyIsLocked>(&errors.front())) {
      ResolveLock(locked->key, locked->lock, random_.OneIn(8));
    } else {
      client.state = Client::State::kFailed;
      std::vector<std::string> keys;
      for (const Mutation& mutation : client.mutations) keys.push_back(mutation.key);
      EXPECT_TRUE(Run(Rollback, {.keys = keys, .start = client.start}).empty());
    }
  }

  void CommitNext(Client& client) {
    const std::string& key = client.mutations[client.next].key;
    const std::vector<KeyError> errors =
        Run(Commit, {.keys = {key}, .start = client.start, .commit = client.commit});
    if (!errors.empty() && std::holds_alternative<CommitTooEarly>(errors.front())) {
      // What it has seen was committed at a timestamp that had not been given out yet.
      EXPECT_TRUE(client.is_pessimistic && client.next == 0);
      client.commit = Tick();
      return;
    }
    if (!errors.empty()) {
      // Somebody lost patience. That is possible only before the transaction is committed.
      EXPECT_FALSE(client.is_committed);
      EXPECT_TRUE(std::holds_alternative<LockNotFound>(errors.front()));
      client.state = Client::State::kFailed;
      return;
    }
    if (client.next == 0) NoteCommit(client, client.commit);
    if (++client.next == client.mutations.size()) client.state = Client::State::kDone;
  }

  std::optional<mvcc::Lock> LockOn(const std::string& key) {
    const auto snapshot = engine_->GetSnapshot();
    return mvcc::Reader(*snapshot).LoadLock(key).value();
  }

  StatusOutcome AskStatus(const StatusRequest& request) {
    const auto snapshot = engine_->GetSnapshot();
    mvcc::Reader reader(*snapshot);
    StatusOutcome result = CheckStatus(reader, request).value();
    engine_.Write(result.outcome.changes);
    return result;
  }

  SecondaryLocksOutcome AskSecondary(const std::string& key, Timestamp start) {
    const auto snapshot = engine_->GetSnapshot();
    mvcc::Reader reader(*snapshot);
    SecondaryLocksOutcome result =
        CheckSecondaryLocks(reader, {.keys = {key}, .start = start}).value();
    EXPECT_TRUE(result.outcome.errors.empty());
    engine_.Write(result.outcome.changes);
    return result;
  }

  // Finishes the lock's transaction on `key` as its primary key says. While that is undecided, only
  // the impatient act.
  void ResolveLock(const std::string& key, const mvcc::Lock& lock, bool impatient) {
    if (lock.kind == mvcc::Lock::Kind::kPessimistic)
      return ResolvePessimistic(key, lock, impatient);
    const StatusOutcome result = AskStatus({.primary = lock.primary,
                                            .start = lock.start,
                                            .now = impatient ? kMuchLater : Timestamp(),
                                            .rollback_if_absent = impatient});
    if (!result.outcome.errors.empty()) return;
    Interleave();
    if (!result.status.lock) {
      EndLocks({key}, lock.start, result.status.commit);
    } else if (impatient) {
      EXPECT_TRUE(result.status.lock->is_async_commit);
      if (const std::optional<Timestamp> commit = FateOfAsync(*result.status.lock)) {
        std::vector<std::string> keys = result.status.lock->secondaries;
        keys.push_back(lock.primary);
        EndLocks(std::move(keys), lock.start, *commit);
      }
    }
  }

  void ResolvePessimistic(const std::string& key, const mvcc::Lock& lock, bool impatient) {
    const StatusOutcome found = AskStatus({.primary = lock.primary,
                                           .start = lock.start,
                                           .now = impatient ? kMuchLater : Timestamp(),
                                           .rollback_if_absent = true,
                                           .must_be_primary = true,
                                           .resolving_pessimistic = random_.OneIn(2)});
    EXPECT_TRUE(found.outcome.errors.empty());
    if (!found.status.lock) {
      EndPessimistic(key, lock, found.status);
    } else if (impatient) {
      // Its transaction has gone on to commit asynchronously, and has no need of this lock, or will
      // miss it.
      EXPECT_TRUE(found.status.lock->is_async_commit);
      Run(PessimisticRollback, {.keys = {key}, .start = lock.start, .for_update = lock.for_update});
    }
  }

  void EndPessimistic(const std::string& key, const mvcc::Lock& lock,
                      const TransactionStatus& status) {
    Interleave();
    using Action = TransactionStatus::Action;
    const bool is_open =
        status.action == Action::kAbsentLeft || status.action == Action::kPessimisticExpired;
    if (is_open || random_.OneIn(2)) {
      // What stands in the way need not be the same lock any more.
      Run(PessimisticRollback, {.keys = {key}, .start = lock.start, .for_update = lock.for_update});
    } else {
      EndLocks({key}, lock.start, status.commit);
    }
  }

  // From the locks of all keys, asked for one by one. Zero: rolled back. Nothing: who asks has
  // died, or nobody knows yet.
  std::optional<Timestamp> FateOfAsync(const mvcc::Lock& primary) {
    Timestamp commit = primary.min_commit;
    for (const std::string& key : primary.secondaries) {
      const SecondaryLocksOutcome result = AskSecondary(key, primary.start);
      if (random_.OneIn(10)) return std::nullopt;
      Interleave();
      if (result.locks.empty()) return result.commit;
      const mvcc::Lock& lock = result.locks.front().lock;
      if (!lock.is_async_commit) {
        const StatusOutcome forced = AskStatus({.primary = primary.primary,
                                                .start = primary.start,
                                                .now = kMuchLater,
                                                .rollback_if_absent = true,
                                                .force_sync_commit = true});
        EXPECT_FALSE(forced.status.lock);
        return forced.status.commit;
      }
      commit = std::max(commit, lock.min_commit);
    }
    return commit;
  }

  // In any order, and perhaps not all.
  void EndLocks(std::vector<std::string> keys, Timestamp start, Timestamp commit) {
    const Client& client = clients_[by_start_.at(start)];
    EXPECT_EQ(client.is_committed, !commit.IsZero());
    if (client.is_committed) {
      EXPECT_EQ(client.commit, commit);
    }
    for (; !keys.empty(); Interleave()) {
      std::swap(keys.back(), keys[random_.Below(keys.size())]);
      EXPECT_TRUE(Run(Resolve, {.keys = {keys.back()}, .start = start, .commit = commit}).empty());
      keys.pop_back();
      if (random_.OneIn(8)) return;
    }
  }

  // Of a key that is not locked.
  static std::optional<std::string> ValueOf(const mvcc::ReadAnswer& answer) {
    const auto& found = std::get<std::optional<mvcc::Found>>(answer);
    return found ? std::optional(found->value) : std::nullopt;
  }

  void ReadSomething() {
    const std::string key = Key(static_cast<int>(random_.Below(kKeys)));
    // Now, or at some moment of the past.
    const Timestamp at = random_.OneIn(2) ? Tick() : Timestamp(1 + random_.Below(now_));
    max_ts_ = std::max(max_ts_, at);
    const auto snapshot = engine_->GetSnapshot();
    const mvcc::ReadAnswer answer = mvcc::Reader(*snapshot).Get(key, {.at = at}).value();
    if (const auto* locked = std::get_if<KeyIsLocked>(&answer)) {
      ResolveLock(key, locked->lock, random_.OneIn(4));
    } else {
      reads_.push_back({key, at, ValueOf(answer)});
    }
  }

  std::optional<std::string> ValueAt(const std::string& key, Timestamp at) {
    const auto snapshot = engine_->GetSnapshot();
    const mvcc::ReadAnswer answer = mvcc::Reader(*snapshot).Get(key, {.at = at}).value();
    return std::holds_alternative<KeyIsLocked>(answer) ? "locked" : ValueOf(answer);
  }

  // What the committed transactions alone make of a key.
  std::optional<std::string> History(const std::string& key, Timestamp at) const {
    std::optional<std::string> value;
    for (const auto& [commit, client] : committed_) {
      if (commit > at) break;
      for (const Mutation& mutation : clients_[client].mutations) {
        if (mutation.key != key || mutation.kind == Mutation::Kind::kLock) continue;
        value.reset();
        if (mutation.kind == Mutation::Kind::kPut) value = mutation.value;
      }
    }
    return value;
  }

  // Of two transactions that overlap in time and touch one key, one is not committed. One that
  // starts at the very commit of another has seen it. A pessimistic one begins, for a key that it
  // locks, with the lock's timestamp.
  void CheckFirstCommitterWon() {
    std::map<std::string, Timestamp> last;
    for (const auto& [commit, client] : committed_) {
      const Client& committed = clients_[client];
      for (std::size_t i = 0; i < committed.mutations.size(); ++i) {
        const std::string& key = committed.mutations[i].key;
        Timestamp& before = last[key];
        ASSERT_LE(before, committed.Locks(i) ? committed.locked_at[i] : committed.start) << key;
        before = commit;
      }
    }
  }

  EngineUnderTest engine_{EngineKind::kMemory};
  SeededRandom random_;
  std::uint64_t now_ = 0;
  Timestamp max_ts_ = {};  // Of all reads.
  int depth_ = 0;          // Of steps within steps.
  bool is_over_ = false;
  std::deque<Client> clients_;
  std::map<Timestamp, std::size_t> by_start_;        // Places in clients_.
  std::multimap<Timestamp, std::size_t> committed_;  // By commit; likewise.
  std::vector<Read> reads_;
};

TEST(TxnActions, HistoryIsOneOfSnapshotIsolation) {
  const std::uint64_t first = FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t seeds = 30 * FromEnvironment("RUTILE_TEST_SCALE", 1);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    SCOPED_TRACE("RUTILE_SEED=" + std::to_string(seed));
    World world(seed);
    for (int i = 0; i < 8000; ++i) world.Step();
    world.Check();
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace rutile::txn
