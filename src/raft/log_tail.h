#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/ring_queue.h"
#include "raft/types.h"

namespace rutile::raft {

// From `start` up to the next run (or the end of the log) entries have `term`.
struct TermRun {
  Index start = {};
  Term term = {};
  friend bool operator==(const TermRun&, const TermRun&) = default;
};

// The one tail of one replica's log: entries, who knows what of them, and up to where.
//
// Everything that asks "what is at index i", "which term", "up to where" asks this object: the
// consensus core, replication, apply, log collection. It is the entry cache: payloads of durable
// entries may be evicted from its front and are then read from the log engine by the host, but the
// (index, term) of every entry above base() is always here.
//
// The cursors, and the order that every mutation re-checks:
//
//   base <= applied <= applying <= committed <= last
//   durable <= submitted <= last,  base <= durable
//
//   base       the entry before the first one kept: compacted or a snapshot's
//   applied    the state machine has done with it
//   applying   handed out to apply
//   committed  known to be committed
//   durable    on this replica's disk, and still current
//   submitted  given to the log writer
//
// One message is one change of state, in this order: cut, append, commit, hand out. A cut moves all
// cursors that it touches together and raises the epoch, which voids acknowledgements of what it
// removed. Not thread-safe: belongs to the replica's executor.
class LogTail {
 public:
  // An empty log that continues after `base`; everything up to it is applied and durable.
  explicit LogTail(LogId base);

  // What a restart found on disk. `slice` holds the entries from the log engine that follow
  // `slice.prev`; those <= applied may be left out from the front, but their terms are in `runs`.
  struct Recovered {
    LogId base = {};
    std::vector<TermRun> runs = {};  // Terms of (base, last], as the log engine knows them.
    LogSlice resident = {};          // Contiguous, up to last.
    Index committed = {};            // From the hard state.
    LogId applied = {};              // From the key-value engine.
  };
  // If the log does not contain `applied`, it becomes empty after `applied`: the entries were
  // applied before this disk had them (or the cut that made room for them), and are committed. The
  // caller must then write the reset (see TakeWrite) before it promises anything.
  //
  // Requires base.index <= applied.index: a state machine behind the compacted log is lost data,
  // for the caller to find and to report.
  static LogTail Recover(Recovered recovered);

  // --- Reading.

  LogId base() const { return base_; }
  Index first() const { return base_.index.Next(); }
  LogId last() const { return last_; }
  Index applied() const { return applied_; }
  Index applying() const { return applying_; }
  Index committed() const { return committed_; }
  Index durable() const { return durable_; }
  Index submitted() const { return submitted_; }
  Epoch epoch() const { return epoch_; }

  // The term of the entry at `index`, base included. Nothing for compacted and future indexes:
  // never a guess, never a sentinel.
  std::optional<Term> TermAt(Index index) const {
    // Nearly always asked of the newest run, many times a call.
    if (index > last_.index) return std::nullopt;
    if (!runs_.empty() && index >= runs_.back().start) return last_.term;
    return TermBefore(index);
  }
  bool Contains(LogId id) const { return TermAt(id.index) == std::optional(id.term); }
  // The largest kept id with index <= id.index and term <= id.term: where the logs of two peers may
  // agree at most. base() when there is none above it.
  LogId FindAgreement(LogId id) const;

  // The first index whose payload is in memory; last + 1 when none is.
  Index first_resident() const { return Index(last_.index.value() + 1 - resident_.size()); }
  std::size_t resident_bytes() const { return resident_bytes_; }
  // Entries (prev, ...] by reference: as many as fit in `max_bytes`, but at least one, up to `to`.
  // Nothing when prev.Next() is not resident (a cold read is due) or `prev` is not in the log.
  // An empty slice when there is nothing after `prev` up to `to`.
  std::optional<LogSlice> Read(Index prev, Index to, std::size_t max_bytes) const;
  // The same into `out`, which is empty; false for nothing.
  [[nodiscard]] bool ReadInto(LogSlice& out, Index prev, Index to, std::size_t max_bytes) const;
  // The size of the entries (from, to]. Requires them to be resident.
  std::size_t BytesBetween(Index from, Index to) const;

  // --- Changing. In the order in which one message may cause them.

  // What a follower does with a slice from the leader of a term not older than its own. Requires
  // Contains(slice.prev) or slice.prev.index < base; entries that are here already are skipped, the
  // log is cut at the first conflict, the rest is appended. A conflict at or below committed is a
  // broken invariant: nothing is changed and false is returned (the replica must be poisoned).
  [[nodiscard]] bool Append(LogSlice&& slice);
  [[nodiscard]] bool Append(const LogSlice& slice) { return Append(LogSlice(slice)); }
  // Appends a leader's own entries, which get the next indexes and `term`.
  void AppendOwn(Term term, EntryType type, Bytes payload);
  // Requires committed <= index <= last; lower ones are ignored.
  void CommitTo(Index index);
  // Forgets everything and continues after `id`, which is committed. Requires id.index > committed
  // and that the log does not contain `id`: if it does, what follows may have been acknowledged and
  // must stay, and CommitTo() is all there is to do.
  void Reset(LogId id);

  // --- Towards the disk.

  // One write for the log engine: on disk the log is made to be `slice.prev` followed by
  // `slice.entries`. With `reset`, everything before is dropped first and slice.prev is the new
  // base.
  struct Write {
    Mark mark = {};
    bool reset = false;
    bool cut = false;  // Entries after slice.prev are on disk or on their way, and must go.
    LogSlice slice = {};
  };
  bool HasWrite() const;
  // Takes all that was not yet submitted, or only a fresh mark when there is nothing (the caller
  // has a hard state to write). `term` is the replica's.
  Write TakeWrite(Term term) {
    Write write;
    TakeWrite(term, write);
    return write;
  }
  // The same into `write`, which is new.
  void TakeWrite(Term term, Write& write);
  // The write with `mark`, and all before it, is on disk. Late, repeated and out-of-order calls are
  // harmless: what was cut since then is not counted. Returns whether `durable` moved.
  bool OnDurable(const Mark& mark);
  // Whether what `mark` promised is durable and nothing that it covers was cut since. False also
  // for marks so old that this is no longer known: older than the cuts that the disk has learnt of.
  bool IsCurrent(const Mark& mark) const;
  WriteNumber durable_write() const { return durable_write_; }
  WriteNumber issued_write() const { return issued_write_; }
  // Whether the next write carries a reset, which everything promised from now on depends on.
  bool reset_pending() const { return reset_pending_; }

  // --- Towards apply.

  struct HandOutRule {
    bool is_leader = false;
    Term term = {};              // The replica's.
    bool before_durable = true;  // The operator's switch, and "no merge pending".
    std::size_t max_bytes = 0;   // At least one entry is handed out.
  };
  // How far the rule allows entries to be handed out. A leader may hand out committed entries of
  // its own term that its disk does not have yet; anybody else, and older terms, wait for the disk.
  Index HandOutLimit(const HandOutRule& rule) const;
  // Entries (applying, ...] up to the limit; moves applying.
  LogSlice HandOut(const HandOutRule& rule) {
    LogSlice slice;
    HandOut(rule, slice);
    return slice;
  }
  // The same into `slice`, which is new.
  void HandOut(const HandOutRule& rule, LogSlice& slice);
  // Requires applied <= index <= applying.
  void OnApplied(Index index);

  // --- Letting go.

  // Drops the log up to `index`, which becomes base. Requires index <= min(applied, durable).
  void CompactTo(Index index);
  // Drops payloads from the front until at most `keep_bytes` are resident or only entries are left
  // that are not durable or not handed out. Returns the bytes freed.
  std::size_t Evict(std::size_t keep_bytes);

  std::string DebugString() const;

 private:
  using Runs = SmallVector<TermRun, 1>;
  struct Cut {
    Epoch epoch = {};  // The epoch that began with this cut.
    Index at = {};     // First index that was removed.
  };

  // An entry without its id, which follows from its place and from runs_.
  struct Resident {
    EntryType type = EntryType::kEmpty;
    Bytes payload = {};
    std::size_t size_bytes() const { return Entry::kOverheadBytes + payload.size(); }
  };

  // Removes entries >= index, moves every cursor with them and raises the epoch.
  void CutFrom(Index index);
  void RecordCut(Index at);
  void PushEntry(LogId id, EntryType type, Bytes&& payload);
  void PushEntry(Entry&& entry) { PushEntry(entry.id, entry.type, std::move(entry.payload)); }
  void PopFront();
  // Of an index that is not in the newest run, nor behind it.
  std::optional<Term> TermBefore(Index index) const;
  // The run behind the one that `index` is in or would continue. Requires a run that begins there
  // or before.
  Runs::const_iterator RunAfter(Index index) const;
  // The largest index up to which nothing was cut since `epoch`, at most `index`.
  Index ClampToCuts(Epoch epoch, Index index) const;
  // Every public mutator that moves more than one cursor ends with it.
  void CheckInvariants() const;
  bool ContentIsConsistent() const;  // Scans all.

  LogId base_ = {};
  LogId last_ = {};
  Runs runs_ = {};                     // Of (base, last]; strictly rising in both fields.
  RingQueue<Resident> resident_ = {};  // The end of the log, up to last.
  std::size_t resident_bytes_ = 0;

  Index applied_ = {};
  Index applying_ = {};
  Index committed_ = {};
  Index durable_ = {};
  Index submitted_ = {};

  Epoch epoch_ = {};
  SmallVector<Cut, 0> cuts_ = {};  // Those that a write in flight may not know of; `at` rises.
  bool reset_pending_ = false;     // The next write must carry the reset.
  bool cut_pending_ = false;       // Submitted entries were cut and the disk does not know yet.
  WriteNumber issued_write_ = {};
  WriteNumber durable_write_ = {};
  Epoch durable_epoch_ = {};  // Of the newest acknowledged write; cuts up to it are forgotten.
};

}  // namespace rutile::raft
