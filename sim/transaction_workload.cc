#include "sim/transaction_workload.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <set>
#include <utility>
#include <variant>

#include "base/probe.h"
#include "sim/transaction_records.h"

namespace rutile::sim {
namespace {

using client::TxnCode;
using client::TxnError;
using client::TxnResult;
using Fate = TransactionRecord::Fate;
using WriteKind = TransactionRecord::Write::Kind;
using Pairs = client::Transaction::Pairs;

constexpr std::int64_t kFirstBalance = 100;
constexpr Duration kCalmTimeout = Seconds(5);
constexpr Duration kCalmTtl = Seconds(10);
constexpr std::size_t kLongBytes = 300;  // Not kept in the write record.
const std::string kAccountPrefix = std::string(kTransactionPrefix) + "account-";
const std::string kListPrefix = std::string(kTransactionPrefix) + "list-";
const std::string kKeyPrefix = std::string(kTransactionPrefix) + "key-";

// An account's value is its balance and what makes it unique.
std::int64_t BalanceOf(const Pairs& pairs, const std::string& key) {
  const auto found = pairs.find(key);
  if (found == pairs.end()) return kFirstBalance;
  std::int64_t balance = 0;
  std::from_chars(found->second.data(), found->second.data() + found->second.size(), balance);
  return balance;
}

// The exclusive end of all keys that begin so.
std::string EndOf(std::string prefix) {
  ++prefix.back();
  return prefix;
}

}  // namespace

// One incarnation of a client, from its beginning to its death.
struct TransactionWorkload::Life {
  std::function<void()> die = {};
  // How many calls it will yet make; nothing: it does not die.
  std::optional<std::uint64_t> calls_left = {};
  bool last_call_leaves = false;
  bool is_dead = false;
};

// The calls of one client. After its death none leaves, and none is answered.
class TransactionWorkload::MortalChannel final : public client::Channel {
 public:
  MortalChannel(std::unique_ptr<Channel> channel, std::shared_ptr<Life> life)
      : channel_(std::move(channel)), life_(std::move(life)) {}

  void Call(std::string method, std::string request, Duration timeout, Callback done) override {
    if (life_->is_dead) return;
    if (life_->calls_left && (*life_->calls_left)-- == 0) {
      life_->is_dead = true;
      life_->die();
      if (!life_->last_call_leaves) return;
    }
    channel_->Call(std::move(method), std::move(request), timeout,
                   [life = life_, done = std::move(done)](Status status, std::string response) {
                     if (!life->is_dead) done(std::move(status), std::move(response));
                   });
  }

 private:
  const std::unique_ptr<Channel> channel_;
  const std::shared_ptr<Life> life_;
};

struct TransactionWorkload::Client {
  std::size_t index = 0;
  SeededRandom random;  // Of the library.
  std::shared_ptr<Life> life = {};
  std::unique_ptr<client::TxnClient> library = {};
  bool is_calm = false;
  bool is_busy = false;  // With a transaction, which is this:
  bool is_committing = false;
  TransactionRecord record = {};
};

TransactionWorkload::TransactionWorkload(World& world, Cluster& cluster, const Options& options)
    : world_(world),
      options_(options),
      random_(world.NewRandom()),
      network_(world, cluster, options.max_one_way) {
  for (std::size_t i = 0; i < options_.clients; ++i) {
    clients_.push_back(
        std::make_unique<Client>(Client{.index = i, .random = SeededRandom(random_.Next())}));
    BringToLife(*clients_.back());
  }
}

TransactionWorkload::~TransactionWorkload() = default;

Duration TransactionWorkload::Draw(Duration max) {
  return Duration(
      static_cast<Duration::rep>(random_.Below(static_cast<std::uint64_t>(max.count()) + 1)));
}

template <class F>
auto TransactionWorkload::Alive(Client& client, F f) {
  return [life = client.life, f = std::move(f)](auto result) {
    if (!life->is_dead) f(std::move(result));
  };
}

// --- Life and death.

void TransactionWorkload::BringToLife(Client& client) {
  // What the one before has still to do in the background is no matter of life and death any more.
  if (client.life != nullptr) client.life->calls_left.reset();
  client.life = std::make_shared<Life>();
  // Not from within the call by which it dies.
  client.life->die = [this, &client] {
    world_.After(Duration(0), [this, &client] { OnDeath(client); });
  };
  client.is_calm = is_calm_;
  const Duration timeout = is_calm_ ? kCalmTimeout : options_.timeout;
  const client::Connect connect = network_.Connector([](StoreId) {});
  client.library = std::make_unique<client::TxnClient>(
      client::TxnClientOptions{.endpoints = network_.Endpoints(client.index),
                               .timeout = 5 * timeout,
                               .attempt_timeout = timeout,
                               .lock_ttl = is_calm_ ? kCalmTtl : options_.lock_ttl,
                               .batch_keys = options_.batch_keys,
                               .async_keys = options_.async_keys,
                               .commit_window = options_.commit_window,
                               .readers_pass = options_.readers_pass,
                               .follower_reads = options_.follower_reads},
      [connect, life = client.life](const std::string& address) {
        return std::make_unique<MortalChannel>(connect(address), life);
      },
      network_.clock(), client.random, network_.executor());
}

void TransactionWorkload::OnDeath(Client& client) {
  ++counts_.died;
  RUTILE_SOMETIMES(client.is_committing, "sim: a client dies while it commits");
  RUTILE_SOMETIMES(!client.is_busy, "sim: a client dies after it has committed");
  RUTILE_SOMETIMES(!client.is_committing && !client.record.locks.empty(),
                   "sim: a client dies while it has locked keys");
  if (client.is_busy) {
    // Before its commit nothing of it was sent.
    if (!client.is_committing) client.record.writes.clear();
    client.record.fate = client.is_committing ? Fate::kUnknown : Fate::kFailed;
    history_.push_back(std::exchange(client.record, {}));
    --under_way_;
  }
  client.is_busy = client.is_committing = false;
  BringToLife(client);
  Idle(client);
}

void TransactionWorkload::Start() {
  stopped_ = false;
  for (const auto& client : clients_) Idle(*client);
}

void TransactionWorkload::Idle(Client& client) {
  world_.After(Draw(options_.max_think), [this, &client, life = client.life] {
    if (!stopped_ && !life->is_dead) Begin(client);
  });
}

void TransactionWorkload::Finish(Client& client, Fate fate) {
  client.record.fate = fate;
  client.record.returned = world_.Now();
  history_.push_back(std::exchange(client.record, {}));
  client.is_busy = client.is_committing = false;
  --under_way_;
  switch (fate) {
    case Fate::kCommitted: ++counts_.committed; break;
    case Fate::kFailed: ++counts_.failed; break;
    case Fate::kUnknown: ++counts_.undetermined; break;
  }
  Idle(client);
}

void TransactionWorkload::OnError(Client& client, const TxnError& error) {
  const bool is_expected = error.code != TxnCode::kRefused && error.code != TxnCode::kInternal;
  if (!is_expected) {
    problems_.push_back(ToString(client.record) + " failed: " + client::ToString(error));
  }
  if (error.code == TxnCode::kAlreadyExists) client.record.existing = error.key;
  Finish(client, error.code == TxnCode::kUndetermined ? Fate::kUnknown : Fate::kFailed);
}

// --- Transactions.

void TransactionWorkload::Begin(Client& client) {
  if (is_calm_ && !client.is_calm) BringToLife(client);
  ++under_way_;
  client.is_busy = true;
  const client::TransactionOptions protocol = DrawProtocol();
  client.record = {.client = client.index,
                   .is_early = protocol.use_async_commit || protocol.try_one_phase,
                   .invoked = world_.Now()};
  client.library->Begin(protocol, Alive(client, [this, &client](TxnResult<Transaction> begun) {
                          if (const auto* error = std::get_if<TxnError>(&begun))
                            return OnError(client, *error);
                          const Transaction& transaction = std::get<Transaction>(begun);
                          client.record.start = transaction->start().value();
                          if (transaction->is_pessimistic()) DrawDeath(client, 12);
                          Run(client, transaction);
                        }));
}

client::TransactionOptions TransactionWorkload::DrawProtocol() {
  return {.is_pessimistic = random_.Below(100) < options_.pessimistic_percent,
          .use_async_commit = random_.Below(100) < options_.async_percent,
          .try_one_phase = random_.Below(100) < options_.one_phase_percent};
}

// Whether the client dies within so many calls from now on.
void TransactionWorkload::DrawDeath(Client& client, std::uint64_t calls) {
  const bool is_mortal = !is_calm_ && !client.life->calls_left;
  if (!is_mortal || random_.Below(100) >= options_.death_percent) return;
  client.life->calls_left = random_.Below(calls);
  client.life->last_call_leaves = random_.OneIn(2);
}

void TransactionWorkload::Run(Client& client, const Transaction& transaction) {
  const std::uint64_t what = random_.Below(12);
  if (what < 3) return Transfer(client, transaction);
  if (what < 5) return Sum(client, transaction, /*by_scan=*/what == 4);
  if (what < 7) return Append(client, transaction);
  if (what < 9) return WriteOneOfTwo(client, transaction);
  if (transaction->is_pessimistic()) return LockAndWrite(client, transaction);
  ReadAndWrite(client, transaction);
}

template <class Then>
void TransactionWorkload::Read(Client& client, const Transaction& transaction,
                               const std::vector<std::string>& keys, Then then) {
  transaction->BatchGet(
      keys, Alive(client, [this, &client, keys, then](TxnResult<Pairs> result) {
        if (const auto* error = std::get_if<TxnError>(&result)) return OnError(client, *error);
        const Pairs& pairs = std::get<Pairs>(result);
        for (const std::string& key : keys) {
          const auto found = pairs.find(key);
          client.record.reads.push_back(
              {.key = key,
               .seen = found == pairs.end() ? std::nullopt : std::optional(found->second)});
        }
        then(pairs);
      }));
}

template <class Then>
void TransactionWorkload::Scan(Client& client, const Transaction& transaction,
                               const std::string& prefix, Then then) {
  using Found = std::vector<client::Transaction::Pair>;
  const bool is_reverse = random_.OneIn(2);
  auto done = Alive(client, [this, &client, prefix, is_reverse, then](TxnResult<Found> result) {
    if (const auto* error = std::get_if<TxnError>(&result)) return OnError(client, *error);
    Found& found = std::get<Found>(result);
    if (is_reverse) std::ranges::reverse(found);
    const Pairs pairs(found.begin(), found.end());
    const auto is_wrong = [](const auto& a, const auto& b) { return a.first >= b.first; };
    if (std::ranges::adjacent_find(found, is_wrong) != found.end()) {
      problems_.push_back(ToString(client.record) + " scans keys that are not in order");
    }
    client.record.scans.push_back({.from = prefix, .to = EndOf(prefix), .seen = pairs});
    then(pairs);
  });
  constexpr std::size_t kLimit = 1000;
  if (is_reverse) return transaction->ReverseScan(prefix, EndOf(prefix), kLimit, std::move(done));
  transaction->Scan(prefix, EndOf(prefix), kLimit, std::move(done));
}

template <class Then>
void TransactionWorkload::ReadForUpdate(Client& client, const Transaction& transaction,
                                        std::vector<std::string> keys, Then then) {
  if (!transaction->is_pessimistic()) return Read(client, transaction, keys, then);
  // In any order: who takes them in another one closes a circle.
  if (random_.OneIn(2)) std::ranges::reverse(keys);
  Lock(client, transaction, std::move(keys), {}, then);
}

// `found` is what was locked before.
template <class Then>
void TransactionWorkload::Lock(Client& client, const Transaction& transaction,
                               std::vector<std::string> keys, Pairs found, Then then) {
  if (keys.empty()) return then(found);
  std::vector<std::string> now = std::exchange(keys, {});
  if (random_.OneIn(2)) {
    keys.assign(now.begin() + 1, now.end());
    now.resize(1);
  }
  client::LockOptions options;
  if (random_.OneIn(8)) options.wait = Duration();
  transaction->Lock(now, options,
                    Alive(client, [this, &client, transaction, now, keys = std::move(keys),
                                   found = std::move(found), then](TxnResult<Pairs> result) {
                      if (const auto* error = std::get_if<TxnError>(&result))
                        return OnError(client, *error);
                      Pairs& pairs = std::get<Pairs>(result);
                      TransactionRecord& record = client.record;
                      if (record.primary.empty()) record.primary = *std::ranges::min_element(now);
                      for (const std::string& key : now) {
                        const auto one = pairs.find(key);
                        TransactionRecord::Lock& lock = record.locks[key];
                        lock.at = transaction->for_update().value();
                        if (one != pairs.end()) lock.seen = one->second;
                      }
                      pairs.insert(found.begin(), found.end());
                      Lock(client, transaction, keys, std::move(pairs), then);
                    }));
}

std::vector<std::string> TransactionWorkload::Accounts() const {
  std::vector<std::string> accounts;
  for (std::size_t i = 0; i < options_.accounts; ++i) {
    accounts.push_back(kAccountPrefix + std::to_string(i));
  }
  return accounts;
}

std::string TransactionWorkload::RandomKey() {
  return kKeyPrefix + std::to_string(random_.Below(options_.keys));
}

std::set<std::string> TransactionWorkload::RandomKeys(std::uint64_t most) {
  std::set<std::string> keys;
  for (std::uint64_t i = random_.Below(most + 1); i > 0; --i) keys.insert(RandomKey());
  return keys;
}

std::string TransactionWorkload::NewValue(const std::string& what) {
  std::string value = what + "/" + std::to_string(next_value_++);
  if (random_.Below(100) < options_.long_value_percent) value.resize(kLongBytes, '.');
  return value;
}

void TransactionWorkload::Transfer(Client& client, const Transaction& transaction) {
  const std::vector<std::string> accounts = Accounts();
  const std::size_t from = random_.Below(accounts.size());
  const std::size_t to = (from + 1 + random_.Below(accounts.size() - 1)) % accounts.size();
  ReadForUpdate(client, transaction, {accounts[from], accounts[to]},
                [this, &client, transaction, debtor = accounts[from],
                 creditor = accounts[to]](const Pairs& pairs) {
                  const auto amount = static_cast<std::int64_t>(1 + random_.Below(20));
                  const auto put = [&](const std::string& key, std::int64_t balance) {
                    Put(client, transaction, key, NewValue(std::to_string(balance)));
                  };
                  put(debtor, BalanceOf(pairs, debtor) - amount);
                  put(creditor, BalanceOf(pairs, creditor) + amount);
                  Commit(client, transaction);
                });
}

// The same element to one list or several, after all of them were read. Who misses an element
// overwrites it.
void TransactionWorkload::Append(Client& client, const Transaction& transaction) {
  constexpr std::size_t kLongest = 200;
  std::vector<std::string> lists;
  for (std::size_t i = 0; i < options_.lists; ++i) lists.push_back(kListPrefix + std::to_string(i));
  ReadForUpdate(client, transaction, lists,
                [this, &client, transaction, lists](const Pairs& pairs) {
                  const std::string element = std::to_string(next_value_++);
                  const std::size_t first = random_.Below(lists.size());
                  for (std::size_t i = first; i < lists.size(); ++i) {
                    const auto list = pairs.find(lists[i]);
                    std::string value = list == pairs.end() ? "" : list->second + ",";
                    if (value.size() > kLongest) value.clear();
                    Put(client, transaction, lists[i], value + element);
                  }
                  Commit(client, transaction);
                });
}

// Two that do this may both be committed (write skew), and readers must agree on who came first
// (or it were a long fork).
void TransactionWorkload::WriteOneOfTwo(Client& client, const Transaction& transaction) {
  const std::vector<std::string> both = {RandomKey(), RandomKey()};
  Read(client, transaction, {both.begin(), both[0] == both[1] ? both.begin() + 1 : both.end()},
       [this, &client, transaction, key = both[0]](const Pairs&) {
         if (random_.OneIn(3)) return Commit(client, transaction);
         ReadForUpdate(client, transaction, {key}, [this, &client, transaction, key](const Pairs&) {
           Put(client, transaction, key, NewValue("one"));
           Commit(client, transaction);
         });
       });
}

void TransactionWorkload::Sum(Client& client, const Transaction& transaction, bool by_scan) {
  const auto check = [this, &client, transaction](const Pairs& pairs) {
    CheckSum(client.record, pairs);
    Commit(client, transaction);
  };
  if (by_scan) return Scan(client, transaction, kAccountPrefix, check);
  Read(client, transaction, Accounts(), check);
}

void TransactionWorkload::CheckSum(const TransactionRecord& record, const Pairs& pairs) {
  std::int64_t sum = 0;
  for (const std::string& account : Accounts()) sum += BalanceOf(pairs, account);
  const auto expected = kFirstBalance * static_cast<std::int64_t>(options_.accounts);
  if (sum == expected) return;
  problems_.push_back(ToString(record) + " sees " + std::to_string(sum) +
                      " in all accounts together instead of " + std::to_string(expected));
}

void TransactionWorkload::ReadAndWrite(Client& client, const Transaction& transaction) {
  const auto write = [this, &client, transaction](const Pairs&) { Write(client, transaction); };
  if (random_.OneIn(4)) return Scan(client, transaction, kKeyPrefix, write);
  const std::set<std::string> keys = RandomKeys(3);
  Read(client, transaction, {keys.begin(), keys.end()}, write);
}

// Locks some keys and writes some, which need not be the same.
void TransactionWorkload::LockAndWrite(Client& client, const Transaction& transaction) {
  const std::set<std::string> keys = RandomKeys(3);
  ReadForUpdate(client, transaction, {keys.begin(), keys.end()},
                [this, &client, transaction](const Pairs&) { ReadAndWrite(client, transaction); });
}

void TransactionWorkload::Put(Client& client, const Transaction& transaction,
                              const std::string& key, std::string value) {
  client.record.writes[key] = {.value = value};
  transaction->Put(key, std::move(value));
}

void TransactionWorkload::Write(Client& client, const Transaction& transaction) {
  for (std::uint64_t i = 1 + random_.Below(4); i > 0; --i) {
    const std::string key = RandomKey();
    if (client.record.writes.contains(key)) continue;
    TransactionRecord::Write write;
    const std::uint64_t what = random_.Below(10);
    if (what < 6) {
      write = {.value = NewValue("put")};
      transaction->Put(key, write.value);
    } else if (what < 8) {
      write.kind = WriteKind::kDelete;
      transaction->Delete(key);
    } else if (what < 9) {
      write = {.kind = WriteKind::kInsert, .value = NewValue("insert")};
      transaction->Insert(key, write.value);
    } else {
      write.kind = WriteKind::kLock;
      transaction->LockKeys({key});
    }
    client.record.writes.emplace(key, std::move(write));
  }
  if (random_.OneIn(4)) return ReadOwnWrite(client, transaction);
  Commit(client, transaction);
}

void TransactionWorkload::ReadOwnWrite(Client& client, const Transaction& transaction) {
  const auto& [key, write] = *client.record.writes.begin();
  if (write.kind == WriteKind::kLock) return Commit(client, transaction);
  std::optional<std::string> own;
  if (write.kind != WriteKind::kDelete) own = write.value;
  transaction->Get(key, Alive(client, [this, &client, transaction,
                                       own](const TxnResult<std::optional<std::string>>& result) {
                     if (const auto* error = std::get_if<TxnError>(&result))
                       return OnError(client, *error);
                     if (std::get<std::optional<std::string>>(result) != own) {
                       problems_.push_back(ToString(client.record) + " does not see what it wrote");
                     }
                     Commit(client, transaction);
                   }));
}

void TransactionWorkload::Commit(Client& client, const Transaction& transaction) {
  client.is_committing = true;
  client.record.committing = world_.Now();
  // What is locked and not written is committed as a lock.
  for (const auto& [key, lock] : client.record.locks) {
    client.record.writes.try_emplace(key, TransactionRecord::Write{.kind = WriteKind::kLock});
  }
  // During this commit or soon after it.
  DrawDeath(client, 2 * client.record.writes.size() + 4);
  transaction->Commit(Alive(client, [this, &client](const TxnResult<client::Timestamp>& result) {
    if (const auto* error = std::get_if<TxnError>(&result)) return OnError(client, *error);
    client.record.commit = std::get<client::Timestamp>(result).value();
    Finish(client, Fate::kCommitted);
  }));
}

}  // namespace rutile::sim
