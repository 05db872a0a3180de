#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "proto/keyspacepb.pb.h"
#include "proto/rutile/node.pb.h"
#include "rpc/placement_testing.h"

namespace rutile::rpc {
namespace {

using keyspacepb::KeyspaceState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class KeyspaceCallsTest : public ::testing::Test {
 protected:
  CreateKeyspaceResponse Create(const std::string& name) {
    CreateKeyspaceRequest request;
    request.set_name(name);
    (*request.mutable_config())["made-by"] = "test";
    CreateKeyspaceResponse response;
    const Status status =
        CallAndWait(*rig_.server.channel, "/rutile.Node/CreateKeyspace", request, &response);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return response;
  }
  template <class Response, class Request>
  Response Call(const std::string& method, const Request& request) {
    return rig_.server.Call<Response>("/keyspacepb.Keyspace/" + method, request);
  }
  keyspacepb::LoadKeyspaceResponse Load(const std::string& name) {
    keyspacepb::LoadKeyspaceRequest request;
    request.set_name(name);
    return Call<keyspacepb::LoadKeyspaceResponse>("LoadKeyspace", request);
  }
  keyspacepb::LoadKeyspaceResponse Load(std::uint32_t id) {
    keyspacepb::LoadKeyspaceByIDRequest request;
    request.set_id(id);
    return Call<keyspacepb::LoadKeyspaceResponse>("LoadKeyspaceByID", request);
  }
  keyspacepb::UpdateKeyspaceStateResponse Update(std::uint32_t id, KeyspaceState state) {
    keyspacepb::UpdateKeyspaceStateRequest request;
    request.set_id(id);
    request.set_state(state);
    return Call<keyspacepb::UpdateKeyspaceStateResponse>("UpdateKeyspaceState", request);
  }
  std::vector<std::string> Names(std::uint32_t from, std::uint32_t limit) {
    keyspacepb::GetAllKeyspacesRequest request;
    request.set_start_id(from);
    request.set_limit(limit);
    std::vector<std::string> names;
    const auto answer = Call<keyspacepb::GetAllKeyspacesResponse>("GetAllKeyspaces", request);
    for (const auto& keyspace : answer.keyspaces()) {
      names.push_back(keyspace.name());
    }
    return names;
  }

  OneNode rig_;
};

TEST_F(KeyspaceCallsTest, TheDefaultKeyspaceIsThere) {
  const auto loaded = Load("DEFAULT");
  EXPECT_FALSE(loaded.header().has_error());
  EXPECT_EQ(loaded.keyspace().id(), 0u);
  EXPECT_EQ(loaded.keyspace().state(), keyspacepb::ENABLED);
}

TEST_F(KeyspaceCallsTest, OneThatDoesNotExistIsAnEntryNotFound) {
  const auto loaded = Load("nobody");
  EXPECT_EQ(loaded.header().error().type(), pdpb::ENTRY_NOT_FOUND);
  EXPECT_THAT(loaded.header().error().message(), HasSubstr("keyspace does not exist: nobody"));
  EXPECT_FALSE(loaded.has_keyspace());
  EXPECT_EQ(Load(5).header().error().type(), pdpb::ENTRY_NOT_FOUND);
  EXPECT_EQ(Update(5, keyspacepb::DISABLED).header().error().type(), pdpb::ENTRY_NOT_FOUND);
}

TEST_F(KeyspaceCallsTest, OneThatWasMadeIsFoundByNameAndId) {
  const auto made = Create("tenant-a");
  EXPECT_EQ(made.error(), "");
  EXPECT_EQ(made.id(), 1u);
  const auto by_name = Load("tenant-a").keyspace();
  EXPECT_EQ(by_name.id(), 1u);
  EXPECT_EQ(by_name.config().at("made-by"), "test");
  EXPECT_GT(by_name.created_at(), 0);
  EXPECT_EQ(Load(1).keyspace().name(), "tenant-a");

  EXPECT_THAT(Create("tenant-a").error(), HasSubstr("already exists"));
  EXPECT_EQ(Create("tenant-a").id(), 1u);
  EXPECT_THAT(Create("no/name").error(), HasSubstr("is no name"));
}

TEST_F(KeyspaceCallsTest, TheyAreListedInTheOrderOfIds) {
  for (const char* name : {"b", "a", "c"}) Create(name);
  EXPECT_THAT(Names(0, 0), ElementsAre("DEFAULT", "b", "a", "c"));
  EXPECT_THAT(Names(1, 2), ElementsAre("b", "a"));
  EXPECT_THAT(Names(7, 0), ElementsAre());
}

TEST_F(KeyspaceCallsTest, StatesChangeAsTheirOrderAllows) {
  Create("a");
  EXPECT_EQ(Update(1, keyspacepb::DISABLED).keyspace().state(), keyspacepb::DISABLED);
  EXPECT_EQ(Load(1).keyspace().state(), keyspacepb::DISABLED);
  const auto refused = Update(1, keyspacepb::TOMBSTONE);
  EXPECT_EQ(refused.header().error().type(), pdpb::UNKNOWN);
  EXPECT_THAT(refused.header().error().message(),
              HasSubstr("cannot change keyspace state from DISABLED to TOMBSTONE"));
  EXPECT_THAT(Update(0, keyspacepb::DISABLED).header().error().message(),
              HasSubstr("cannot modify default keyspace's state"));
}

// Transactional clients of a keyspace ask at their start, and do not start without an answer.
TEST_F(KeyspaceCallsTest, AKeyspaceHasAStateOfCollection) {
  pdpb::GetGCStateRequest request;
  request.mutable_keyspace_scope()->set_keyspace_id(1);
  EXPECT_EQ(rig_.server.Refusal<pdpb::GetGCStateResponse>("/pdpb.PD/GetGCState", request).code(),
            Code::kNotFound);
  Create("a");
  EXPECT_TRUE(
      rig_.server.Call<pdpb::GetGCStateResponse>("/pdpb.PD/GetGCState", request).has_gc_state());
}

}  // namespace
}  // namespace rutile::rpc
