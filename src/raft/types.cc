#include "raft/types.h"

#include <algorithm>

#include "base/check.h"

namespace rutile::raft {
namespace {

constexpr std::uint8_t kConfigurationVersion = 2;
constexpr std::uint8_t kAutoLeave = 1;
constexpr std::uint8_t kHasWitnesses = 2;

bool Has(const PeerIds& sorted, PeerId id) {
  return std::binary_search(sorted.begin(), sorted.end(), id);
}

bool IsStrictlyRising(const PeerIds& ids) {
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (ids[i - 1] >= ids[i]) return false;
  }
  return ids.empty() || !ids.front().IsZero();
}

bool HasFewerThanMajority(const PeerIds& voters, const PeerIds& some) {
  const auto count =
      std::count_if(some.begin(), some.end(), [&voters](PeerId id) { return Has(voters, id); });
  return static_cast<std::size_t>(count) <= voters.size() / 2;
}

void PutU64(std::string& out, std::uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

bool GetU64(std::string_view& in, std::uint64_t& value) {
  if (in.size() < 8) return false;
  value = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(in[i])} << (8 * i);
  }
  in.remove_prefix(8);
  return true;
}

bool GetIds(std::string_view& in, PeerIds& ids) {
  std::uint64_t count = 0;
  if (!GetU64(in, count) || count > in.size() / 8) return false;
  ids.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t id = 0;
    if (!GetU64(in, id)) return false;
    ids.emplace_back(id);
  }
  return true;
}

std::string Join(const PeerIds& ids) {
  std::string text;
  for (PeerId id : ids) text += (text.empty() ? "" : ",") + ToString(id);
  return text;
}

std::string RoomText(const Message& message) {
  return message.room == kAnyRoom ? "" : " room " + std::to_string(message.room);
}

}  // namespace

bool Configuration::IsVoter(PeerId id) const { return Has(voters, id) || Has(outgoing, id); }

bool Configuration::IsMember(PeerId id) const { return IsVoter(id) || Has(learners, id); }

bool Configuration::IsWitness(PeerId id) const { return !witnesses.empty() && Has(witnesses, id); }

PeerIds Configuration::Members() const {
  PeerIds all = voters;
  all.insert(all.end(), outgoing.begin(), outgoing.end());
  all.insert(all.end(), learners.begin(), learners.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

bool Configuration::IsValid() const {
  if (!IsStrictlyRising(voters) || !IsStrictlyRising(outgoing) || !IsStrictlyRising(learners)) {
    return false;
  }
  if (voters.empty() && IsJoint()) return false;
  if (!IsJoint() && (auto_leave || !learners_next.empty())) return false;
  const bool leave_in_order =
      IsStrictlyRising(learners_next) &&
      std::all_of(learners_next.begin(), learners_next.end(),
                  [this](PeerId id) { return Has(outgoing, id) && !Has(voters, id); });
  if (!leave_in_order) return false;
  if (!IsStrictlyRising(witnesses) || !HasFewerThanMajority(voters, witnesses) ||
      !HasFewerThanMajority(outgoing, witnesses)) {
    return false;
  }
  if (!std::all_of(witnesses.begin(), witnesses.end(), [this](PeerId id) { return IsVoter(id); })) {
    return false;
  }
  if (std::any_of(witnesses.begin(), witnesses.end(),
                  [this](PeerId id) { return Has(learners_next, id); })) {
    return false;
  }
  return std::none_of(learners.begin(), learners.end(), [this](PeerId id) { return IsVoter(id); });
}

// A byte of version, a byte of flags, then for voters, outgoing, learners and learners-next: count
// and ids, 64 bits each, little endian; for witnesses, if there are any, too. Last the context:
// length and bytes.
Bytes EncodeConfiguration(const Configuration& configuration, std::string_view context) {
  std::string out;
  out.push_back(static_cast<char>(kConfigurationVersion));
  const bool has_witnesses = !configuration.witnesses.empty();
  out.push_back(static_cast<char>((configuration.auto_leave ? kAutoLeave : 0) |
                                  (has_witnesses ? kHasWitnesses : 0)));
  for (const auto* ids : {&configuration.voters, &configuration.outgoing, &configuration.learners,
                          &configuration.learners_next}) {
    PutU64(out, ids->size());
    for (PeerId id : *ids) PutU64(out, id.value());
  }
  if (has_witnesses) {
    PutU64(out, configuration.witnesses.size());
    for (PeerId id : configuration.witnesses) PutU64(out, id.value());
  }
  PutU64(out, context.size());
  out += context;
  return Bytes(std::move(out));
}

std::optional<Configuration> DecodeConfiguration(std::string_view in, std::string_view* context) {
  if (in.size() < 2 || static_cast<std::uint8_t>(in[0]) != kConfigurationVersion) {
    return std::nullopt;
  }
  const auto flags = static_cast<std::uint8_t>(in[1]);
  if (flags > (kAutoLeave | kHasWitnesses)) return std::nullopt;
  in.remove_prefix(2);
  Configuration configuration{.auto_leave = (flags & kAutoLeave) != 0};
  const bool has_witnesses = (flags & kHasWitnesses) != 0;
  std::uint64_t size = 0;
  if (!GetIds(in, configuration.voters) || !GetIds(in, configuration.outgoing) ||
      !GetIds(in, configuration.learners) || !GetIds(in, configuration.learners_next) ||
      (has_witnesses && !GetIds(in, configuration.witnesses)) ||
      has_witnesses == configuration.witnesses.empty() || !GetU64(in, size) || size != in.size() ||
      !configuration.IsValid()) {
    return std::nullopt;
  }
  if (context != nullptr) *context = in;
  return configuration;
}

std::string_view ToString(MessageType type) {
  switch (type) {
    case MessageType::kPreVote: return "PreVote";
    case MessageType::kPreVoteReply: return "PreVoteReply";
    case MessageType::kVote: return "Vote";
    case MessageType::kVoteReply: return "VoteReply";
    case MessageType::kAppend: return "Append";
    case MessageType::kAppendReply: return "AppendReply";
    case MessageType::kHeartbeat: return "Heartbeat";
    case MessageType::kHeartbeatReply: return "HeartbeatReply";
    case MessageType::kSnapshot: return "Snapshot";
    case MessageType::kTimeoutNow: return "TimeoutNow";
    case MessageType::kReadIndex: return "ReadIndex";
    case MessageType::kReadIndexReply: return "ReadIndexReply";
  }
  RUTILE_UNREACHABLE();
}

std::string ToString(const Message& m) {
  std::string s = ToString(m.from) + "->" + ToString(m.to) + " " + std::string(ToString(m.type)) +
                  " term " + ToString(m.term);
  switch (m.type) {
    case MessageType::kPreVote:
    case MessageType::kVote:
      return s + " last " + ToString(m.last_log) + (m.transfer ? " transfer" : "");
    case MessageType::kPreVoteReply:
    case MessageType::kVoteReply:
      return s + (m.granted ? " granted" : m.rejected ? " outranked" : " refused");
    case MessageType::kAppend:
      return s + " prev " + ToString(m.slice.prev) + " +" + std::to_string(m.slice.entries.size()) +
             " commit " + ToString(m.commit);
    case MessageType::kAppendReply:
      s += m.rejected ? " rejected " + ToString(m.match) + " hint " + ToString(m.hint)
                      : " match " + ToString(m.match) + RoomText(m);
      return s + (m.impaired ? " impaired" : "");
    case MessageType::kHeartbeat:
      return s + " round " + ToString(m.round) + " commit " + ToString(m.commit) +
             (m.quiet ? " quiet" : "");
    case MessageType::kHeartbeatReply:
      return s + " round " + ToString(m.round) + RoomText(m) + (m.quiet ? " quiet" : "") +
             (m.impaired ? " impaired" : "");
    case MessageType::kSnapshot:
      return s + (m.snapshot ? " at " + ToString(m.snapshot->id) : " empty");
    case MessageType::kTimeoutNow: return s;
    case MessageType::kReadIndex: return s + " read " + ToString(m.read);
    case MessageType::kReadIndexReply:
      return s + " read " + ToString(m.read) + " index " + ToString(m.read_index);
  }
  RUTILE_UNREACHABLE();
}

std::string ToString(const HardState& state) {
  std::string text = "term " + ToString(state.term) + " vote " + ToString(state.vote) + " commit " +
                     ToString(state.commit);
  if (state.impaired_until) text += " impaired until " + ToString(*state.impaired_until);
  return text;
}

std::string ToString(const Configuration& configuration) {
  std::string text = "voters (" + Join(configuration.voters) + ")";
  if (configuration.IsJoint()) text += " outgoing (" + Join(configuration.outgoing) + ")";
  if (!configuration.learners.empty()) text += " learners (" + Join(configuration.learners) + ")";
  if (!configuration.learners_next.empty()) {
    text += " learners next (" + Join(configuration.learners_next) + ")";
  }
  if (!configuration.witnesses.empty()) {
    text += " witnesses (" + Join(configuration.witnesses) + ")";
  }
  if (configuration.auto_leave) text += " auto leave";
  return text;
}

std::string ToString(const Mark& mark) {
  return "write " + ToString(mark.write) + " term " + ToString(mark.term) + " epoch " +
         ToString(mark.epoch) + " index " + ToString(mark.index);
}

}  // namespace rutile::raft
