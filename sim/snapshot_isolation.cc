#include "sim/snapshot_isolation.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

namespace rutile::sim {
namespace {

using Fate = TransactionRecord::Fate;
using WriteKind = TransactionRecord::Write::Kind;
using Version = StoredTransactions::Version;

std::string Short(const std::string& value) { return value.substr(0, 24); }
std::string Text(const std::optional<std::string>& value) {
  return value ? "'" + Short(*value) + "'" : "nothing";
}

// Judges a history.
class Judge {
 public:
  Judge(const std::vector<TransactionRecord>& history, const StoredTransactions& stored)
      : history_(history), stored_(stored) {}

  std::vector<std::string> Run() {
    for (const TransactionRecord& transaction : history_) Decide(transaction);
    CheckTimestamps();
    CheckStored();
    CheckConflicts();
    for (const TransactionRecord& transaction : history_) CheckReads(transaction);
    CheckRealTime();
    return std::move(problems_);
  }

 private:
  struct Committed {
    const TransactionRecord* transaction = nullptr;
    std::uint64_t commit = 0;
  };
  struct Change {
    std::uint64_t start = 0;
    std::optional<std::string> value = {};
  };

  void Problem(std::string what) { problems_.push_back("transactions: " + std::move(what)); }

  const Version* Find(const std::string& key, std::uint64_t start) const {
    const auto found = stored_.keys.find(key);
    if (found == stored_.keys.end()) return nullptr;
    for (const Version& version : found->second.versions) {
      if (version.start == start) return &version;
    }
    return nullptr;
  }

  // What says that a transaction is committed of which its client does not know.
  const Version* FindDecision(const TransactionRecord& transaction) const {
    const Version* const primary = Find(transaction.primary_key(), transaction.start);
    if (primary != nullptr || !transaction.is_early) return primary;
    // Any key of it tells. If there are locks only, nobody has seen whose they are.
    for (const auto& [key, write] : transaction.writes) {
      const Version* const other = Find(key, transaction.start);
      if (other != nullptr) return other;
    }
    return nullptr;
  }

  // Whether it is committed, and when: by its client, or by its primary key.
  void Decide(const TransactionRecord& transaction) {
    if (transaction.writes.empty() || transaction.fate == Fate::kFailed) return;
    std::uint64_t commit = transaction.commit;
    if (transaction.fate == Fate::kUnknown) {
      const Version* const decided = FindDecision(transaction);
      if (decided == nullptr) return;
      commit = decided->commit;
    }
    if (commit <= transaction.start) Problem(ToString(transaction) + " commits before its start");
    committed_[transaction.start] = {.transaction = &transaction, .commit = commit};
    for (const auto& [key, write] : transaction.writes) {
      const auto [place, is_new] = writers_[key].try_emplace(commit, &transaction);
      if (!is_new) {
        Problem(ToString(transaction) + " and " + ToString(*place->second) +
                " are both committed at " + std::to_string(commit) + " and write " + key);
      }
      if (write.kind == WriteKind::kLock) continue;
      Change& change = changes_[key][commit];
      change.start = transaction.start;
      if (write.kind != WriteKind::kDelete) change.value = write.value;
    }
  }

  void CheckTimestamps() {
    std::map<std::uint64_t, const TransactionRecord*> users;
    const auto use = [&](std::uint64_t timestamp, const TransactionRecord& transaction) {
      if (timestamp == 0 || users.try_emplace(timestamp, &transaction).second) return;
      Problem("timestamp " + std::to_string(timestamp) + " is used twice, by " +
              ToString(transaction) + " and " + ToString(*users[timestamp]));
    };
    for (const TransactionRecord& transaction : history_) use(transaction.start, transaction);
    for (const auto& [start, committed] : committed_) {
      if (!committed.transaction->is_early) use(committed.commit, *committed.transaction);
    }
  }

  void CheckStored() {
    for (const auto& [start, committed] : committed_) {
      const TransactionRecord& transaction = *committed.transaction;
      for (const auto& [key, write] : transaction.writes) {
        CheckKey(transaction, committed.commit, key, write);
      }
    }
    for (const auto& [key, stored] : stored_.keys) {
      for (const Version& version : stored.versions) {
        const auto writer = committed_.find(version.start);
        if (writer != committed_.end() && writer->second.transaction->writes.contains(key)) {
          continue;
        }
        Problem("key " + key + " has a version of " + std::to_string(version.start) + " at " +
                std::to_string(version.commit) + ", and no such transaction is committed" +
                Explain(version.start));
      }
    }
  }
  std::string Explain(std::uint64_t start) const {
    for (const TransactionRecord& transaction : history_) {
      if (transaction.start == start) return ": " + ToString(transaction);
    }
    return "";
  }

  void CheckKey(const TransactionRecord& transaction, std::uint64_t commit, const std::string& key,
                const TransactionRecord::Write& write) {
    const std::string what = ToString(transaction) + ", committed at " + std::to_string(commit);
    const Version* const version = Find(key, transaction.start);
    if (version == nullptr) {
      const bool decides = key == transaction.primary_key() && !transaction.is_early;
      const auto found = stored_.keys.find(key);
      const bool is_locked =
          found != stored_.keys.end() && found->second.locked_by == transaction.start;
      if (decides || !is_locked) Problem(what + ": key " + key + " has nothing of it");
      return;
    }
    if (version->commit != commit) {
      Problem(what + ": key " + key + " has it at " + std::to_string(version->commit));
    }
    std::optional<std::string> value;
    if (write.kind == WriteKind::kPut || write.kind == WriteKind::kInsert) value = write.value;
    if (version->is_lock_only != (write.kind == WriteKind::kLock) || version->value != value) {
      Problem(what + ": key " + key + " has " + Text(version->value) + " of it");
    }
  }

  // The first to commit wins.
  void CheckConflicts() {
    for (const auto& [key, by_commit] : writers_) {
      std::uint64_t before = 0;
      for (const auto& [commit, transaction] : by_commit) {
        if (transaction->SinceWhen(key) < before) {
          Problem(ToString(*transaction) + " and " + ToString(*by_commit.at(before)) +
                  " overlap, are committed at " + std::to_string(commit) + " and " +
                  std::to_string(before) + ", and write " + key);
        }
        before = commit;
      }
    }
  }

  // What `key` has at a timestamp.
  std::optional<std::string> At(const std::string& key, std::uint64_t timestamp) const {
    const auto changes = changes_.find(key);
    if (changes == changes_.end()) return std::nullopt;
    const auto next = changes->second.upper_bound(timestamp);
    if (next == changes->second.begin()) return std::nullopt;
    return std::prev(next)->second.value;
  }

  void CheckLock(const TransactionRecord& transaction, const std::string& key,
                 const TransactionRecord::Lock& lock) {
    const std::optional<std::string> expected = At(key, lock.at);
    if (lock.seen == expected) return;
    // Somebody may have taken the key from a transaction that seemed dead, while it still waited
    // for others: that cannot be committed, but was true before.
    if (!committed_.contains(transaction.start)) {
      if (lock.seen == At(key, transaction.start)) return;
      const std::map<std::uint64_t, Change>& changes = changes_[key];
      for (auto it = changes.upper_bound(transaction.start);
           it != changes.end() && it->first <= lock.at; ++it) {
        if (lock.seen == it->second.value) return;
      }
    }
    Problem(ToString(transaction) + " locks " + Text(lock.seen) + " under " + key + " at " +
            std::to_string(lock.at) + " instead of " + Text(expected));
  }

  void CheckReads(const TransactionRecord& transaction) {
    const auto check = [&](const std::string& key, const std::optional<std::string>& seen) {
      const std::optional<std::string> expected = At(key, transaction.start);
      if (seen == expected) return;
      Problem(ToString(transaction) + " reads " + Text(seen) + " under " + key + " instead of " +
              Text(expected));
    };
    for (const TransactionRecord::Read& read : transaction.reads) check(read.key, read.seen);
    for (const auto& [key, lock] : transaction.locks) CheckLock(transaction, key, lock);
    for (const TransactionRecord::Scan& scan : transaction.scans) {
      std::set<std::string> keys;
      for (const auto& [key, value] : scan.seen) keys.insert(key);
      for (auto it = changes_.lower_bound(scan.from); it != changes_.end() && it->first < scan.to;
           ++it) {
        keys.insert(it->first);
      }
      for (const std::string& key : keys) {
        const auto seen = scan.seen.find(key);
        check(key, seen == scan.seen.end() ? std::nullopt : std::optional(seen->second));
      }
    }
    for (const auto& [key, write] : transaction.writes) {
      const bool is_inserted =
          write.kind == WriteKind::kInsert && committed_.contains(transaction.start);
      if (is_inserted && At(key, transaction.SinceWhen(key))) {
        Problem(ToString(transaction) + " inserts " + key + ", which exists");
      }
    }
    const std::string& existing = transaction.existing;
    const auto lock = transaction.locks.find(existing);
    // What it was told with the lock is judged as that.
    const bool was_told = lock != transaction.locks.end() && lock->second.seen;
    if (!existing.empty() && !was_told && !At(existing, transaction.SinceWhen(existing))) {
      Problem(ToString(transaction) + " fails because " + existing + " exists, which it does not");
    }
  }

  // Who begins after a commit was answered has a later start, and who commits commits later.
  void CheckRealTime() {
    std::map<Duration, std::uint64_t> answered;  // The latest commit of those answered until then.
    std::vector<const TransactionRecord*> by_return;
    for (const TransactionRecord& transaction : history_) {
      if (transaction.fate == Fate::kCommitted) by_return.push_back(&transaction);
    }
    std::ranges::stable_sort(by_return, {}, [](const auto* one) { return *one->returned; });
    std::uint64_t latest = 0;
    for (const TransactionRecord* transaction : by_return) {
      latest = std::max({latest, transaction->commit, transaction->start});
      answered[*transaction->returned] = latest;
    }
    // The latest that was answered by then.
    const auto before = [&](Duration when) -> std::uint64_t {
      const auto next = answered.lower_bound(when);
      return next == answered.begin() ? 0 : std::prev(next)->second;
    };
    const auto after = [&](const TransactionRecord& transaction, std::uint64_t commit) {
      return ToString(transaction) + " begins after a commit at " + std::to_string(commit) +
             " was answered";
    };
    for (const TransactionRecord& transaction : history_) {
      const std::uint64_t commit = before(transaction.invoked);
      if (transaction.start != 0 && transaction.start < commit) Problem(after(transaction, commit));
    }
    for (const auto& [start, committed] : committed_) {
      const std::uint64_t commit = before(committed.transaction->committing);
      if (committed.commit < commit) {
        Problem(after(*committed.transaction, commit) + ", and commits at " +
                std::to_string(committed.commit));
      }
    }
  }

  const std::vector<TransactionRecord>& history_;
  const StoredTransactions& stored_;
  std::map<std::uint64_t, Committed> committed_;  // By start.
  // By key and commit.
  std::map<std::string, std::map<std::uint64_t, const TransactionRecord*>> writers_;
  std::map<std::string, std::map<std::uint64_t, Change>> changes_;
  std::vector<std::string> problems_;
};

}  // namespace

std::string ToString(const TransactionRecord& transaction) {
  std::string text = "client " + std::to_string(transaction.client) + "'s transaction " +
                     std::to_string(transaction.start);
  switch (transaction.fate) {
    case Fate::kCommitted: break;
    case Fate::kFailed: text += " (failed)"; break;
    case Fate::kUnknown: text += " (fate unknown)"; break;
  }
  return text;
}

std::vector<std::string> FindAnomalies(const std::vector<TransactionRecord>& history,
                                       const StoredTransactions& stored) {
  return Judge(history, stored).Run();
}

}  // namespace rutile::sim
