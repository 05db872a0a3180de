#include "store/region_flashback.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "codec/crc64.h"
#include "codec/integers.h"
#include "mvcc/changed_keys.h"
#include "mvcc/lock_scan.h"
#include "store/command.h"
#include "store/safe_point.h"
#include "txn/flashback.h"

namespace rutile::store {
namespace {

// Of one command: keys, and bytes of what they had.
constexpr std::size_t kBatchKeys = 256;
constexpr std::size_t kBatchBytes = std::size_t{1} << 20;
// Looked at without letting others have the thread.
constexpr std::size_t kLookRecords = 4096;

}  // namespace

void RegionFlashback::Prepare(Parts parts, const RequestHeader& header, Request request,
                              Done done) {
  const std::shared_ptr<RegionFlashback> self(
      new RegionFlashback(parts, header, std::move(request), std::move(done)));
  // Before anybody is kept out.
  self->Read(
      [self](const ReadView&, const RegionMarks& marks) -> std::optional<Ending> {
        if (Status status = self->Check(marks); !status.ok()) return status;
        return std::nullopt;
      },
      [self] { self->Enter(FlashbackState::Stage::kBegun, [self] { self->RollBackLocks(); }); });
}

void RegionFlashback::Run(Parts parts, const RequestHeader& header, Request request, Done done) {
  if (request.commit <= request.start) {
    return done(
        Status(Code::kInvalidArgument,
               "a flashback that does not commit after its start, " + ToString(request.start)));
  }
  const std::shared_ptr<RegionFlashback> self(
      new RegionFlashback(parts, header, std::move(request), std::move(done)));
  self->Read(
      [self](const ReadView& view, const RegionMarks& marks) -> std::optional<Ending> {
        if (Status status = self->Check(marks); !status.ok()) return status;
        if (marks.flashback.start == self->request_.start) {
          if (marks.flashback.stage == FlashbackState::Stage::kFinished &&
              marks.flashback.request == self->Digest()) {
            return TxnScheduler::Finished();
          }
          if (marks.flashback.stage == FlashbackState::Stage::kPrepared) return std::nullopt;
        }
        return RegionError(FlashbackNotPrepared{view.region.id});
      },
      [self] { self->WriteOld(); });
}

Status RegionFlashback::Check(const RegionMarks& marks) const {
  if (request_.version.IsZero() || request_.version >= request_.start) {
    return Status(Code::kInvalidArgument, "a flashback to " + ToString(request_.version) +
                                              ", not before its start at " +
                                              ToString(request_.start));
  }
  return mvcc::CheckNotCollected(request_.version, marks.safe_point);
}

std::uint64_t RegionFlashback::Digest() const {
  std::string bytes;
  codec::PutBytes(&bytes, request_.lower);
  codec::PutBytes(&bytes, request_.upper);
  codec::PutVarint(&bytes, request_.version.value());
  codec::PutVarint(&bytes, request_.commit.value());
  return codec::Crc64(bytes);
}

void RegionFlashback::Read(Look look, Task then) {
  parts_.store.Read(header_,
                    [self = shared_from_this(), look = std::move(look), then = std::move(then)](
                        const ReadView* view, const RegionError* error) mutable {
                      if (view == nullptr) return self->done_(*error);
                      const Result<RegionMarks> marks = MarksOf(*view);
                      if (!marks.ok()) return self->done_(marks.status());
                      std::optional<Ending> ending = look(*view, marks.value());
                      if (ending) return self->done_(*std::move(ending));
                      self->parts_.executor.Post(std::move(then));
                    });
}

void RegionFlashback::Enter(FlashbackState::Stage stage, UniqueFunction<void()> then) {
  const std::optional<GateState> gate = parts_.store.Gate(header_.region);
  if (!gate) return done_(RegionError(RegionNotFound{header_.region}));
  Command command;
  command.mutations.push_back(
      {.kind = Mutation::Kind::kSetFlashback,
       .family = engine::Family::kMeta,
       .key = gate->region->start_key,
       .value = EncodeFlashback({.start = request_.start, .stage = stage, .request = Digest()})});
  parts_.store.Write(
      header_, std::move(command),
      [self = shared_from_this(), then = std::move(then)](WriteOutcome outcome) mutable {
        if (auto* error = std::get_if<RegionError>(&outcome)) {
          return self->done_(std::move(*error));
        }
        self->parts_.executor.Post(std::move(then));
      });
}

void RegionFlashback::RollBackLocks() {
  const auto keys = std::make_shared<std::vector<std::string>>();
  Read(
      [self = shared_from_this(), keys](const ReadView& view,
                                        const RegionMarks&) -> std::optional<Ending> {
        const Result<std::vector<mvcc::KeyIsLocked>> locks = mvcc::ScanLocks(
            view.snapshot,
            {.lower = self->request_.lower, .upper = self->request_.upper, .limit = kBatchKeys},
            BoundsOf(view.region));
        if (!locks.ok()) return locks.status();
        for (const mvcc::KeyIsLocked& lock : locks.value()) keys->push_back(lock.key);
        return std::nullopt;
      },
      [self = shared_from_this(), keys] { self->OnLocks(std::move(*keys)); });
}

void RegionFlashback::OnLocks(std::vector<std::string> keys) {
  if (keys.empty()) {
    return Enter(FlashbackState::Stage::kPrepared, [self = shared_from_this()] {
      self->parts_.scheduler.memory_locks().Drop(self->header_.region);
      // They look again, and are told of the flashback.
      self->parts_.locks.OnLocksRemoved(self->header_.region);
      self->done_(TxnScheduler::Finished());
    });
  }
  std::vector<std::string> latched = keys;
  parts_.scheduler.Run(
      header_, std::move(latched),
      [keys = std::move(keys)](mvcc::Reader& reader) -> Result<TxnScheduler::Plan> {
        RUTILE_ASSIGN_OR_RETURN(txn::Outcome outcome, txn::RollBackLocks(reader, keys));
        return TxnScheduler::Plan{.changes = std::move(outcome.changes)};
      },
      [self = shared_from_this()](Ending ending) {
        if (!std::holds_alternative<TxnScheduler::Finished>(ending)) {
          return self->done_(std::move(ending));
        }
        self->RollBackLocks();
      },
      {}, request_.start);
}

void RegionFlashback::WriteOld() {
  Read(
      [self = shared_from_this()](const ReadView& view,
                                  const RegionMarks&) -> std::optional<Ending> {
        Result<mvcc::ChangesFound> found = mvcc::FindChanges(view.snapshot,
                                                             {.lower = self->next_,
                                                              .upper = self->request_.upper,
                                                              .after = self->request_.version,
                                                              .until = self->request_.commit,
                                                              .max_keys = kBatchKeys,
                                                              .max_records = kLookRecords},
                                                             BoundsOf(view.region));
        if (!found.ok()) return found.status();
        self->keys_ = std::move(found.value().keys);
        self->next_ = std::move(found.value().next);
        self->at_end_ = self->next_.empty();
        return std::nullopt;
      },
      [self = shared_from_this()] { self->OnKeys(); });
}

void RegionFlashback::OnKeys() {
  if (keys_.empty()) {
    if (!at_end_) return WriteOld();
    return Enter(FlashbackState::Stage::kFinished,
                 [self = shared_from_this()] { self->done_(TxnScheduler::Finished()); });
  }
  const auto written = std::make_shared<std::size_t>(0);
  parts_.scheduler.Run(
      header_, keys_,
      [self = shared_from_this(), written](mvcc::Reader& reader) -> Result<TxnScheduler::Plan> {
        RUTILE_ASSIGN_OR_RETURN(txn::FlashbackOutcome result,
                                txn::Flashback(reader, {.keys = self->keys_,
                                                        .version = self->request_.version,
                                                        .start = self->request_.start,
                                                        .commit = self->request_.commit,
                                                        .max_bytes = kBatchBytes}));
        *written = result.done;
        return TxnScheduler::Plan{.changes = std::move(result.outcome.changes)};
      },
      [self = shared_from_this(), written](Ending ending) {
        if (!std::holds_alternative<TxnScheduler::Finished>(ending)) {
          return self->done_(std::move(ending));
        }
        self->keys_.erase(self->keys_.begin(),
                          self->keys_.begin() + static_cast<std::ptrdiff_t>(*written));
        self->parts_.executor.Post([self] { self->OnKeys(); });
      },
      {}, request_.start);
}

}  // namespace rutile::store
