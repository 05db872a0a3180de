#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/random.h"
#include "raft/raft.h"

namespace rutile::bench {

// One tick of the options' defaults. Time here is counted, not measured.
inline constexpr Duration kTick = Milliseconds(50);

// Three members of one group in one thread, without I/O: what is written is durable at once, what
// is committed is applied by counting it, messages are handed over in memory in the order in which
// they were sent. The same is done to the other cores in bench/core/etcd-raft and raft-rs.
class Trio {
 public:
  explicit Trio(std::uint64_t seed);

  // Proposes `payloads`, which it takes, on the leader in one call and runs until no message is on
  // its way.
  void Propose(std::span<Bytes> payloads);
  // One tick on all three, then runs until no message is on its way.
  void Tick();
  // Elects member 1.
  void Elect();
  // Lets go of all but the last `keep` applied entries on each member.
  void Compact(std::size_t keep);

  // Gives back the memory of what is on its way, which is nothing: it is none of the core's.
  void DropQueues();

  // Entries applied by the member that has applied least, without those that terms begin with.
  std::uint64_t applied() const;
  raft::Raft& leader() { return *members_[0].core; }

 private:
  struct Member {
    std::unique_ptr<raft::Raft> core = {};
    std::uint64_t applied = 0;
  };

  void Handle(Member& member, raft::Effects&& effects);
  void Deliver();

  SeededRandom random_;
  Instant now_{};
  std::vector<Member> members_;
  std::vector<raft::Message> sent_ = {};      // On their way.
  std::vector<raft::Message> arriving_ = {};  // Of the round before; kept for its memory.
};

}  // namespace rutile::bench
