// The naive twin of each replica's log: how it is kept, and compared.

#include <algorithm>

#include "codec/crc64.h"
#include "sim/oracle_group.h"

namespace rutile::sim {

std::uint64_t HashOf(const Entry& entry) {
  return codec::Crc64(entry.payload.view(), static_cast<std::uint64_t>(entry.type) + 1);
}

Entry CopyOf(const Entry& entry) {
  return {.id = entry.id, .type = entry.type, .payload = Bytes::Copy(entry.payload.view())};
}

void GroupOracle::Register(PeerId who, LogId before, const TwinItem& item) {
  const LogId id = item.entry.id;
  const auto [known, is_new] = entries_.try_emplace(id, Known{before, item.hash});
  ++compared_;
  if (is_new) return;
  if (known->second.before != before) {
    Problem("LM", who,
            ToString(id) + " follows " + ToString(before) + ", elsewhere " +
                ToString(known->second.before));
  } else if (known->second.hash != item.hash) {
    Problem("LM", who, ToString(id) + " has another content than elsewhere");
  }
}

void GroupOracle::Land(Replica& replica, const Flight& flight) {
  if (flight.reset) replica.disk.Reset(flight.after);
  if (flight.after.index >= replica.disk.base().index) replica.disk.CutAfter(flight.after.index);
  for (const TwinItem& item : flight.items) {
    if (item.entry.id.index == replica.disk.last().index.Next()) replica.disk.Append(item);
  }
  if (flight.state) replica.disk_state = *flight.state;
  if (!replica.disk_state.impaired_until) replica.lost.clear();
}

void GroupOracle::TakeInstall(Replica& replica, const raft::CoreView& view,
                              const raft::SnapshotMeta& meta) {
  if (meta.id.index <= replica.committed) {
    Problem("S1", view.id,
            "a snapshot of " + ToString(meta.id) + " is installed below what is committed here, " +
                ToString(replica.committed));
  }
  if (!MayBeCommitted(meta.id)) {
    Problem("S1", view.id, "a snapshot of " + ToString(meta.id) + ", which is not committed");
  }
  if (view.base != meta.id || view.first_resident <= meta.id.index) {
    Problem(
        "S1", view.id,
        "after a snapshot of " + ToString(meta.id) + " the log begins at " + ToString(view.base));
  }
  if (replica.memory.Contains(meta.id)) {
    Problem("S1", view.id,
            "a snapshot of " + ToString(meta.id) + " drops a log that has come there by itself");
  }
  replica.configurations.assign(1, {meta.id, meta.configuration});
  NoteVoters(meta.configuration);
  replica.applying = replica.applied = meta.id.index;
}

// What goes from the twin's memory must not be committed, by anybody's word.
void GroupOracle::CheckCut(const Replica& replica, const raft::CoreView& view, Index last_kept) {
  const Index first = last_kept.Next();
  const TwinItem* item = replica.memory.Find(first);
  if (item == nullptr) return;
  if (first <= replica.committed) {
    Problem("L2", view.id,
            "the log is cut at " + ToString(first) + ", committed here up to " +
                ToString(replica.committed));
  } else if (IsCommitted(item->entry.id)) {
    Problem("L2", view.id,
            "the log is cut at " + ToString(item->entry.id) + ", which is committed");
  }
}

void GroupOracle::TakeState(Replica& replica, const raft::CoreView& view,
                            const raft::HardState& state) {
  const raft::HardState& before = replica.submitted_state;
  if (state.term < before.term) {
    Problem("V1", view.id, "the stored term goes back to " + raft::ToString(state));
  } else if (state.term == before.term && !before.vote.IsZero() && state.vote != before.vote) {
    Problem("V1", view.id, "the stored vote changes within a term: " + raft::ToString(state));
  }
  if (state.commit < before.commit) {
    Problem("L6", view.id, "the stored commit index goes back: " + raft::ToString(state));
  } else if (state.commit > replica.memory.last().index) {
    Problem("L6", view.id, "stored as committed and not there: " + raft::ToString(state));
  }
  const Index durable = TwinDurable(replica);
  const TwinItem* item = replica.memory.Find(durable);
  const LogId held = item != nullptr ? item->entry.id : replica.memory.base();
  if (before.impaired_until && !state.impaired_until && held < *before.impaired_until) {
    Problem("V2", view.id,
            "takes itself to be whole again, its disk has this log up to " + ToString(held) +
                " and had it up to " + ToString(*before.impaired_until));
  }
  replica.submitted_state = state;
}

void GroupOracle::TakeWrite(Replica& replica, const raft::CoreView& view,
                            const raft::LogWrite& write) {
  const LogSlice& slice = write.log.slice;
  Flight flight{.write = write.log.mark.write, .reset = write.log.reset, .after = slice.prev};
  if (write.log.reset) {
    if (!MayBeCommitted(slice.prev)) {
      Problem("S1", view.id,
              "the log starts anew at " + ToString(slice.prev) + ", which is not committed");
    }
    replica.memory.Reset(slice.prev);
  } else if (!replica.memory.Contains(slice.prev)) {
    Problem("L1", view.id,
            "a write continues after " + ToString(slice.prev) + ", which is not in the log");
    return;
  }
  if (replica.memory.last().index > slice.prev.index) {
    if (!write.log.cut) {
      Problem("L2", view.id, "what follows " + ToString(slice.prev) + " is replaced without a cut");
    }
    CheckCut(replica, view, slice.prev.index);
    replica.memory.CutAfter(slice.prev.index);
    while (replica.configurations.size() > 1 &&
           replica.configurations.back().first.index > slice.prev.index) {
      replica.configurations.pop_back();
    }
  }
  LogId before = slice.prev;
  for (const Entry& entry : slice.entries) {
    if (entry.id.index != before.index.Next() || entry.id.term < before.term) {
      Problem("L1", view.id, ToString(entry.id) + " is written after " + ToString(before));
      return;
    }
    TwinItem item{.entry = CopyOf(entry), .hash = HashOf(entry), .number = next_number_++};
    Register(view.id, before, item);
    before = entry.id;
    NoteConfiguration(replica, entry);
    flight.items.push_back(item);
    replica.memory.Append(std::move(item));
  }
  if (write.hard_state) {
    TakeState(replica, view, *write.hard_state);
    flight.state = write.hard_state;
  }
  replica.flights.push_back(std::move(flight));
}

void GroupOracle::NoteConfiguration(Replica& replica, const Entry& entry) {
  if (entry.type != EntryType::kConfig) return;
  auto configuration = raft::DecodeConfiguration(entry.payload.view());
  if (!configuration) return;
  NoteVoters(*configuration);
  replica.configurations.emplace_back(entry.id, *std::move(configuration));
}

void GroupOracle::NoteVoters(const raft::Configuration& configuration) {
  voters_.insert(configuration.voters.begin(), configuration.voters.end());
  voters_.insert(configuration.outgoing.begin(), configuration.outgoing.end());
}

// Up to where memory and disk hold the very same entries: their numbers only rise, so the last
// place at which they agree is the end of all that agrees.
Index GroupOracle::TwinDurable(const Replica& replica) const {
  Index at = std::min(replica.memory.last().index, replica.disk.last().index);
  const Index base = std::max(replica.memory.base().index, replica.disk.base().index);
  while (at > base) {
    const TwinItem* memory = replica.memory.Find(at);
    const TwinItem* disk = replica.disk.Find(at);
    if (memory != nullptr && disk != nullptr && memory->number == disk->number) break;
    at = at.Prev();
  }
  return std::max(at, replica.memory.base().index);
}

void GroupOracle::CompareTerm(const Replica& replica, const raft::CoreView& view, Index index) {
  const std::optional<Term> read = view.tail->TermAt(index);
  const LogId base = replica.memory.base();
  std::optional<Term> expected;
  if (index == base.index) expected = base.term;
  if (const TwinItem* item = replica.memory.Find(index)) expected = item->entry.id.term;
  ++compared_;
  if (read == expected) return;
  Problem("L7", view.id,
          "the term at " + ToString(index) + " is read as " +
              (read ? ToString(*read) : std::string("unknown")) + " and is " +
              (expected ? ToString(*expected) : std::string("unknown")));
}

void GroupOracle::CompareSlice(const Replica& replica, PeerId who, const LogSlice& slice,
                               const char* what) {
  LogId expected_prev = slice.prev;
  if (slice.prev.index == replica.memory.base().index) expected_prev = replica.memory.base();
  if (const TwinItem* item = replica.memory.Find(slice.prev.index)) expected_prev = item->entry.id;
  if (expected_prev != slice.prev) {
    return Problem("L1", who,
                   std::string(what) + " continue after " + ToString(slice.prev) +
                       ", in the log is " + ToString(expected_prev));
  }
  for (const Entry& entry : slice.entries) {
    ++compared_;
    if (entry.id.index <= replica.memory.base().index) continue;  // Read before it was compacted.
    const TwinItem* item = replica.memory.Find(entry.id.index);
    // (The hash is of the type too.)
    const bool same = item != nullptr && item->entry.id == entry.id &&
                      ((item->entry.type == entry.type && item->entry.payload == entry.payload) ||
                       HashOf(entry) == item->hash);
    if (same) continue;
    return Problem("L1", who,
                   std::string(what) + " hold " + ToString(entry.id) + ", in the log is " +
                       (item == nullptr ? "nothing" : ToString(item->entry.id)));
  }
}

// The ends, the cursors, and one place after another.
void GroupOracle::CompareLog(Replica& replica, const raft::CoreView& view) {
  const TwinLog& memory = replica.memory;
  if (view.last != memory.last() || view.base != memory.base()) {
    Problem("L1", view.id,
            "the log is " + ToString(view.base) + " to " + ToString(view.last) + " and must be " +
                ToString(memory.base()) + " to " + ToString(memory.last()));
  }
  for (const Index index :
       {view.last.index, view.last.index.Next(), view.committed, view.durable, view.base.index}) {
    CompareTerm(replica, view, index);
  }
  if (!view.base.index.IsZero()) CompareTerm(replica, view, view.base.index.Prev());
  const std::uint64_t length = view.last.index.value() - view.base.index.value();
  if (length == 0) return;
  replica.probe = (replica.probe + 0x9E3779B1u) % length;
  const Index probe(view.base.index.value() + 1 + replica.probe);
  CompareTerm(replica, view, probe);
  if (probe < view.first_resident) return;
  if (const auto slice = view.tail->Read(probe.Prev(), probe, 1)) {
    CompareSlice(replica, view.id, *slice, "entries that are read");
  }
}

void GroupOracle::OnLetGo(const raft::CoreView& view) {
  Replica& replica = At(view.id);
  if (view.base.index > replica.memory.base().index) {
    if (view.base.index > replica.applied || view.base.index > TwinDurable(replica)) {
      Problem("L9", view.id,
              "the log is dropped up to " + ToString(view.base) + ", applied " +
                  ToString(replica.applied) + ", durable " + ToString(TwinDurable(replica)));
    }
    if (!replica.memory.Contains(view.base)) {
      Problem("L1", view.id,
              "the log is dropped up to " + ToString(view.base) + ", which is not in it");
    }
    replica.memory.CompactTo(view.base);
    replica.disk.CompactTo(view.base);
    replica.compacted = std::max(replica.compacted, view.base.index);
    while (replica.configurations.size() > 1 &&
           replica.configurations[1].first.index <= view.base.index) {
      replica.configurations.erase(replica.configurations.begin());
    }
  }
  CheckCursors(replica, view);
  CompareLog(replica, view);
}

}  // namespace rutile::sim
