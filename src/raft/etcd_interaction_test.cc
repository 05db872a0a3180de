// etcd's interaction scripts, run against our core. What is equal and what is not is decided line
// by line (raft/testing/etcd_text.h); what may differ is listed, with the reason, in
// raft/testing/etcd_differences.txt, and nothing else may. docs/design/etcd-scripts.md is the
// guide.
//
// The scripts are not part of this source tree: without them this test says so, and is skipped.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "raft/testing/etcd_differences.h"
#include "raft/testing/etcd_text.h"
#include "raft/testing/etcd_world.h"

namespace rutile::raft {
namespace {

using testing::EtcdCommand;
using testing::EtcdDifferences;
using testing::EtcdScript;
using testing::EtcdWorld;

constexpr const char* kTable = RUTILE_SOURCE_DIR "/src/raft/testing/etcd_differences.txt";

std::string ReadFile(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  EXPECT_TRUE(in) << path;
  return text.str();
}

// Where the text is the specification: progress and every message are compared, and these are
// the only kinds of difference.
const std::set<std::string>& ExactScripts() {
  static const std::set<std::string> kScripts = {
      "async_storage_writes", "async_storage_writes_append_aba_race", "lagging_commit",
      "replicate_pause", "probe_and_replicate"};
  return kScripts;
}
const std::set<std::string>& ExactKinds() {
  static const std::set<std::string> kKinds = {"one-answer", "void-promise"};
  return kKinds;
}

struct Score {
  int commands = 0;
  int equal = 0;
  int silent = 0;                         // Equal because nothing is expected, and nothing is said.
  int lines = 0;                          // That etcd expects.
  std::map<std::string, int> kinds = {};  // Lines that differ.
  std::set<EtcdDifferences::Place> places = {};
  std::string unlisted = {};  // In the form of the table.
  std::string listed = {};
};

void RunScript(const std::string& path, const EtcdDifferences& table, Score& score) {
  const EtcdScript script = testing::ParseEtcdScript(ReadFile(path));
  ASSERT_EQ("", script.error) << path;
  const std::string name = std::filesystem::path(path).stem().string();
  EtcdWorld world;
  for (const EtcdCommand& command : script.commands) {
    const std::vector<std::string> expected = testing::ExpectedLines(command);
    const std::vector<std::string> found = testing::Difference(expected, world.Run(command));
    const EtcdDifferences::Place place{name, command.line};
    ++score.commands;
    score.lines += static_cast<int>(expected.size());
    EXPECT_EQ("", table.Judge(place, found)) << path << ":" << command.line << " " << command.name;
    if (found.empty()) {
      ++score.equal;
      if (expected.empty()) ++score.silent;
      continue;
    }
    score.places.insert(place);
    for (const auto& [kind, count] : table.KindsAt(place)) score.kinds[kind] += count;
    score.listed += table.Write(place, command.name, found);
  }
  EXPECT_EQ("", world.violation()) << path;
}

// --- The tools, which judge in the absence of the scripts as well.

EtcdCommand ReadCommand(const std::string& text) {
  EtcdScript script = testing::ParseEtcdScript(text);
  EXPECT_EQ("", script.error);
  EXPECT_EQ(1u, script.commands.size());
  return script.commands.empty() ? EtcdCommand() : script.commands.front();
}

TEST(EtcdText, WhatATurnSays) {
  const EtcdCommand command = ReadCommand(
      "stabilize\n----\n> 2 handling Ready\n  Ready MustSync=true:\n  Lead:1 State:StateFollower\n"
      "  HardState Term:8 Commit:18\n  Entries:\n  6/19 EntryNormal \"a\"\n"
      "  7/20 EntryConfChangeV2 v3 r1\n  CommittedEntries:\n  6/18 EntryNormal \"\"\n  Messages:\n"
      "  2->1 MsgAppResp Term:8 Log:6/20 Rejected (Hint: 19)\n  2->1 MsgVoteResp Term:8 Log:0/0\n"
      "  2->AppendThread MsgStorageAppend Term:8 Log:0/0 Responses:[\n    2->1 MsgAppResp Term:8\n"
      "  ]\n  INFO 2 switched to configuration voters=(2 3)\n"
      "> 1 receiving messages\n  2->1 MsgApp Term:8 Log:6/18 Commit:3 Entries:[\n"
      "    6/19 EntryNormal \"a\"\n    7/20 EntryConfChangeV2\n  ]\n");
  EXPECT_EQ((std::vector<std::string>{
                R"(1 gets 2->1 MsgApp term 8 prev 6/18 commit 3 [6/19 "a", 7/20 conf])", "2 sync",
                "2 lead 1 StateFollower", "2 hard term 8 vote 0 commit 18", R"(2 appends 6/19 "a")",
                "2 appends 7/20 conf v3 r1", R"(2 applies 6/18 "")",
                "2 sends 2->1 MsgAppResp term 8 rejects 20 hint 6/19",
                "2 sends 2->1 MsgVoteResp term 8 granted", "2 config voters=(2 3)"}),
            testing::ExpectedLines(command));
}

TEST(EtcdText, WhatIsSeenAndLost) {
  EXPECT_EQ((std::vector<std::string>{
                "3 loses 1->3 MsgSnap term 1 1/11 voters=(1 2)&&(1) learners=(4) autoleave"}),
            testing::ExpectedLines(ReadCommand(
                "deliver-msgs drop=3\n----\ndropped: 1->3 MsgSnap Term:1 Log:0/0\n  Snapshot: "
                "Index:11 Term:1 ConfState:Voters:[1 2] VotersOutgoing:[1] Learners:[4] "
                "LearnersNext:[] AutoLeave:true\n")));
  EXPECT_EQ((std::vector<std::string>{"1 StateProbe match=0 next=11 paused"}),
            testing::ExpectedLines(
                ReadCommand("status 2\n----\n1: StateProbe match=0 next=11 paused\n")));
  EXPECT_EQ((std::vector<std::string>{"1 is not understood: what is this"}),
            testing::ExpectedLines(ReadCommand("process-ready 1\n----\nwhat is this\n")));
}

TEST(EtcdWorld, ACommandThatIsNotKnownSaysSo) {
  EtcdWorld world;
  EXPECT_EQ(std::vector<std::string>{"not done: dance"},
            world.Run({.name = "dance", .words = {"1"}}));
}

TEST(EtcdDifferences, EveryLineIsListedAndEveryListedLineDiffers) {
  const EtcdDifferences table = EtcdDifferences::Parse(
      "# words\nkind odd\n  because\nat some 3 status\n  odd - a\n  odd + b\n");
  ASSERT_EQ("", table.error());
  const std::vector<std::string> found = testing::Difference({"x", "a", "y"}, {"x", "b", "y"});
  EXPECT_EQ((std::vector<std::string>{"- a", "+ b"}), found);
  EXPECT_EQ("", table.Judge({"some", 3}, found));
  EXPECT_EQ("differs: - a\ndiffers: + b\n", table.Judge({"some", 4}, found));
  EXPECT_EQ("does not differ any more: + b\n", table.Judge({"some", 3}, {"- a"}));
  EXPECT_EQ("at some 3 status\n  odd - a\n  ? + c\n",
            table.Write({"some", 3}, "status", {"- a", "+ c"}));
}

TEST(EtcdDifferences, WhatCannotBeRead) {
  EXPECT_EQ("line 1: at some", EtcdDifferences::Parse("at some\n").error());
  EXPECT_EQ("line 2:   odd - a", EtcdDifferences::Parse("at some 3 status\n  odd - a\n").error());
  EXPECT_EQ("line 2: kind odd", EtcdDifferences::Parse("kind odd\nkind odd\n").error());
}

// --- The scripts.

TEST(EtcdInteraction, Scripts) {
  const auto files = testing::EtcdSuite("interaction");
  if (!files) {
    GTEST_SKIP() << "etcd's interaction scripts are not in "
                 << (std::filesystem::path(RUTILE_SOURCE_DIR) /
                     "../shared/conformance/etcd-raft/interaction");
  }
  const EtcdDifferences table = EtcdDifferences::Parse(ReadFile(kTable));
  ASSERT_EQ("", table.error());
  Score score;
  for (const std::string& file : *files) RunScript(file, table, score);
  EXPECT_EQ(28u, files->size());
  for (const auto& [place, at] : table.all()) {
    for (const EtcdDifferences::Line& line : at.lines) {
      EXPECT_TRUE(!ExactScripts().contains(place.script) || ExactKinds().contains(line.kind))
          << place.script << ":" << place.line << " " << line.text;
    }
    EXPECT_TRUE(score.places.contains(place))
        << place.script << ":" << place.line << " " << at.command << " does not differ any more";
  }
  for (const auto& [kind, why] : table.kinds()) {
    EXPECT_FALSE(why.empty()) << kind;
    EXPECT_TRUE(score.kinds.contains(kind)) << kind << " is not in use any more";
  }
  std::cout << score.commands << " commands: " << score.equal << " equal (of " << score.silent
            << " nothing is seen), " << score.commands - score.equal
            << " with accepted differences; " << score.lines << " expected lines\n";
  for (const auto& [kind, count] : score.kinds) std::cout << "  " << kind << " " << count << "\n";
  if (const char* path = std::getenv("RUTILE_ETCD_DIFFERENCES")) {
    std::ofstream(path) << score.listed;
  }
}

}  // namespace
}  // namespace rutile::raft
