// What a node says of its rounds of collection.
#include "rpc/garbage_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "env/sim/sim_clock.h"
#include "env/sim/world.h"

namespace rutile::rpc {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class Lines final : public LogSink {
 public:
  void Write(LogLevel level, std::string_view, int, std::string_view message,
             std::initializer_list<LogField> fields) override {
    std::string text = std::string(ToString(level)) + " " + std::string(message);
    for (const LogField& field : fields) text += " " + std::string(field.key) + "=" + field.value;
    lines.push_back(text);
  }
  std::vector<std::string> lines = {};
};

class GarbageReportTest : public ::testing::Test {
 protected:
  sim::World world_{1};
  sim::SimClock clock_{world_};
  Lines sink_;
  Logger logger_{sink_, LogLevel::kInfo};
  GarbageReport report_{logger_, clock_};
};

TEST_F(GarbageReportTest, OnlyWhatWasRaisedIsLoggedAndAllIsCounted) {
  report_.OnRound(client::GarbageRound{.safe_point = client::Timestamp(7),
                                       .is_raised = true,
                                       .held_by = "service cdc",
                                       .locks_resolved = 3,
                                       .regions = 2});
  report_.OnRound(client::GarbageRound{.safe_point = client::Timestamp(7), .locks_resolved = 1});
  EXPECT_THAT(sink_.lines, ElementsAre(AllOf(HasSubstr("INFO"), HasSubstr("safe_point=7"),
                                             HasSubstr("locks_resolved=3"), HasSubstr("regions=2"),
                                             HasSubstr("held_by=service cdc"))));
  EXPECT_THAT(report_.Render(), AllOf(HasSubstr("rutile_gc_rounds_total{outcome=\"raised\"} 1\n"),
                                      HasSubstr("rutile_gc_rounds_total{outcome=\"nothing\"} 1\n"),
                                      HasSubstr("rutile_gc_rounds_total{outcome=\"failed\"} 0\n"),
                                      HasSubstr("rutile_gc_locks_resolved_total 4\n")));
}

TEST_F(GarbageReportTest, AFailureIsSaidOnceUntilItChangesOrLastsLong) {
  const Status lost(Code::kUnavailable, "region 2 does not answer");
  for (int i = 0; i < 5; ++i) report_.OnRound(lost);
  EXPECT_THAT(sink_.lines, ElementsAre(AllOf(HasSubstr("WARN"), HasSubstr("region 2"))));
  report_.OnRound(Status(Code::kInternal, "nonsense"));
  EXPECT_THAT(sink_.lines, SizeIs(2));
  world_.RunFor(Seconds(601));
  report_.OnRound(Status(Code::kInternal, "nonsense"));
  EXPECT_THAT(sink_.lines, SizeIs(3));
  // It went well in between.
  report_.OnRound(client::GarbageRound{});
  report_.OnRound(Status(Code::kInternal, "nonsense"));
  EXPECT_THAT(sink_.lines, SizeIs(4));
  EXPECT_THAT(report_.Render(), HasSubstr("rutile_gc_rounds_total{outcome=\"failed\"} 8\n"));
}

}  // namespace
}  // namespace rutile::rpc
