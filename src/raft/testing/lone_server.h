#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "raft/raft.h"

namespace rutile::raft::testing {

// One core, number 1 of a group, without the others: a test says their lines. What it writes is
// durable and what is committed is applied before a call returns; nobody's vote is refused for the
// sake of a leader, but for who leads.
class LoneServer {
 public:
  struct Setup {
    std::uint64_t voters = 3;
    std::vector<std::uint64_t> log = {};  // Terms of the entries from index 1, on disk.
    HardState state = {};                 // The term at least the log's last.
    int election_ticks = 10;
    std::uint64_t seed = 1;
  };

  explicit LoneServer(Setup setup);

  Raft& raft() { return *raft_; }
  // What was sent, written and applied since the last call.
  std::vector<Message> TakeMessages() { return std::exchange(messages_, {}); }
  std::vector<LogWrite> TakeWrites() { return std::exchange(writes_, {}); }
  Entries TakeApplied() { return std::exchange(applied_, {}); }
  // Terms of the whole log.
  std::vector<std::uint64_t> Log() const;

  void Step(Message message);
  void Tick();
  // Until something of `type` is sent; says after how many ticks.
  int TickUntil(MessageType type);
  void Campaign();
  void Propose(const std::string& payload);
  // Wins an election: everybody votes for it, and accepts its first entry.
  void Lead();
  // Accepts each append that was sent, or those to `by` if not zero.
  void AcceptAppends(PeerId by = {});

  // --- What others say.
  Message From(std::uint64_t from, MessageType type, std::uint64_t term) const;
  Message Append(std::uint64_t from, std::uint64_t term, LogId prev,
                 const std::vector<std::uint64_t>& entries, std::uint64_t commit = 0) const;
  Message VoteRequest(std::uint64_t from, std::uint64_t term, LogId last) const;
  Message VoteReply(std::uint64_t from, std::uint64_t term, bool granted) const;

 private:
  void Absorb(Effects effects);
  Instant Now();

  const std::uint64_t voters_;
  SeededRandom random_;
  Instant now_ = {};
  std::unique_ptr<Raft> raft_ = {};
  std::vector<Message> messages_ = {};
  std::vector<LogWrite> writes_ = {};
  Entries applied_ = {};
};

}  // namespace rutile::raft::testing
