#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "raft/testing/etcd_script.h"
#include "raft/types.h"

namespace rutile::raft::testing {

// What nodes do, as lines that mean the same whether etcd's scripts or our core say so: the first
// word is the number of the node, and lines of one node are in the order of what happens. Which
// node works first between two messages is left out. The lines:
//
//   1 lead 2 StateFollower                     role or leader are others now
//   1 becomes candidate at term 2              or pre-candidate, or leader; seen or not
//   1 hard term 1 vote 1 commit 11             likewise term, vote or commit index
//   1 sync                                     a vote, a term or entries go to disk
//   1 appends 1/12 "x"                         to its log; conf v2 r3 for a change
//   1 applies 1/12 "x"                         in order
//   1 config voters=(1 2)&&(1) autoleave       what was applied (or installed) makes of it
//   1 installs 1/11 voters=(1 2 3)             a snapshot
//   1 sends 1->2 MsgApp term 1 prev 1/11 commit 11 [1/12 "x"]
//   1 gets 2->1 ... | 1 loses 2->1 ...       what was sent in an earlier command
//   1 stores term 1 vote 1 commit 11 [1/12 "x"]    its log writer is done with it
//   1 counts 12 as stored | 1 does not count 12 as stored     after it has heard of that
//   1 has applied [1/12 "x"]
//   1 log 1/12 "x" | 1 is StateLeader (Voter) Term:1 Lead:1 | 2 StateReplicate match=11 next=12
//   refused                                    a proposal
struct EtcdMessage {
  std::string from = {};  // A number, or a thread of etcd's.
  std::string to = {};
  std::string type = {};
  std::uint64_t term = 0;
  LogId log = {};
  std::uint64_t commit = 0;
  std::uint64_t vote = 0;
  bool rejected = false;
  std::uint64_t hint = 0;
  std::vector<std::string> entries = {};
  std::string snapshot = {};
};

std::string Text(const EtcdMessage& message);
std::string EntryText(LogId id, const std::string& what);  // `what`: quoted payload, or conf ...
std::string EntriesText(const std::vector<std::string>& entries);
std::string Quoted(std::string_view payload);
std::string ConfigurationText(const Configuration& configuration);
std::string StoredText(Index index, bool counts);
std::string HardText(std::uint64_t term, std::uint64_t vote, std::uint64_t commit);

// The lines that `command` expects, those of each node together. Log lines are left out, but for
// changes of configuration; so is what etcd's nodes say to themselves.
std::vector<std::string> ExpectedLines(const EtcdCommand& command);
// By node, keeping the order of each; of what a node sends in one go, by receiver. What is sent
// and arrives in the same command is said once.
void Normalize(std::vector<std::string>& lines);

}  // namespace rutile::raft::testing
