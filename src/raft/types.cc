#include "raft/types.h"

#include <algorithm>

#include "base/check.h"

namespace rutile::raft {
namespace {

constexpr std::uint8_t kConfigurationVersion = 1;

bool Has(const std::vector<PeerId>& sorted, PeerId id) {
  return std::binary_search(sorted.begin(), sorted.end(), id);
}

bool IsStrictlyRising(const std::vector<PeerId>& ids) {
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (ids[i - 1] >= ids[i]) return false;
  }
  return ids.empty() || !ids.front().IsZero();
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

bool GetIds(std::string_view& in, std::vector<PeerId>& ids) {
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

std::string Join(const std::vector<PeerId>& ids) {
  std::string text;
  for (PeerId id : ids) text += (text.empty() ? "" : ",") + ToString(id);
  return text;
}

}  // namespace

bool Configuration::IsVoter(PeerId id) const { return Has(voters, id) || Has(outgoing, id); }

bool Configuration::IsMember(PeerId id) const { return IsVoter(id) || Has(learners, id); }

std::vector<PeerId> Configuration::Members() const {
  std::vector<PeerId> all = voters;
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
  return std::none_of(learners.begin(), learners.end(), [this](PeerId id) { return IsVoter(id); });
}

// One byte of version, then for voters, outgoing and learners: count and ids, 64 bits each, little
// endian.
Bytes EncodeConfiguration(const Configuration& configuration) {
  std::string out;
  out.push_back(static_cast<char>(kConfigurationVersion));
  for (const auto* ids :
       {&configuration.voters, &configuration.outgoing, &configuration.learners}) {
    PutU64(out, ids->size());
    for (PeerId id : *ids) PutU64(out, id.value());
  }
  return Bytes(std::move(out));
}

std::optional<Configuration> DecodeConfiguration(std::string_view in) {
  if (in.empty() || static_cast<std::uint8_t>(in.front()) != kConfigurationVersion) {
    return std::nullopt;
  }
  in.remove_prefix(1);
  Configuration configuration;
  if (!GetIds(in, configuration.voters) || !GetIds(in, configuration.outgoing) ||
      !GetIds(in, configuration.learners) || !in.empty() || !configuration.IsValid()) {
    return std::nullopt;
  }
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
    case MessageType::kVoteReply: return s + (m.granted ? " granted" : " refused");
    case MessageType::kAppend:
      return s + " prev " + ToString(m.slice.prev) + " +" + std::to_string(m.slice.entries.size()) +
             " commit " + ToString(m.commit);
    case MessageType::kAppendReply:
      if (m.rejected) return s + " rejected " + ToString(m.match) + " hint " + ToString(m.hint);
      return s + " match " + ToString(m.match);
    case MessageType::kHeartbeat:
      return s + " round " + ToString(m.round) + " commit " + ToString(m.commit);
    case MessageType::kHeartbeatReply: return s + " round " + ToString(m.round);
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
  return "term " + ToString(state.term) + " vote " + ToString(state.vote) + " commit " +
         ToString(state.commit);
}

std::string ToString(const Configuration& configuration) {
  std::string text = "voters (" + Join(configuration.voters) + ")";
  if (configuration.IsJoint()) text += " outgoing (" + Join(configuration.outgoing) + ")";
  if (!configuration.learners.empty()) text += " learners (" + Join(configuration.learners) + ")";
  return text;
}

std::string ToString(const Mark& mark) {
  return "write " + ToString(mark.write) + " term " + ToString(mark.term) + " epoch " +
         ToString(mark.epoch) + " index " + ToString(mark.index);
}

}  // namespace rutile::raft
