// Moves money between accounts of a cluster, from several threads at the same time, and counts it
// afterwards: none may be lost or made, and each transfer is done once, whatever the network does.
//
//   bank HOST:PORT[,HOST:PORT...]

#include <rutile/client/client.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "endpoints.h"

namespace {

using rutile::client::Await;
using rutile::client::Client;
using rutile::client::Timestamp;
using rutile::client::Transaction;
using rutile::client::TxnClient;
using rutile::client::TxnCode;
using rutile::client::TxnError;
using rutile::client::TxnResult;

constexpr int kAccounts = 10;
constexpr int kTellers = 4;
constexpr int kTransfersEach = 25;
constexpr int kMoney = 100;  // Of each account at first.

// What a run of the program calls its keys, so that runs do not meet.
struct Bank {
  std::string name;
  std::string Account(int number) const { return name + "/account/" + std::to_string(number); }
  std::string Receipt(const std::string& id) const { return name + "/receipt/" + id; }
};

TxnResult<std::shared_ptr<Transaction>> Begin(TxnClient& client) {
  return Await<TxnResult<std::shared_ptr<Transaction>>>(
      [&](auto done) { client.Begin(std::move(done)); });
}

// One attempt, in one transaction. The receipt is a key of this transfer alone: it can be inserted
// once.
std::optional<TxnError> TryTransfer(TxnClient& client, const Bank& bank, const std::string& id,
                                    int from, int to, int amount) {
  auto begun = Begin(client);
  if (auto* error = std::get_if<TxnError>(&begun)) return *error;
  Transaction& transaction = *std::get<0>(begun);

  const auto read = Await(transaction, &Transaction::BatchGet,
                          std::vector<std::string>{bank.Account(from), bank.Account(to)});
  if (const auto* error = std::get_if<TxnError>(&read)) return *error;
  const Transaction::Pairs& balances = std::get<0>(read);
  transaction.Insert(bank.Receipt(id), std::to_string(amount));
  const int has = std::stoi(balances.at(bank.Account(from)));
  if (has >= amount) {
    const int other = std::stoi(balances.at(bank.Account(to)));
    transaction.Put(bank.Account(from), std::to_string(has - amount));
    transaction.Put(bank.Account(to), std::to_string(other + amount));
  }
  const auto committed = Await(transaction, &Transaction::Commit);
  if (const auto* error = std::get_if<TxnError>(&committed)) return *error;
  return std::nullopt;
}

// Tries until it is known to be done, once. Nothing: it is.
std::optional<TxnError> Transfer(TxnClient& client, const Bank& bank, const std::string& id,
                                 std::mt19937& chance) {
  std::uniform_int_distribution<int> account(0, kAccounts - 1);
  const int from = account(chance);
  const int to = (from + 1 + account(chance) % (kAccounts - 1)) % kAccounts;
  constexpr int kAttempts = 100;
  std::optional<TxnError> error;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    error = TryTransfer(client, bank, id, from, to, 1 + account(chance));
    if (!error) return std::nullopt;
    switch (error->code) {
      case TxnCode::kAlreadyExists:
        return std::nullopt;  // The receipt of an attempt whose answer was lost.
      case TxnCode::kWriteConflict:
      case TxnCode::kRolledBack:
      case TxnCode::kLocked:
      case TxnCode::kUnavailable:
      case TxnCode::kUndetermined:
        break;  // Anew. After the last of these the receipt tells whether it is needed.
      default: return error;
    }
    // Longer from one attempt to the next, and for each teller another time.
    std::uniform_int_distribution<int> pause(1, 2 << std::min(attempt, 6));
    std::this_thread::sleep_for(std::chrono::milliseconds(pause(chance)));
  }
  return error;
}

std::optional<TxnError> OpenAccounts(TxnClient& client, const Bank& bank) {
  auto begun = Begin(client);
  if (auto* error = std::get_if<TxnError>(&begun)) return *error;
  Transaction& transaction = *std::get<0>(begun);
  for (int i = 0; i < kAccounts; ++i) transaction.Insert(bank.Account(i), std::to_string(kMoney));
  const auto committed = Await(transaction, &Transaction::Commit);
  if (const auto* error = std::get_if<TxnError>(&committed)) return *error;
  return std::nullopt;
}

// All of it, as of one moment.
std::optional<TxnError> Count(TxnClient& client, const Bank& bank, int* money, int* receipts) {
  auto begun = Begin(client);
  if (auto* error = std::get_if<TxnError>(&begun)) return *error;
  const auto scanned = Await(*std::get<0>(begun), &Transaction::Scan, bank.name + "/",
                             bank.name + "0", std::size_t{1000});
  if (const auto* error = std::get_if<TxnError>(&scanned)) return *error;
  for (const auto& [key, value] : std::get<0>(scanned)) {
    if (key.starts_with(bank.name + "/account/")) *money += std::stoi(value);
    if (key.starts_with(bank.name + "/receipt/")) ++*receipts;
  }
  return std::nullopt;
}

int Fail(const TxnError& error) {
  std::fprintf(stderr, "error: %s\n", ToString(error).c_str());
  return 1;
}

int Run(TxnClient& client) {
  std::random_device seed;
  const Bank bank{.name = "bank-" + std::to_string(seed())};
  if (const auto error = OpenAccounts(client, bank)) return Fail(*error);

  std::atomic<int> failed = 0;
  std::vector<std::thread> tellers;
  for (int teller = 0; teller < kTellers; ++teller) {
    tellers.emplace_back(
        [&client, &bank, &failed, teller, chance = std::mt19937(seed())]() mutable {
          for (int i = 0; i < kTransfersEach; ++i) {
            const std::string id = std::to_string(teller) + "-" + std::to_string(i);
            if (const auto error = Transfer(client, bank, id, chance)) failed += Fail(*error);
          }
        });
  }
  for (std::thread& teller : tellers) teller.join();

  int money = 0;
  int receipts = 0;
  if (const auto error = Count(client, bank, &money, &receipts)) return Fail(*error);
  std::printf("after %d transfers the bank has %d, and %d receipts\n", kTellers * kTransfersEach,
              money, receipts);
  const bool is_right = money == kAccounts * kMoney && receipts == kTellers * kTransfersEach;
  return failed == 0 && is_right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s HOST:PORT[,HOST:PORT...]\n", argv[0]);
    return 2;
  }
  const auto client = Client::Open({.endpoints = SplitEndpoints(argv[1])});
  if (!client.ok()) {
    std::fprintf(stderr, "error: %s\n", client.status().ToString().c_str());
    return 1;
  }
  return Run(client.value()->txn());
}
