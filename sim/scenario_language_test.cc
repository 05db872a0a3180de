// What a scenario's author is told about a mistake: file, line, and what was expected.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/scenario_run.h"

namespace rutile::sim {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A scenario with these statements, from line 6 on.
std::string Scenario(std::string_view statements) {
  std::string text;
  for (const char* header : {"what: a test", "museum: no", "bug: no", "oracle: no"}) {
    text.append(header).append("\n");
  }
  return text.append("level: core\n").append(statements);
}

std::string Message(const std::string& text) {
  return std::string(RunScenario("x.scenario", text).status.message());
}

std::string MessageOf(std::string_view statements) { return Message(Scenario(statements)); }

TEST(ScenarioLanguage, AScenarioThatIsRightEndsWell) {
  EXPECT_EQ("", MessageOf("cluster A B C  # three\n\nelect A in term 1\nexpect A.log = \"1@1\"\n"));
}

struct Mistake {
  const char* statements;
  const char* place;
  const char* expected;
};

TEST(ScenarioLanguage, MistakesAreNamedWithTheirPlace) {
  const Mistake mistakes[] = {
      {"cluster A B C\nelectt A\n", "x.scenario:7: unknown verb 'electt'", "expected one of"},
      {"elect A\n", "x.scenario:6: ", "expected 'cluster' first"},
      {"cluster A B C\n\nisolate D\n", "x.scenario:8: ", "expected a node (A, B, C), found 'D'"},
      {"cluster A B C\nisolate\n", "x.scenario:7: ", "expected a node (A, B, C), found the end"},
      {"cluster A B C\nisolate A B\n", "x.scenario:7: ", "expected the end of the line, found 'B'"},
      {"cluster A A\n", "x.scenario:6: ", "two nodes are called 'A'"},
      {"cluster a b\n", "x.scenario:6: ", "each a capital letter, found 'a'"},
      {"cluster A learners x\n", "x.scenario:6: ", "expected a number, found 'x'"},
      {"cluster A learners 1\n", "x.scenario:6: ", "expected fewer learners than nodes, found '1'"},
      {"cluster A B spare 2\n", "x.scenario:6: ", "expected fewer spare nodes than voters"},
      {"cluster A B\nchange A\n", "x.scenario:7: ", "expected voter, learner, remove, update or"},
      {"cluster A B\nchange A voter C\n", "x.scenario:7: ", "expected a node (A, B), found 'C'"},
      {"cluster A B\nchange A remove B joint until\n", "x.scenario:7: ", "expected 'left'"},
      {"cluster A B\nchange A leave refused\n", "x.scenario:7: ", "a text in quotation marks"},
      {"cluster A B\nexpect not joint C\n", "x.scenario:7: ", "expected a node (A, B), found 'C'"},
      {"cluster A window 0\n", "x.scenario:6: ", "expected a window of 1 or more"},
      {"cluster A fast\n", "x.scenario:6: ", "expected no-lease"},
      {"cluster A B\ntick A 1x\n", "x.scenario:7: ", "expected the end of the line, found '1x'"},
      {"cluster A B\nrun -3 ticks\n", "x.scenario:7: ", "expected a number, found '-3'"},
      {"cluster A B\nrun 99999999999999999999 ticks\n", "x.scenario:7: ", "expected a number"},
      {"cluster A B\nwait 5\n", "x.scenario:7: ", "expected a span of time, like 150ms or 2s"},
      {"cluster A B\ncut A\n", "x.scenario:7: ", "expected a link, like A->B"},
      {"cluster A B\ncut A->C\n", "x.scenario:7: ", "expected a node (A, B), found 'C'"},
      {"cluster A B\nbegin with 0 entries led by A\n", "x.scenario:7: ", "1 to 10000 entries"},
      {"cluster A B\ntransfer A->*\n", "x.scenario:7: ", "expected a node (A, B), found '*'"},
      {"cluster A B\npropose A refused loudly\n", "x.scenario:7: ", "expected not-leader, transf"},
      {"cluster A B\nhold A->B Apend\n", "x.scenario:7: ", "expected kinds of messages (PreVote"},
      {"cluster A B\npause disk(A)\n", "x.scenario:7: ", "expected writer(NODE)"},
      {"cluster A B\ncrash A losing all\n", "x.scenario:7: ", "expected nothing, unsynced, log"},
      {"cluster A B\npropose A \"x\n", "x.scenario:7: ", "begins with \" and does not end"},
      {"cluster A B\nexpect A.color = 3\n", "x.scenario:7: ", "expected a field (term, committed"},
      {"cluster A B\nexpect A.term ~ 3\n", "x.scenario:7: ", "expected = != < <= > or >="},
      {"cluster A B\nexpect sunshine\n", "x.scenario:7: ", "expected a condition (NODE.FIELD"},
      {"cluster A B\nexpect log A has 11\n", "x.scenario:7: ", "expected an entry, like 11@2"},
      {"cluster A B\ndisk A = \"1@1 3@1\"\n", "x.scenario:7: ", "entries that follow each other"},
      {"cluster A B\ndisk A = \"2@1\"\n", "x.scenario:7: ", "expected a log from index 1 on"},
  };
  for (const Mistake& mistake : mistakes) {
    const std::string message = MessageOf(mistake.statements);
    EXPECT_THAT(message, StartsWith(mistake.place)) << mistake.statements;
    EXPECT_THAT(message, HasSubstr(mistake.expected)) << mistake.statements;
  }
}

// The same of the second level, whose verbs share the reader of words.
TEST(ScenarioLanguage, MistakesOnTheClusterLevelAreNamedToo) {
  const Mistake mistakes[] = {
      {"cluster A B C seed x\n", "x.scenario:6: ", "expected a number, found 'x'"},
      {"cluster A B C may-poison\n", "x.scenario:6: ", "expected seed N"},
      {"cluster A B C window 0\n", "x.scenario:6: ", "expected a number from 1 to"},
      {"cluster A B C segment-bytes 9000\n", "x.scenario:6: ", "expected a multiple of 4096"},
      {"cluster A\npower-fails A during change 0\n", "x.scenario:7: ", "expected a number from 1"},
      {"cluster A\nhold A->B\n", "x.scenario:7: unknown verb 'hold'", "expected one of clock"},
      {"cluster A\nput A \"k\"\n", "x.scenario:7: ", "expected a text in quotation marks"},
      {"cluster A\nput B \"k\" \"v\"\n", "x.scenario:7: ", "expected a node (A), found 'B'"},
      {"cluster A\nread A \"k\" gives \"v\"\n", "x.scenario:7: ", "expected 'expects'"},
      {"cluster A\nrun 5s\n", "x.scenario:7: ", "expected 'until', found '5s'"},
      {"cluster A\nstall A 5\n", "x.scenario:7: ", "expected a span of time"},
      {"cluster A\npause disk(A)\n", "x.scenario:7: ", "expected writer(NODE)"},
      {"cluster A\nexpect A.log = \"1@1\"\n", "x.scenario:7: ", "expected a field (term, comm"},
  };
  for (const Mistake& mistake : mistakes) {
    std::string text = Scenario(mistake.statements);
    const std::string message = Message(text.replace(text.find("core"), 4, "cluster"));
    EXPECT_THAT(message, StartsWith(mistake.place)) << mistake.statements;
    EXPECT_THAT(message, HasSubstr(mistake.expected)) << mistake.statements;
  }
}

TEST(ScenarioLanguage, AMistakeNamesTheUsageOfItsVerb) {
  EXPECT_THAT(MessageOf("cluster A B\nelect B in 3\n"),
              HasSubstr("(usage: elect NODE [in term N])"));
}

TEST(ScenarioLanguage, NothingIsPlayedUnlessAllIsUnderstood) {
  const ScenarioOutcome outcome = RunScenario("x", Scenario("cluster A B C\nelect A\nelct B\n"));
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_EQ("", outcome.story);
}

TEST(ScenarioLanguage, HeadersAreChecked) {
  const std::string rest = "museum: none\nbug: none\noracle: none\nlevel: core\ncluster A\n";
  EXPECT_EQ("x.scenario: the header 'what:' is missing; expected before the first verb",
            Message(rest));
  EXPECT_THAT(Message("color: red\n" + rest), StartsWith("x.scenario:1: unknown header 'color'"));
  EXPECT_THAT(Message("what: a\nwhat: b\n" + rest), StartsWith("x.scenario:2: "));
  EXPECT_THAT(Message("what: a\nend: soon\n" + rest), HasSubstr("expected 'end: as it is'"));
  EXPECT_THAT(Message("what: a\nmuseum: a\nbug: a\noracle: a\nlevel: moon\ncluster A\n"),
              HasSubstr("found 'level: moon'"));
  EXPECT_THAT(MessageOf(""), HasSubstr("nothing happens"));
}

TEST(ScenarioLanguage, AFailedExpectationSaysWhatIsThere) {
  EXPECT_EQ("x.scenario:8: A.term is 1, expected = 2",
            MessageOf("cluster A B C\nelect A\nexpect A.term = 2\n"));
  EXPECT_EQ("x.scenario:8: A.log is \"1@1\", expected = \"1@2\"",
            MessageOf("cluster A B C\nelect A\nexpect A.log = \"1@2\"\n"));
  EXPECT_EQ("x.scenario:8: there is no such message",
            MessageOf("cluster A B C\nelect A\ndeliver A->B Append\n"));
  EXPECT_THAT(MessageOf("cluster A B C\nexpect message A->B\n"), HasSubstr("network is empty"));
  EXPECT_EQ("x.scenario:8: B is not elected", MessageOf("cluster A B C\nisolate B\nelect B\n"));
}

// The oracles run after every statement: a disk that loses what it had acknowledged is found out.
TEST(ScenarioLanguage, OraclesAreAskedAfterEveryStatement) {
  const std::string message = MessageOf(
      "cluster A B C\n"
      "begin with 5 entries led by A\n"
      "propose A 3 entries\n"
      "run\n"
      "crash B losing engine\n"
      "forget B after 6\n"
      "start B\n"
      "run 4 ticks\n");
  EXPECT_THAT(message, StartsWith("x.scenario:13: broken: poisoned: acknowledged entries are "
                                  "missing"));
}

// Whoever does not come to agree when all faults are over has failed, unless that is the story.
TEST(ScenarioLanguage, TheEndDemandsThatAllAgree) {
  const std::string statements =
      "cluster A B C may-poison\n"
      "begin with 5 entries led by A\n"
      "propose A 3 entries\n"
      "run\n"
      "crash B losing engine\n"
      "forget B after 6\n"
      "start B\n"
      "run until poisoned B\n";
  EXPECT_THAT(MessageOf(statements), StartsWith("x.scenario:13: T1: all faults are over, and B "));
  EXPECT_EQ("", MessageOf("end: as it is\n" + statements));
}

}  // namespace
}  // namespace rutile::sim
