#include "store/deadlock_report.h"

#include "codec/integers.h"

namespace rutile::store {
namespace {

enum class Kind : std::uint8_t { kReport = 1, kVerdict = 2 };

// So that no message is large; one with a single wait may be larger.
constexpr std::size_t kPieceBytes = std::size_t{128} << 10;

Status NotAMessage() {
  return Status(Code::kCorruption, "the bytes are not a message about deadlocks");
}

void PutWait(std::string* out, const txn::WaitFor& wait) {
  codec::PutVarint(out, wait.waiter.value());
  codec::PutVarint(out, wait.holder.value());
  codec::PutBytes(out, wait.key);
  codec::PutFixed64(out, wait.key_hash);
  codec::PutBytes(out, wait.tag);
}

txn::WaitFor ReadWait(codec::Reader& reader) {
  txn::WaitFor wait;
  wait.waiter = txn::Timestamp(reader.Varint());
  wait.holder = txn::Timestamp(reader.Varint());
  wait.key = reader.Bytes();
  wait.key_hash = reader.Fixed64();
  wait.tag = reader.Bytes();
  return wait;
}

DeadlockReport ReadReport(codec::Reader& reader) {
  DeadlockReport report;
  report.number = reader.Varint();
  report.is_all = reader.Fixed8() != 0;
  for (std::uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    const WaitId id(reader.Varint());
    report.waits.emplace_back(id, ReadWait(reader));
  }
  for (std::uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    report.ended.emplace_back(reader.Varint());
  }
  return report;
}

DeadlockVerdict ReadVerdict(codec::Reader& reader) {
  DeadlockVerdict verdict{.id = WaitId(reader.Varint())};
  verdict.deadlock.key = reader.Bytes();
  verdict.deadlock.holder = txn::Timestamp(reader.Varint());
  verdict.deadlock.closing = ReadWait(reader);
  for (std::uint64_t left = reader.Varint(); left > 0 && reader.ok(); --left) {
    verdict.deadlock.chain.push_back(ReadWait(reader));
  }
  return verdict;
}

}  // namespace

std::string Encode(const DeadlockReport& report) {
  std::string out(1, static_cast<char>(Kind::kReport));
  codec::PutVarint(&out, report.number);
  out.push_back(report.is_all ? '\1' : '\0');
  codec::PutVarint(&out, report.waits.size());
  for (const auto& [id, wait] : report.waits) {
    codec::PutVarint(&out, id.value());
    PutWait(&out, wait);
  }
  codec::PutVarint(&out, report.ended.size());
  for (const WaitId id : report.ended) codec::PutVarint(&out, id.value());
  return out;
}

std::string Encode(const DeadlockVerdict& verdict) {
  std::string out(1, static_cast<char>(Kind::kVerdict));
  codec::PutVarint(&out, verdict.id.value());
  codec::PutBytes(&out, verdict.deadlock.key);
  codec::PutVarint(&out, verdict.deadlock.holder.value());
  PutWait(&out, verdict.deadlock.closing);
  codec::PutVarint(&out, verdict.deadlock.chain.size());
  for (const txn::WaitFor& wait : verdict.deadlock.chain) PutWait(&out, wait);
  return out;
}

Result<DeadlockMessage> DecodeDeadlockMessage(std::string_view bytes) {
  codec::Reader reader(bytes);
  DeadlockMessage message;
  switch (static_cast<Kind>(reader.Fixed8())) {
    case Kind::kReport: message = ReadReport(reader); break;
    case Kind::kVerdict: message = ReadVerdict(reader); break;
    default: return NotAMessage();
  }
  if (!reader.Done()) return NotAMessage();
  return message;
}

std::optional<txn::Deadlock> WaitReporter::Note(WaitId id, const txn::WaitFor& wait, Instant now) {
  const auto known = waits_.find(id);
  if (known != waits_.end() && known->second == wait) return std::nullopt;
  if (auto deadlock = detector_.Add({.store = self_, .number = id.value()}, wait, now)) {
    Forget(id);
    return deadlock;
  }
  waits_[id] = wait;
  changed_.insert(id);
  return std::nullopt;
}

void WaitReporter::Forget(WaitId id) {
  if (waits_.erase(id) == 0) return;
  detector_.Remove({.store = self_, .number = id.value()});
  changed_.insert(id);
}

std::vector<DeadlockReport> WaitReporter::Take(StoreId judge, Term term, bool all) {
  std::vector<DeadlockReport> reports;
  const std::pair<StoreId, Term> to(judge, term);
  if (to != told_) all = true;
  told_ = to;
  if (all) {
    changed_.clear();
    for (const auto& [id, wait] : waits_) changed_.insert(id);
  }
  if (!all && changed_.empty()) return reports;
  reports.push_back({.number = ++number_, .is_all = all});
  std::size_t bytes = 0;
  for (const WaitId id : changed_) {
    if (bytes > kPieceBytes) {
      reports.push_back({.number = ++number_});
      bytes = 0;
    }
    const auto wait = waits_.find(id);
    if (wait == waits_.end()) {
      reports.back().ended.push_back(id);
    } else {
      reports.back().waits.emplace_back(id, wait->second);
      bytes += wait->second.key.size() + wait->second.tag.size();
    }
    bytes += 48;
  }
  changed_.clear();
  return reports;
}

}  // namespace rutile::store
