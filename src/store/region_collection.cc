#include "store/region_collection.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/probe.h"
#include "store/command.h"
#include "store/safe_point.h"

namespace rutile::store {

void RegionCollection::Run(Store& store, TxnScheduler& scheduler, Executor& executor, Order order,
                           Options options, Done done) {
  const std::shared_ptr<RegionCollection> self(
      new RegionCollection(store, scheduler, executor, order, options, std::move(done)));
  self->RaiseSafePoint();
}

void RegionCollection::RaiseSafePoint() {
  const std::optional<GateState> gate = store_.Gate(header_.region);
  if (!gate) return End(RegionError(RegionNotFound{header_.region}));
  Command command;
  command.mutations.push_back({.kind = Mutation::Kind::kRaiseSafePoint,
                               .family = engine::Family::kMeta,
                               .key = gate->region->start_key,
                               .value = EncodeMark(order_.safe_point)});
  store_.Write(header_, std::move(command), [self = shared_from_this()](WriteOutcome outcome) {
    if (auto* error = std::get_if<RegionError>(&outcome)) return self->End(std::move(*error));
    if (self->order_.only_raises) return self->End(TxnScheduler::Finished());
    self->executor_.Post([self] { self->Look(); });
  });
}

void RegionCollection::Look() {
  store_.Read(header_, [self = shared_from_this()](const ReadView* view, const RegionError* error) {
    if (view == nullptr) return self->End(*error);
    Result<mvcc::GarbageFound> found =
        mvcc::FindGarbage(view->snapshot,
                          {.lower = self->next_,
                           .safe_point = self->order_.safe_point,
                           .max_records = self->options_.look_records},
                          BoundsOf(view->region));
    if (!found.ok()) return self->End(found.status());
    self->executor_.Post(
        [self, found = std::move(found).value()]() mutable { self->OnFound(std::move(found)); });
  });
}

void RegionCollection::OnFound(mvcc::GarbageFound found) {
  progress_.looked_at += found.looked_at;
  progress_.above += found.above;
  next_ = std::move(found.next);
  at_end_ = next_.empty();
  found_ = std::move(found.keys);
  RUTILE_SOMETIMES(!at_end_, "store: garbage is looked for in more than one step");
  Remove();
}

void RegionCollection::Remove() {
  if (found_.empty()) {
    if (at_end_) return End(TxnScheduler::Finished());
    // Clients come first.
    return executor_.PostAfter(options_.pause, [self = shared_from_this()] { self->Look(); });
  }
  TxnScheduler::Plan plan;
  std::vector<std::string> keys;
  std::size_t room = options_.remove_records;
  while (!found_.empty() && room > 0) {
    std::vector<mvcc::GarbageRecord>& records = found_.back().records;
    const std::size_t count = std::min(room, records.size());
    RUTILE_SOMETIMES(count < records.size(), "store: a key's garbage is removed bit by bit");
    const auto oldest = records.end() - static_cast<std::ptrdiff_t>(count);
    mvcc::RemoveGarbage({.key = found_.back().key, .records = {oldest, records.end()}},
                        &plan.changes);
    keys.push_back(found_.back().key);
    records.erase(oldest, records.end());
    room -= count;
    if (records.empty()) found_.pop_back();
  }
  const std::size_t removed = options_.remove_records - room;
  scheduler_.Run(
      header_, std::move(keys),
      [plan = std::move(plan)](mvcc::Reader&) mutable -> Result<TxnScheduler::Plan> {
        return std::move(plan);
      },
      [self = shared_from_this(), removed](TxnScheduler::Ending how) {
        if (!std::holds_alternative<TxnScheduler::Finished>(how)) return self->End(std::move(how));
        self->executor_.Post([self, removed] {
          self->progress_.removed += removed;
          self->Remove();
        });
      });
}

void RegionCollection::End(TxnScheduler::Ending how) {
  executor_.Post([self = shared_from_this(), how = std::move(how)]() mutable {
    self->done_({.progress = self->progress_, .how = std::move(how)});
  });
}

}  // namespace rutile::store
