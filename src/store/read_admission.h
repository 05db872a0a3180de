#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "mvcc/types.h"
#include "txn/concurrency_manager.h"

namespace rutile::store {

// What readers on other stores ask of a region's leader besides where the moment of their read
// lies. Called on the leader's store, before that moment is named, and so that the leader leads
// then and in no earlier term. Any thread.
class ReadAdmission {
 public:
  virtual ~ReadAdmission() = default;
  // The answer, never empty; empty if the question cannot be read.
  virtual std::string Admit(RegionId region, std::string_view question) = 0;
};

// That keys are read at a timestamp by somebody whom the leader would not know of, when it chooses
// the commit timestamp of a transaction.
struct ReadQuestion {
  mvcc::Timestamp at = {};
  std::string lower = {};
  std::string upper = {};  // Exclusive; empty: the end of all keys.
};
std::string Encode(const ReadQuestion& question);
Result<ReadQuestion> DecodeReadQuestion(std::string_view bytes);

// The answer: what is locked in the leader's memory in that range, for a reader at that timestamp.
std::string EncodeLocks(const txn::ConcurrencyManager::Locks& locks);
Result<txn::ConcurrencyManager::Locks> DecodeLocks(std::string_view bytes);

// Answers questions of readers as if they read here: see ConcurrencyManager. It outlives this.
class TxnReadAdmission final : public ReadAdmission {
 public:
  explicit TxnReadAdmission(txn::ConcurrencyManager& concurrency) : concurrency_(concurrency) {}
  std::string Admit(RegionId region, std::string_view question) override;

 private:
  txn::ConcurrencyManager& concurrency_;
};

// Several questions, or their answers in the same order, as one string. Nothing, if it is none.
std::string WriteList(const std::vector<std::string>& items);
std::vector<std::string> ReadList(std::string_view bytes);

}  // namespace rutile::store
