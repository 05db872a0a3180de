#include "sim/timeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "raft/testing/test_cluster.h"
#include "sim/page.h"
#include "sim/timeline_svg.h"

namespace rutile::sim {
namespace {

using raft::testing::TestCluster;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr RegionId kGroup{2};

// Three real cores, and a recorder that looks on.
class TimelineTest : public ::testing::Test {
 protected:
  void Begin(Duration span = Seconds(3600), std::size_t max_steps = 20'000,
             std::optional<Duration> from = {}) {
    recorder_ =
        std::make_unique<TimelineRecorder>(TimelineRecorder::Options{.nodes = {"A", "B", "C"},
                                                                     .now = [this] { return now_; },
                                                                     .from = from,
                                                                     .span = span,
                                                                     .max_steps = max_steps});
    TestCluster::Setup setup;
    for (std::size_t id = 1; id <= 3; ++id) {
      setup.options.observer = recorder_->Watch(kGroup, PeerId(id), id - 1);
    }
    cluster_ = std::make_unique<TestCluster>(setup);
  }

  // Proposes one entry a second, `count` times, at the leader.
  void Work(int count) {
    for (int i = 0; i < count; ++i) {
      now_ += Seconds(1);
      cluster_->Propose(1, "x");
      cluster_->Settle();
    }
  }

  // What is known of a replica after all steps.
  static TimelineReplica Last(const Timeline& timeline, std::size_t node) {
    TimelineReplica is;
    const auto before = timeline.before.find({kGroup, node});
    if (before != timeline.before.end()) is = before->second;
    for (const TimelineStep& step : timeline.steps) {
      if (step.node == node && step.kind == TimelineStep::Kind::kDown) is = {};
      if (step.node == node && step.after) is = *step.after;
    }
    return is;
  }

  void ExpectAsCores(const Timeline& timeline) {
    for (std::size_t id = 1; id <= 3; ++id) {
      const raft::Raft& core = cluster_->raft(id);
      const TimelineReplica is = Last(timeline, id - 1);
      EXPECT_TRUE(is.is_up);
      EXPECT_EQ(is.term, core.term());
      EXPECT_EQ(is.role, core.role());
      EXPECT_EQ(is.last, core.tail().last().index);
      EXPECT_EQ(is.committed, core.tail().committed());
      EXPECT_EQ(is.applied, core.tail().applied());
      EXPECT_EQ(is.durable, core.tail().durable());
      for (Index i = core.tail().first(); i <= is.last; i = i.Next()) {
        const auto run = std::find_if(is.runs.rbegin(), is.runs.rend(),
                                      [&](const raft::TermRun& r) { return r.start <= i; });
        ASSERT_NE(run, is.runs.rend());
        EXPECT_EQ(run->term, core.tail().TermAt(i));
      }
    }
  }

  Duration now_ = {};
  std::unique_ptr<TimelineRecorder> recorder_;
  std::unique_ptr<TestCluster> cluster_;
};

TEST_F(TimelineTest, EndsWhereTheCoresAre) {
  Begin();
  cluster_->Elect(1);
  Work(3);
  cluster_->Isolate(1);
  cluster_->Propose(1, "lost");
  cluster_->Settle();
  cluster_->Elect(2);
  cluster_->Propose(2, "won");
  cluster_->Heal();
  cluster_->TickAll(10);
  const Timeline timeline = recorder_->Take();
  ExpectAsCores(timeline);
  EXPECT_THAT(Last(timeline, 0).runs, SizeIs(2)) << "entries of two terms";
  EXPECT_EQ(Last(timeline, 0).leader, 1u);
}

TEST_F(TimelineTest, MessagesGoFromAStepOfTheSenderToALaterOneOfTheReceiver) {
  Begin();
  cluster_->Elect(1);
  cluster_->CutLink(1, 3);
  Work(2);
  const Timeline timeline = recorder_->Take();
  std::size_t lost = 0;
  for (const TimelineMessage& message : timeline.messages) {
    EXPECT_EQ(timeline.steps[message.sent].node, message.from);
    if (!message.received) {
      EXPECT_EQ(message.to, 2u);
      ++lost;
      continue;
    }
    ASSERT_GT(*message.received, message.sent);
    const TimelineStep& step = timeline.steps[*message.received];
    EXPECT_EQ(step.node, message.to);
    EXPECT_THAT(step.text, HasSubstr(message.text));
  }
  EXPECT_GT(lost, 0u);
  EXPECT_GT(timeline.messages.size(), lost);
}

TEST_F(TimelineTest, SecondDeliveryIsACopy) {
  Begin();
  cluster_->Elect(1);
  recorder_->Clear();
  cluster_->Propose(1, "x");
  const raft::Message append = cluster_->network().front();
  cluster_->Deliver(0);
  cluster_->Inject(append);
  const Timeline timeline = recorder_->Take();
  std::vector<std::uint64_t> received;
  for (const TimelineMessage& message : timeline.messages) {
    if (message.received) received.push_back(*message.received);
    EXPECT_EQ(message.sent, 0u);
  }
  EXPECT_THAT(received, ElementsAre(1, 2));
}

TEST_F(TimelineTest, TicksThatDoNothingAreNoSteps) {
  Begin();
  cluster_->Elect(1);
  cluster_->TickAll(10);
  recorder_->Clear();
  cluster_->Tick(2);
  EXPECT_THAT(recorder_->Take().steps, IsEmpty());
  cluster_->Tick(1);
  cluster_->Tick(1);
  EXPECT_THAT(recorder_->Take().steps, SizeIs(1)) << "a heartbeat every second tick";
}

TEST_F(TimelineTest, KeepsTheLastSpanAndWhatWasBefore) {
  Begin(Seconds(5));
  cluster_->Elect(1);
  Work(20);
  const Timeline timeline = recorder_->Take();
  EXPECT_EQ(timeline.dropped, 0u);
  EXPECT_EQ(timeline.steps.front().at, Seconds(15));
  EXPECT_EQ(timeline.steps.back().at, Seconds(20));
  EXPECT_EQ(timeline.before.at({kGroup, 0}).last,
            Index(15));  // The leader's own, and one a second.
  ExpectAsCores(timeline);
  for (const TimelineMessage& message : timeline.messages) {
    EXPECT_LT(message.sent, timeline.steps.size());
  }
}

TEST_F(TimelineTest, StepsHaveABoundAndSaysHowManyAreMissing) {
  Begin(Seconds(5), 10);
  cluster_->Elect(1);
  Work(20);
  const Timeline timeline = recorder_->Take();
  EXPECT_THAT(timeline.steps, SizeIs(10));
  EXPECT_GT(timeline.dropped, 30u);
  ExpectAsCores(timeline);
}

TEST_F(TimelineTest, RecordsAStretch) {
  Begin(Seconds(4), 20'000, Seconds(10));
  cluster_->Elect(1);
  Work(9);
  EXPECT_THAT(recorder_->Take().steps, IsEmpty());
  EXPECT_EQ(recorder_->Take().before.at({kGroup, 0}).last, Index(10));
  Work(20);
  const Timeline timeline = recorder_->Take();
  EXPECT_EQ(timeline.steps.front().at, Seconds(10));
  EXPECT_EQ(timeline.steps.back().at, Seconds(13));
}

TEST_F(TimelineTest, BandsBeginAndEnd) {
  Begin();
  cluster_->Elect(1);
  recorder_->Clear();
  recorder_->OnFault(1, "slow", Seconds(2));
  recorder_->OnFault(kNoNode, "halves", std::nullopt);
  recorder_->SetConditions({{0, "cut off"}});
  Work(3);
  cluster_->Crash(3);
  recorder_->OnDown(2);
  recorder_->SetConditions({});
  Work(1);
  recorder_->OnFaultsEnd();
  const Timeline timeline = recorder_->Take();
  ASSERT_THAT(timeline.bands, SizeIs(4));
  const auto at = [&](std::uint64_t step) { return timeline.steps[step].at; };
  EXPECT_EQ(timeline.bands[0].text, "slow");
  EXPECT_EQ(at(*timeline.bands[0].end), Seconds(2));
  EXPECT_EQ(timeline.steps[*timeline.bands[1].end].text, "all faults are over");
  EXPECT_EQ(at(*timeline.bands[2].end), Seconds(4));
  EXPECT_TRUE(timeline.bands[3].is_down);
  EXPECT_EQ(timeline.bands[3].end, std::nullopt);
  EXPECT_FALSE(Last(timeline, 2).is_up);
}

TEST_F(TimelineTest, NothingComesAfterTheVerdict) {
  Begin();
  cluster_->Elect(1);
  recorder_->OnVerdict("broken");
  Work(2);
  recorder_->OnVerdict("broken again");
  const Timeline timeline = recorder_->Take();
  EXPECT_EQ(timeline.steps.back().text, "broken");
  EXPECT_EQ(timeline.steps.back().kind, TimelineStep::Kind::kVerdict);
}

TEST_F(TimelineTest, PageIsOneFileWithTheDataInIt) {
  Begin();
  cluster_->Elect(1);
  recorder_->OnNote("</script><b>&");
  const Timeline timeline = recorder_->Take();
  const PageWords words{.title = "a < b", .violations = {"\xff is no text"}};
  const std::string page = RenderPage(timeline, words);
  EXPECT_THAT(page,
              AllOf(HasSubstr("<title>Rutile: a &lt; b</title>"), Not(HasSubstr("</script><b>")),
                    HasSubstr("\\u003c/script>\\u003cb>&"), Not(HasSubstr("/*data*/"))));
  const auto data = nlohmann::json::parse(PageData(timeline, words));
  EXPECT_THAT(data["steps"], SizeIs(timeline.steps.size()));
  EXPECT_EQ(data["steps"].back()[4], "</script><b>&");
  for (const auto& step : data["steps"])
    EXPECT_LT(step[5], static_cast<int>(data["states"].size()));
}

// How often `part` is in `text`.
std::size_t Count(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST_F(TimelineTest, PictureHasARowForEachStepAndALineForEachMessage) {
  Begin();
  cluster_->Elect(1);
  recorder_->Clear();
  recorder_->OnNote("a < b");
  cluster_->CutLink(1, 3);
  Work(1);
  const Timeline timeline = recorder_->Take();
  const std::string svg = RenderTimelineSvg(timeline, "story");
  EXPECT_EQ(svg, RenderTimelineSvg(timeline, "story"));
  EXPECT_THAT(svg, AllOf(HasSubstr(">a &lt; b</text>"), Not(HasSubstr("a < b"))));
  for (const char* name : {"A", "B", "C"}) {
    EXPECT_EQ(Count(svg, ">" + std::string(name) + "</text>"), 1u) << name;
  }
  std::size_t received = 0, lost = 0;
  for (const TimelineMessage& message : timeline.messages) ++(message.received ? received : lost);
  EXPECT_EQ(Count(svg, "marker-end"), received);
  EXPECT_EQ(Count(svg, "class=\"lost\""), lost);
  EXPECT_EQ(Count(svg, "<circle"), timeline.steps.size() - 1) << "all but the note";
}

}  // namespace
}  // namespace rutile::sim
