#include "base/log.h"

#include <gtest/gtest.h>

namespace rutile {
namespace {

class RecordingSink final : public LogSink {
 public:
  void Write(LogLevel level, std::string_view file, int line, std::string_view message,
             std::initializer_list<LogField> fields) override {
    EXPECT_GT(line, 0);
    // The line number would change with every edit of this file.
    lines.push_back(FormatLogLine(0, level, file, 1, message, fields));
  }
  std::vector<std::string> lines;
};

TEST(FormatLogLine, IsTheUnifiedFormat) {
  EXPECT_EQ(FormatLogLine(1'795'424'400'123, LogLevel::kInfo, "/src/store/region.cc", 145,
                          "region started", {{"region", "2"}, {"leader", "n1"}}),
            "[2026/11/23 09:00:00.123 +00:00] [INFO] [region.cc:145] [\"region started\"] "
            "[region=2] [leader=n1]");
}

TEST(FormatLogLine, KnowsTheCalendar) {
  const auto date = [](std::uint64_t seconds) {
    return FormatLogLine(seconds * 1000, LogLevel::kWarn, "f", 1, "m", {}).substr(1, 19);
  };
  EXPECT_EQ(date(0), "1970/01/01 00:00:00");
  EXPECT_EQ(date(951'782'399), "2000/02/28 23:59:59");
  EXPECT_EQ(date(951'782'400), "2000/02/29 00:00:00");  // A century that is a leap year.
  EXPECT_EQ(date(1'709'251'199), "2024/02/29 23:59:59");
  EXPECT_EQ(date(1'735'689'599), "2024/12/31 23:59:59");
  EXPECT_EQ(date(4'107'542'400), "2100/03/01 00:00:00");  // One that is not.
}

TEST(FormatLogLine, QuotesWhatWouldBeAmbiguous) {
  const auto field = [](std::string value) {
    const std::string line = FormatLogLine(0, LogLevel::kError, "f", 1, "m", {{"k", value}});
    return line.substr(line.rfind("[k="));
  };
  EXPECT_EQ(field("plain"), "[k=plain]");
  EXPECT_EQ(field(""), "[k=\"\"]");
  EXPECT_EQ(field("two words"), "[k=\"two words\"]");
  EXPECT_EQ(field("a=b"), "[k=\"a=b\"]");
  EXPECT_EQ(field("]"), "[k=\"]\"]");
  EXPECT_EQ(field("say \"hi\""), "[k=\"say \\\"hi\\\"\"]");
  EXPECT_EQ(field("line\nbreak"), "[k=\"line\\nbreak\"]");
  EXPECT_EQ(field(std::string("\x01\xff ", 3)), "[k=\"\\u0001\\u00ff \"]");
}

TEST(Logger, EvaluatesFieldsOnlyWhenTheLevelIsOn) {
  RecordingSink sink;
  Logger logger(sink, LogLevel::kInfo);
  int evaluated = 0;
  const auto expensive = [&] { return std::to_string(++evaluated); };
  RUTILE_LOG(logger, kDebug, "hidden", {"n", expensive()});
  RUTILE_LOG(logger, kInfo, "shown", {"n", expensive()});
  EXPECT_EQ(evaluated, 1);
  logger.SetLevel(LogLevel::kDebug);
  RUTILE_LOG(logger, kDebug, "now shown");
  EXPECT_EQ(sink.lines,
            (std::vector<std::string>{"[1970/01/01 00:00:00.000 +00:00] [INFO] [log_test.cc:1] "
                                      "[\"shown\"] [n=1]",
                                      "[1970/01/01 00:00:00.000 +00:00] [DEBUG] [log_test.cc:1] "
                                      "[\"now shown\"]"}));
}

}  // namespace
}  // namespace rutile
