// Any sequence of messages, ticks, proposals and completions into one consensus core: it may refuse
// or poison itself, but never abort, and never take back what it has said.

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "fuzz/input.h"
#include "raft/raft.h"

namespace rutile::fuzz {
namespace {

constexpr LogId kBase{Term(1), Index(4)};

class Harness {
 public:
  explicit Harness(Input input) : input_(input), core_(Options(), MakeStart(), random_, now_) {}

  void Run() {
    // As many steps as an input can ask for, none of which may take long.
    for (int step = 0; step < 400 && !input_.empty(); ++step) Step();
  }

 private:
  static raft::Options Options() {
    return {.id = PeerId(1),
            .election_ticks = 4,
            .heartbeat_ticks = 1,
            .lease = Milliseconds(80),
            .vote_refusal = Milliseconds(90),
            .max_inflight_messages = 3,
            .max_inflight_bytes = 400,
            .max_append_bytes = 150,
            .max_hand_out_bytes = 150,
            .max_uncommitted_bytes = 2000,
            .quiet = true};
  }

  raft::Raft::Start MakeStart() {
    raft::Configuration configuration{.voters = {PeerId(1), PeerId(2), PeerId(3)}};
    switch (input_.Below(4)) {
      case 0: break;
      case 1: configuration.voters = {PeerId(1)}; break;
      case 2: configuration.outgoing = {PeerId(1), PeerId(4), PeerId(5)}; break;
      default: configuration = {}; break;
    }
    return {.hard_state = {.term = Term(1), .commit = kBase.index},
            .tail = raft::LogTail(kBase),
            .configuration = std::move(configuration),
            .fresh = input_.Flag()};
  }

  void Step() {
    switch (input_.Below(16)) {
      case 0: now_ += Milliseconds(25); return Take(core_.Tick(now_));
      case 1: return Propose();
      case 2: return Take(core_.Campaign(now_));
      case 3: return Take(core_.ReadIndex(now_, raft::ReadId(input_.Below(8))));
      case 4: return Take(core_.TransferLeadership(now_, PeerId(input_.Below(6))));
      case 5: return Take(core_.OnUnreachable(now_, PeerId(input_.Below(6))));
      case 6: return Applied();
      case 7:
        if (input_.Flag()) core_.CompactTo(NearIndex());
        core_.Evict(input_.Byte());
        return;
      case 8: return ColdRead();
      case 9:
        return Take(core_.OnSnapshotSent(now_, PeerId(input_.Below(6)), NearId(), input_.Flag()));
      case 10:
      case 11: return Durable();
      case 12: return Tell();
      default: return Take(core_.Step(now_, MakeMessage()));
    }
  }

  // What a host may tell at any time.
  void Tell() {
    if (input_.Flag()) {
      return Take(core_.OnPeerLiveness(now_, PeerId(input_.Below(5)), input_.Flag()));
    }
    if (!input_.Flag()) {
      return Take(core_.SetPriority(now_, static_cast<std::int32_t>(input_.Below(5)) - 2));
    }
    Take(core_.SetLimits(now_, {.max_inflight_messages = input_.Below(4),
                                .max_inflight_bytes = input_.Below(200),
                                .max_append_bytes = input_.Below(100),
                                .max_uncommitted_bytes = input_.Below(2000),
                                .max_backlog_bytes = input_.Below(2000)}));
  }

  // --- Choices around where the core is: others would be refused at the first look.

  Term NearTerm() {
    const std::uint64_t term = core_.term().value() + input_.Below(5);
    return Term(term < 3 ? 0 : term - 3);
  }
  Index NearIndex() {
    const auto choice = input_.Below(20);
    const raft::LogTail& tail = core_.tail();
    if (choice >= 16) return choice == 19 ? Index(~std::uint64_t{0}) : Index(choice - 16);
    const Index from = input_.Flag() ? tail.last().index : tail.committed();
    const std::uint64_t index = from.value() + choice;
    return Index(index < 8 ? 0 : index - 8);
  }
  LogId NearId() {
    const Index index = NearIndex();
    // Mostly an entry that is there.
    const std::optional<Term> term = core_.tail().TermAt(index);
    return {term && input_.Below(4) != 0 ? *term : NearTerm(), index};
  }

  Bytes MakePayload(EntryType type) {
    if (type == EntryType::kConfig && input_.Below(4) != 0) {
      raft::Configuration configuration;
      for (std::uint64_t id = 1; id < 6; ++id) {
        if (input_.Flag()) configuration.voters.push_back(PeerId(id));
        if (input_.Below(4) == 0) configuration.outgoing.push_back(PeerId(id));
      }
      return raft::EncodeConfiguration(configuration);
    }
    return Bytes::Copy(input_.Text(input_.Below(40)));
  }

  LogSlice MakeSlice(Term newest) {
    LogSlice slice{.prev = NearId()};
    LogId at = slice.prev;
    for (auto count = input_.Below(5); count > 0; --count) {
      at.index = at.index.Next();
      if (at.term < newest && input_.Below(3) == 0) at.term = newest;
      const auto type = static_cast<EntryType>(std::min<std::uint64_t>(input_.Below(8) / 3, 2));
      slice.entries.push_back({.id = at, .type = type, .payload = MakePayload(type)});
    }
    // Now and then one that breaks the laws of slices.
    if (!slice.empty() && input_.Below(16) == 0) slice.entries.back().id = NearId();
    return slice;
  }

  raft::Message MakeMessage() {
    raft::Message message;
    message.type = static_cast<raft::MessageType>(1 + input_.Below(12));
    message.from = PeerId(input_.Below(6));
    message.to = PeerId(input_.Below(16) == 0 ? 2 : 1);
    message.term = NearTerm();
    message.last_log = NearId();
    message.granted = input_.Flag();
    message.transfer = input_.Flag();
    if (message.type == raft::MessageType::kAppend) message.slice = MakeSlice(message.term);
    message.commit = NearIndex();
    message.rejected = input_.Flag();
    message.match = NearIndex();
    message.hint = NearId();
    message.round = raft::Round(input_.Below(8));
    message.quiet = input_.Flag();
    message.applied = NearIndex();
    if (input_.Flag()) message.room = input_.Below(200);
    message.priority = static_cast<std::int32_t>(input_.Below(5)) - 2;
    message.read = raft::ReadId(input_.Below(8));
    message.read_index = NearIndex();
    if (message.type == raft::MessageType::kSnapshot && input_.Below(8) != 0) {
      message.snapshot = raft::SnapshotMeta{
          .id = NearId(), .configuration = {.voters = {PeerId(1), PeerId(2), PeerId(3)}}};
    }
    return message;
  }

  // --- What the host does.

  void Propose() {
    std::vector<Bytes> payloads;
    for (auto count = 1 + input_.Below(4); count > 0; --count) {
      payloads.push_back(MakePayload(EntryType::kNormal));
    }
    auto [outcome, effects] = core_.Propose(now_, std::move(payloads));
    RUTILE_CHECK(std::holds_alternative<raft::Proposed>(outcome) || effects.empty());
    Take(std::move(effects));
  }

  void Durable() {
    if (marks_.empty()) return;
    // Late, repeated and out of order, too.
    Take(core_.OnDurable(now_, marks_[input_.Byte() % marks_.size()]));
  }

  void Applied() {
    if (handed_out_.empty()) return;
    Take(core_.OnApplied(now_, handed_out_[input_.Byte() % handed_out_.size()]));
  }

  void ColdRead() {
    if (reads_.empty()) return;
    const raft::ColdRead read = reads_[input_.Byte() % reads_.size()];
    LogSlice slice;
    if (input_.Flag()) slice = MakeSlice(core_.term());
    Take(core_.OnColdRead(now_, read, std::move(slice)));
  }

  void Take(raft::Effects effects) {
    if (!effects.poisoned.empty()) RUTILE_CHECK(core_.poisoned());
    if (core_.poisoned()) {
      RUTILE_CHECK(effects.messages.empty() && !effects.write && effects.committed.empty());
      return;
    }
    CheckPromises(effects);
    if (effects.write) marks_.push_back(effects.write->log.mark);
    if (effects.install) handed_ = effects.install->id;
    if (!effects.committed.empty()) {
      RUTILE_CHECK(effects.committed.prev == handed_ && effects.committed.Validate());
      handed_ = effects.committed.last();
      handed_out_.push_back(handed_.index);
    }
    for (const raft::ColdRead& read : effects.cold_reads) reads_.push_back(read);
  }

  // Terms, votes and the commit index are never taken back.
  void CheckPromises(const raft::Effects& effects) {
    const raft::HardState state = core_.hard_state();
    RUTILE_CHECK(state.term >= state_.term);
    const bool same_term = state.term == state_.term && !state_.vote.IsZero();
    RUTILE_CHECK(!same_term || state.vote == state_.vote);
    RUTILE_CHECK(core_.tail().committed() >= committed_);
    state_ = state;
    committed_ = core_.tail().committed();
    for (const raft::Message& message : effects.messages) {
      RUTILE_CHECK(message.from == PeerId(1) && message.to != PeerId(1));
      const bool accepts = message.type == raft::MessageType::kAppendReply && !message.rejected;
      RUTILE_CHECK(!accepts || message.match <= core_.tail().durable());
    }
  }

  Input input_;
  SeededRandom random_{1};
  Instant now_{};
  raft::Raft core_;
  std::vector<raft::Mark> marks_ = {};
  std::vector<Index> handed_out_ = {};
  std::vector<raft::ColdRead> reads_ = {};
  LogId handed_ = kBase;
  raft::HardState state_ = {};
  Index committed_ = {};
};

}  // namespace
}  // namespace rutile::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  rutile::fuzz::Harness(rutile::fuzz::Input(data, size)).Run();
  return 0;
}
