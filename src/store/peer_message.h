#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "base/ids.h"
#include "base/status.h"
#include "raft/types.h"
#include "store/log_memory.h"
#include "store/node_beat.h"
#include "store/region.h"

namespace rutile::store {

// What stores say to each other, one kind per purpose. docs/formats/peer-message.md has the bytes.

// A message between two peers of one region.
struct RaftEnvelope {
  RegionId region = {};
  raft::Message message = {};
};

// A part of a snapshot on its way. Parts are numbered from 0; the receiver asks for the next one by
// acknowledging the last, so at most SnapshotOptions::window parts are on their way.
struct SnapshotPart {
  RegionId region = {};
  PeerId from = {};
  PeerId to = {};
  std::uint64_t transfer = 0;  // Chosen by the sender; tells attempts apart.
  std::uint64_t number = 0;
  std::uint64_t acknowledged = 0;  // The receiver has told that it has all before this one.
  bool last = false;
  raft::SnapshotMeta meta = {};
  Term term = {};         // The sender's as leader, or that of what is sent if that is later.
  std::string data = {};  // Records of SnapshotWriter.
};

struct SnapshotPartReply {
  RegionId region = {};
  PeerId from = {};
  PeerId to = {};
  std::uint64_t transfer = 0;
  std::uint64_t next = 0;  // All parts before this one have arrived.
  bool refused = false;    // Give up: not wanted, or no room.
};

// Asked by a replica that hears nothing from a leader: is `peer` a member still?
struct MembershipQuery {
  RegionId region = {};
  PeerId peer = {};
};

// What a store knows of a region, told to a peer that asks or that is not a member any more. The
// descriptor was applied somewhere, so all that it says was committed.
struct MembershipNews {
  PeerId to = {};
  Region region = {};
};

// For another user of the transport than regions; `channel` tells which.
struct Datagram {
  std::uint8_t channel = 0;
  std::string payload = {};
};

using PeerMessage = std::variant<RaftEnvelope, SnapshotPart, SnapshotPartReply, MembershipQuery,
                                 MembershipNews, Datagram, Beat>;

std::string Encode(const RaftEnvelope& envelope);
std::string Encode(const SnapshotPart& part);
std::string Encode(const SnapshotPartReply& reply);
std::string Encode(const MembershipQuery& query);
std::string Encode(const MembershipNews& news);
std::string Encode(const Datagram& datagram);
std::string Encode(const Beat& beat);
// What entries bring is counted in `memory`, if there is one.
Result<PeerMessage> DecodePeerMessage(std::string_view bytes, LogMemory* memory = nullptr);

// The hard state as the log engine keeps it (docs/formats/wal.md).
std::string EncodeHardState(const raft::HardState& state);
Result<raft::HardState> DecodeHardState(std::string_view bytes);

void AppendConfiguration(std::string* out, const raft::Configuration& configuration);

}  // namespace rutile::store
