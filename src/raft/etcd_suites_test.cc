// etcd's tests of its arithmetic of majorities and of changes of configurations, as they stand.
// Their files are not part of this source tree: without them these tests say so and pass.

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <sstream>

#include "raft/conf_change.h"
#include "raft/quorum.h"
#include "raft/testing/etcd_script.h"

namespace rutile::raft {
namespace {

using testing::EtcdCommand;
using testing::EtcdScript;
using testing::ParseEtcdScript;

constexpr std::string_view kInfinite = "∞";

// --- The text in which etcd shows these things.

struct Known {
  std::map<PeerId, std::uint64_t> indexes = {};  // Of those that are known.
  std::uint64_t Of(PeerId id) const {
    const auto it = indexes.find(id);
    return it == indexes.end() ? 0 : it->second;
  }
};

// A row for each voter, with a bar as long as there are voters with lower indexes.
std::string Chart(const Configuration& all, const Known& known) {
  const PeerIds voters = all.Members();
  if (voters.empty()) return "<empty majority quorum>";
  std::ostringstream out;
  out << std::string(voters.size(), ' ') << "    idx\n";
  for (PeerId id : voters) {
    const auto lower =
        static_cast<std::size_t>(std::count_if(voters.begin(), voters.end(), [&](PeerId other) {
          return known.Of(other) < known.Of(id);
        }));
    const bool is_known = known.indexes.contains(id);
    const std::size_t bar = is_known ? lower : 0;
    out << std::string(bar, 'x') << (is_known ? ">" : "?") << std::string(voters.size() - bar, ' ')
        << ' ';
    out.width(5);
    out << known.Of(id) << "    (id=" << ToString(id) << ")\n";
  }
  return out.str();
}

std::string_view Text(VoteResult result) {
  switch (result) {
    case VoteResult::kPending: return "VotePending";
    case VoteResult::kWon: return "VoteWon";
    case VoteResult::kLost: return "VoteLost";
  }
  return "";
}

std::string List(const PeerIds& ids) {
  std::string text;
  for (PeerId id : ids) text += (text.empty() ? "" : " ") + ToString(id);
  return "(" + text + ")";
}

// --- quorum/

struct QuorumCase {
  Configuration all = {};
  PeerIds order = {};  // In which values are given to voters.
};

QuorumCase ReadConfigurations(const EtcdCommand& command) {
  QuorumCase read;
  for (const char* key : {"cfg", "cfgj"}) {
    const auto it = command.args.find(key);
    if (it == command.args.end()) continue;
    PeerIds& side = std::string_view(key) == "cfg" ? read.all.voters : read.all.outgoing;
    for (const std::string& value : it->second) {
      if (value == "zero") continue;  // Joint with nobody.
      const PeerId id(std::stoull(value));
      side.push_back(id);
      if (std::find(read.order.begin(), read.order.end(), id) == read.order.end()) {
        read.order.push_back(id);
      }
    }
    std::sort(side.begin(), side.end());
  }
  return read;
}

std::vector<std::string> Values(const EtcdCommand& command, const char* key) {
  const auto it = command.args.find(key);
  return it == command.args.end() ? std::vector<std::string>() : it->second;
}

// To etcd a set without voters agrees to everything, so that it can stand for "not joint"; to us it
// decides nothing, because a group without voters must not.
std::string Committed(const EtcdCommand& command) {
  const QuorumCase read = ReadConfigurations(command);
  Known known;
  const std::vector<std::string> values = Values(command, "idx");
  if (values.size() != read.order.size()) return "wrong number of values";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != "_") known.indexes[read.order[i]] = std::stoull(values[i]);
  }
  const auto of = [&known](PeerId id) { return known.Of(id); };
  const auto reached = [&of](const Configuration& all) { return QuorumReached(all, of); };
  const std::string chart = Chart(read.all, known);
  if (read.order.empty()) return chart + std::string(kInfinite);
  const Configuration turned{.voters = read.all.outgoing, .outgoing = read.all.voters};
  std::string text = chart + std::to_string(reached(read.all));
  if (read.all.IsJoint() && reached(read.all) != reached(turned)) text += "\nnot symmetric";
  if (!read.all.IsJoint()) {
    const Configuration twice{.voters = read.all.voters, .outgoing = read.all.voters};
    if (reached(twice) != reached(read.all)) text += "\njoint with itself differs";
  }
  return text;
}

std::string Vote(const EtcdCommand& command) {
  const QuorumCase read = ReadConfigurations(command);
  std::map<PeerId, bool> votes;
  const std::vector<std::string> values = Values(command, "votes");
  if (values.size() != read.order.size()) return "wrong number of votes";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] != "_") votes[read.order[i]] = values[i] == "y";
  }
  if (read.order.empty()) return std::string(Text(VoteResult::kWon));  // See Committed().
  const auto of = [&votes](PeerId id) {
    const auto it = votes.find(id);
    return it == votes.end() ? std::nullopt : std::optional(it->second);
  };
  const Configuration turned{.voters = read.all.outgoing, .outgoing = read.all.voters};
  std::string text(Text(CountVotes(read.all, of)));
  if (read.all.IsJoint() && CountVotes(turned, of) != CountVotes(read.all, of)) {
    text += "\nnot symmetric";
  }
  return text;
}

// --- confchange/

// Stands for the part of a leader that keeps who is a member since when.
class Changer {
 public:
  std::string Run(const EtcdCommand& command) {
    ++round_;
    const Result<Configuration> next = Next(command);
    if (!next.ok()) return EtcdText(next.status());
    configuration_ = next.value();
    std::map<PeerId, int> members;
    for (PeerId id : configuration_.Members()) {
      const auto known = since_.find(id);
      members[id] = known == since_.end() ? round_ : known->second;
    }
    since_ = std::move(members);
    return Show();
  }

 private:
  Result<Configuration> Next(const EtcdCommand& command) const {
    std::vector<ChangeStep> steps;
    std::istringstream in(command.input);
    for (std::string word; in >> word;) {
      static const std::map<char, ChangeStep::Kind> kKinds = {{'v', ChangeStep::Kind::kAddVoter},
                                                              {'l', ChangeStep::Kind::kAddLearner},
                                                              {'r', ChangeStep::Kind::kRemove},
                                                              {'u', ChangeStep::Kind::kUpdate}};
      steps.push_back({kKinds.at(word[0]), PeerId(std::stoull(word.substr(1)))});
    }
    if (command.name == "simple") return ChangeAtOnce(configuration_, steps);
    if (command.name == "leave-joint") return LeaveJoint(configuration_);
    if (command.name != "enter-joint") return Status(Code::kUnimplemented, command.name);
    const auto leave = command.args.find("autoleave");
    return EnterJoint(configuration_, steps,
                      leave != command.args.end() && leave->second.front() == "true");
  }

  static std::string EtcdText(const Status& refused) {
    static const std::map<std::string, std::string, std::less<>> kTexts = {
        {"no voter would be left", "removed all voters"},
        {"the configuration is joint already", "config is already joint"},
        {"there are no voters to decide with", "can't make a zero-voter config joint"},
        {"the configuration is not joint", "can't leave a non-joint config"},
        {"a joint configuration must be left first",
         "can't apply simple config change in joint config"},
        {"more than one voter changes, which takes a joint configuration",
         "more than one voter changed without entering joint config"}};
    const auto it = kTexts.find(refused.message());
    return it == kTexts.end() ? refused.ToString() : it->second;
  }

  std::string Show() const {
    const Configuration& c = configuration_;
    std::string text = "voters=" + List(c.voters);
    if (c.IsJoint()) text += "&&" + List(c.outgoing);
    if (!c.learners.empty()) text += " learners=" + List(c.learners);
    if (!c.learners_next.empty()) text += " learners_next=" + List(c.learners_next);
    if (c.auto_leave) text += " autoleave";
    for (const auto& [id, round] : since_) {
      text += "\n" + ToString(id) + ": StateProbe match=0";
      text += " next=" + std::to_string(std::max(round, 1));
      if (!c.IsVoter(id)) text += " learner";
    }
    return text;
  }

  Configuration configuration_ = {};
  std::map<PeerId, int> since_ = {};
  int round_ = -1;
};

// --- The suites.

void RunSuite(const std::string& suite, int expected_cases,
              const std::function<std::function<std::string(const EtcdCommand&)>()>& make) {
  const auto files = testing::EtcdSuite(suite);
  if (!files) {
    std::cerr << "NOT RUN: etcd's suite '" << suite
              << "' is not beside this source tree (../shared/conformance/etcd-raft)\n";
    return;
  }
  int cases = 0;
  for (const std::string& file : *files) {
    EXPECT_EQ("", testing::RunEtcdScript(file, make(), cases));
  }
  EXPECT_EQ(expected_cases, cases);
}

TEST(EtcdSuites, Quorum) {
  RunSuite("quorum", 127, [] {
    return [](const EtcdCommand& command) -> std::string {
      if (command.name == "committed") return Committed(command);
      return command.name == "vote" ? Vote(command) : "unknown command";
    };
  });
}

TEST(EtcdSuites, ConfChange) {
  RunSuite("confchange", 58, [] {
    return [changer = std::make_shared<Changer>()](const EtcdCommand& command) {
      return changer->Run(command);
    };
  });
}

// --- The reader of these files.

TEST(EtcdScript, CommandsArgumentsInputAndOutput) {
  const EtcdScript script = ParseEtcdScript(
      "# words\n\nmix a=1 b=(2, 3) c\nv1\nv2\n----\nok\nyes\n\nlast\n----\n----\none\n\ntwo\n"
      "----\n----\n");
  ASSERT_EQ("", script.error);
  ASSERT_EQ(2u, script.commands.size());
  const EtcdCommand& mix = script.commands[0];
  EXPECT_EQ("mix", mix.name);
  EXPECT_EQ(std::vector<std::string>{"c"}, mix.words);
  EXPECT_EQ((std::vector<std::string>{"2", "3"}), mix.args.at("b"));
  EXPECT_EQ((std::vector<std::string>{"1"}), mix.args.at("a"));
  EXPECT_EQ("v1\nv2\n", mix.input);
  EXPECT_EQ("ok\nyes\n", mix.output);
  EXPECT_EQ(3, mix.line);
  EXPECT_EQ("one\n\ntwo\n", script.commands[1].output);
}

TEST(EtcdScript, WhatCannotBeRead) {
  EXPECT_EQ("line 1: a parenthesis is not closed", ParseEtcdScript("a b=(1\n----\n").error);
  EXPECT_EQ("line 3: a command without ----", ParseEtcdScript("a\nb\n").error);
  EXPECT_EQ("line 5: output without its end", ParseEtcdScript("a\n----\n----\nb\n").error);
}

}  // namespace
}  // namespace rutile::raft
