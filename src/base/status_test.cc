#include "base/status.h"

#include <gtest/gtest.h>

namespace rutile {
namespace {

TEST(Status, IsOnePointer) { static_assert(sizeof(Status) == sizeof(void*)); }

TEST(Status, OkSaysSo) {
  const Status ok;
  EXPECT_TRUE(ok.ok());
  EXPECT_EQ(ok.code(), Code::kOk);
  EXPECT_EQ(ok.ToString(), "OK");
}

TEST(Status, CarriesCodeAndMessage) {
  const Status status(Code::kIoError, "disk");
  const Status copy = status;  // NOLINT: the copy is the test
  EXPECT_EQ(copy.code(), Code::kIoError);
  EXPECT_EQ(copy.ToString(), "IoError: disk");
  EXPECT_EQ(status.ToString(), "IoError: disk");
}

TEST(Status, MovedFromIsOk) {
  Status status(Code::kIoError, "disk");
  const Status moved = std::move(status);
  EXPECT_FALSE(moved.ok());
  EXPECT_TRUE(status.ok());  // NOLINT: promised by the class
}

TEST(Status, ContextGoesInFront) {
  EXPECT_EQ(Status(Code::kCorruption, "bad crc").WithContext("000001.log").ToString(),
            "Corruption: 000001.log: bad crc");
  EXPECT_TRUE(Status().WithContext("ignored").ok());
}

TEST(StatusDeathTest, AnErrorIsNotOk) {
  EXPECT_DEATH(Status(Code::kOk, "no"), "check failed");
  EXPECT_DEATH(Result<int>{Status()}, "needs an error");
}

Result<int> Half(int value) {
  if (value % 2 != 0) return Status(Code::kInvalidArgument, "odd");
  return value / 2;
}

Result<int> Quarter(int value) {
  RUTILE_ASSIGN_OR_RETURN(const int half, Half(value));
  RUTILE_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

Status CheckQuarter(int value) {
  RUTILE_RETURN_IF_ERROR(Quarter(value).status());
  return Status(Code::kAlreadyExists, "reached the end");
}

TEST(Result, MacrosPassErrorsOn) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(6).status().ToString(), "InvalidArgument: odd");
  EXPECT_EQ(CheckQuarter(6).code(), Code::kInvalidArgument);
  EXPECT_EQ(CheckQuarter(8).code(), Code::kAlreadyExists);
}

TEST(Result, HoldsWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(5));
  const std::unique_ptr<int> value = std::move(result).value();
  EXPECT_EQ(*value, 5);
}

TEST(ResultDeathTest, ValueOfAnErrorSaysWhatTheErrorWas) {
  const Result<int> error = Half(3);
  EXPECT_DEATH(error.value(), "InvalidArgument: odd");
}

TEST(Code, EveryOneHasANameOfItsOwn) {
  std::vector<std::string> names;
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    names.emplace_back(ToString(static_cast<Code>(i)));
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace rutile
