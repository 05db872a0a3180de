#include "node/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "env/posix/posix_files.h"
#include "env/testing/temporary_directory.h"

namespace rutile::node {
namespace {

using codec::ApiVersion;
using ::testing::HasSubstr;

constexpr const char* kList = "n1=a:1,n2=b:1,n3=c:1";

ClusterSpec SpecOf(ApiVersion api) {
  return ClusterSpec::Parse(kList, "t", /*replicas=*/0, api).value();
}

class IdentityTest : public ::testing::Test {
 protected:
  // As the file says.
  std::uint32_t Format() {
    const std::string bytes = files_.ReadAll("IDENTITY").value();
    return static_cast<unsigned char>(bytes.at(std::string("rutile-data\n").size() + 4));
  }

  testing::TemporaryDirectory directory_;
  posix::PosixFileSystem files_{directory_.path()};
};

TEST_F(IdentityTest, WhatWasSavedIsLoaded) {
  for (const ApiVersion api : {ApiVersion::kV1, ApiVersion::kV2}) {
    for (const std::size_t streams : {std::size_t{1}, std::size_t{3}}) {
      const Identity identity{.cluster = ClusterId(7),
                              .store = StoreId(2),
                              .name = "n2",
                              .log_streams = streams,
                              .api = api};
      ASSERT_TRUE(SaveIdentity(files_, identity).ok());
      EXPECT_EQ(LoadIdentity(files_).value(), identity);
    }
  }
}

TEST_F(IdentityTest, OnlyADirectoryOfV2NeedsTheNewestFormat) {
  ASSERT_TRUE(SaveIdentity(files_, {.name = "n1"}).ok());
  EXPECT_EQ(Format(), 1u);
  ASSERT_TRUE(SaveIdentity(files_, {.name = "n1", .log_streams = 2}).ok());
  EXPECT_EQ(Format(), 2u);
  ASSERT_TRUE(SaveIdentity(files_, {.name = "n1", .log_streams = 1, .api = ApiVersion::kV2}).ok());
  EXPECT_EQ(Format(), 3u);
}

TEST_F(IdentityTest, ADirectoryKeepsItsApiVersion) {
  ASSERT_TRUE(EstablishIdentity(files_, SpecOf(ApiVersion::kV2), "n1").ok());
  EXPECT_EQ(EstablishIdentity(files_, SpecOf(ApiVersion::kV2), "n1").value().api, ApiVersion::kV2);
  const Status refused = EstablishIdentity(files_, SpecOf(ApiVersion::kV1), "n1").status();
  EXPECT_EQ(refused.code(), Code::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("start it with --api-version v2"));
}

TEST_F(IdentityTest, ANodeOnItsOwnKeepsItsApiVersion) {
  const auto spec = [](const char* token, ApiVersion api) {
    return ClusterSpec::Single("n1", "a:1", token, api);
  };
  ASSERT_TRUE(EstablishIdentity(files_, spec("1", ApiVersion::kV1), "n1").ok());
  EXPECT_TRUE(EstablishIdentity(files_, spec("2", ApiVersion::kV1), "n1").ok());
  EXPECT_FALSE(EstablishIdentity(files_, spec("3", ApiVersion::kV2), "n1").ok());
}

// So that nodes which were told different versions do not form one cluster.
TEST(ClusterSpec, TheApiVersionIsPartOfTheClustersId) {
  EXPECT_NE(SpecOf(ApiVersion::kV1).id, SpecOf(ApiVersion::kV2).id);
  EXPECT_EQ(SpecOf(ApiVersion::kV1).id, ClusterSpec::Parse(kList, "t").value().id);
}

}  // namespace
}  // namespace rutile::node
