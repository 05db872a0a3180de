#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/testing/with_fake_stores.h"
#include "client/txn_client.h"
#include "proto/kvrpcpb.pb.h"

namespace rutile::client {

using Strings = std::vector<std::string>;

inline std::string PrewriteError(const kvrpcpb::KeyError& error) {
  kvrpcpb::PrewriteResponse response;
  *response.add_errors() = error;
  return response.SerializeAsString();
}
inline std::string PrewriteLocked(const kvrpcpb::LockInfo& lock) {
  kvrpcpb::KeyError error;
  *error.mutable_locked() = lock;
  return PrewriteError(error);
}
inline std::string CommitError(const kvrpcpb::KeyError& error) {
  kvrpcpb::CommitResponse response;
  *response.mutable_error() = error;
  return response.SerializeAsString();
}
inline std::string ReadLocked(const kvrpcpb::LockInfo& lock) {
  kvrpcpb::BatchGetResponse response;
  *response.add_pairs()->mutable_error()->mutable_locked() = lock;
  return response.SerializeAsString();
}

// Transactions of a client that has two fake stores.
class TxnClientTest : public WithFakeStores {
 protected:
  void SetUp() override { Connect({}); }
  void Connect(TxnClientOptions options) {
    options.endpoints = {"s1"};
    client_ = std::make_unique<TxnClient>(options, stores_.Connector(), clock_, random_, executor_);
  }
  // Runs until the answer is there, or a minute.
  template <class T, class Start>
  TxnResult<T> Await(Start start) {
    auto answer = std::make_shared<std::optional<TxnResult<T>>>();
    start([answer](TxnResult<T> result) { *answer = std::move(result); });
    EXPECT_TRUE(world_.RunUntil([&] { return answer->has_value(); }, Seconds(60)));
    return answer->value_or(TxnError{.message = "no answer"});
  }
  std::shared_ptr<Transaction> Begin() {
    auto begun =
        Await<std::shared_ptr<Transaction>>([this](TxnDone<std::shared_ptr<Transaction>> done) {
          client_->Begin(options_, std::move(done));
        });
    return std::get<std::shared_ptr<Transaction>>(begun);
  }
  // "committed", or the error.
  std::string Commit(Transaction& transaction) {
    const auto result =
        Await<Timestamp>([&](TxnDone<Timestamp> done) { transaction.Commit(std::move(done)); });
    const auto* error = std::get_if<TxnError>(&result);
    if (error != nullptr) {
      error_ = *error;
      return std::string(ToString(error->code));
    }
    commit_ = std::get<Timestamp>(result);
    return "committed";
  }
  std::string Get(Transaction& transaction, const std::string& key) {
    const auto result = Await<std::optional<std::string>>(
        [&](TxnDone<std::optional<std::string>> done) { transaction.Get(key, std::move(done)); });
    if (const auto* error = std::get_if<TxnError>(&result)) return ToString(*error);
    return std::get<std::optional<std::string>>(result).value_or("absent");
  }
  // By either scan: "key=value " and so on.
  std::string Scanned(Transaction& transaction,
                      void (Transaction::*scan)(const std::string&, const std::string&, std::size_t,
                                                TxnDone<std::vector<Transaction::Pair>>),
                      const char* from, const char* to, std::size_t limit) {
    std::string text;
    const auto result =
        Await<std::vector<Transaction::Pair>>([&](TxnDone<std::vector<Transaction::Pair>> done) {
          (transaction.*scan)(from, to, limit, std::move(done));
        });
    for (const auto& [key, value] : std::get<0>(result)) text += key + "=" + value + " ";
    return text;
  }
  std::shared_ptr<Transaction> BeginWriting(const Strings& keys) {
    auto transaction = Begin();
    for (const std::string& key : keys) transaction->Put(key, "1");
    stores_.calls.clear();
    return transaction;
  }
  // What goes on in the background comes to its end.
  void Settle() { world_.RunFor(Seconds(60)); }

  // What most tests are about.
  TransactionOptions options_ = {.use_async_commit = false, .try_one_phase = false};
  std::unique_ptr<TxnClient> client_;
  TxnError error_;
  Timestamp commit_;
};

}  // namespace rutile::client
