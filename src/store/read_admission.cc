#include "store/read_admission.h"

#include <cstdint>
#include <utility>

#include "codec/integers.h"
#include "mvcc/records.h"

namespace rutile::store {

using Locks = txn::ConcurrencyManager::Locks;

std::string Encode(const ReadQuestion& question) {
  std::string out;
  codec::PutVarint(&out, question.at.value());
  codec::PutBytes(&out, question.lower);
  codec::PutBytes(&out, question.upper);
  return out;
}

Result<ReadQuestion> DecodeReadQuestion(std::string_view bytes) {
  codec::Reader reader(bytes);
  ReadQuestion question;
  question.at = mvcc::Timestamp(reader.Varint());
  question.lower = reader.Bytes();
  question.upper = reader.Bytes();
  if (!reader.Done()) return Status(Code::kCorruption, "not a question of a reader");
  return question;
}

std::string EncodeLocks(const Locks& locks) {
  std::string out;
  codec::PutVarint(&out, locks.size());
  for (const auto& [key, lock] : locks) {
    codec::PutBytes(&out, key);
    codec::PutBytes(&out, mvcc::EncodeLock(lock));
  }
  return out;
}

Result<Locks> DecodeLocks(std::string_view bytes) {
  codec::Reader reader(bytes);
  Locks locks;
  for (std::uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    std::string key(reader.Bytes());
    RUTILE_ASSIGN_OR_RETURN(mvcc::Lock lock, mvcc::DecodeLock(reader.Bytes()));
    locks.emplace(std::move(key), std::move(lock));
  }
  if (!reader.Done()) return Status(Code::kCorruption, "not an answer to a reader's question");
  return locks;
}

std::string TxnReadAdmission::Admit(RegionId, std::string_view question) {
  const Result<ReadQuestion> asked = DecodeReadQuestion(question);
  if (!asked.ok()) return {};
  return EncodeLocks(concurrency_.AdmitScan({.at = asked.value().at}, asked.value().lower,
                                            asked.value().upper, SIZE_MAX));
}

std::string WriteList(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) codec::PutBytes(&out, item);
  return out;
}

std::vector<std::string> ReadList(std::string_view bytes) {
  codec::Reader reader(bytes);
  std::vector<std::string> items;
  while (!reader.rest().empty() && reader.ok()) items.emplace_back(reader.Bytes());
  if (!reader.Done()) items.clear();
  return items;
}

}  // namespace rutile::store
