#include "placement/keyspace.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "codec/api_version.h"

namespace rutile::placement {
namespace {

using OutcomeKind = KeyspaceOutcome::Kind;
using KeyspaceState = Keyspace::State;

const std::vector<KeyspaceState> kStates = {KeyspaceState::kEnabled, KeyspaceState::kDisabled,
                                            KeyspaceState::kArchived, KeyspaceState::kTombstone};

TEST(Keyspaces, TheDefaultOneIsThereFromTheBeginning) {
  const Keyspaces keyspaces = NewKeyspaces();
  ASSERT_EQ(keyspaces.size(), 1u);
  EXPECT_EQ(FindKeyspace(keyspaces, "DEFAULT"), &keyspaces.at(0));
  EXPECT_EQ(FindKeyspace(keyspaces, std::uint32_t{0}), &keyspaces.at(0));
  EXPECT_EQ(FindKeyspace(keyspaces, "other"), nullptr);
  EXPECT_EQ(FindKeyspace(keyspaces, std::uint32_t{1}), nullptr);
}

TEST(Keyspaces, IdsAreGivenInOrderAndNamesOnce) {
  Keyspaces keyspaces = NewKeyspaces();
  const KeyspaceOutcome a = CreateIn(&keyspaces, "a", {{"k", "v"}}, 10);
  EXPECT_EQ(a.kind, OutcomeKind::kDone);
  EXPECT_EQ(a.keyspace.id, 1u);
  EXPECT_EQ(a.keyspace.created_at, 10u);
  EXPECT_EQ(a.keyspace.config.at("k"), "v");
  EXPECT_EQ(CreateIn(&keyspaces, "b", {}, 11).keyspace.id, 2u);
  for (const char* taken : {"a", "DEFAULT"}) {
    EXPECT_EQ(CreateIn(&keyspaces, taken, {}, 12).kind, OutcomeKind::kExists);
  }
  EXPECT_EQ(keyspaces.size(), 3u);
}

// Whoever still has the old id would find the new one's keys.
TEST(Keyspaces, ATombstoneKeepsItsIdAndName) {
  Keyspaces keyspaces = NewKeyspaces();
  CreateIn(&keyspaces, "a", {}, 10);
  for (const KeyspaceState state :
       {KeyspaceState::kDisabled, KeyspaceState::kArchived, KeyspaceState::kTombstone}) {
    EXPECT_EQ(ChangeIn(&keyspaces, 1, state, 11).kind, OutcomeKind::kDone);
  }
  EXPECT_EQ(CreateIn(&keyspaces, "a", {}, 12).kind, OutcomeKind::kExists);
  EXPECT_EQ(CreateIn(&keyspaces, "b", {}, 12).keyspace.id, 2u);
}

TEST(Keyspaces, ThereIsNoneBehindTheLastId) {
  Keyspaces keyspaces = NewKeyspaces();
  keyspaces[codec::kMaxKeyspaceId - 1] = {.id = codec::kMaxKeyspaceId - 1, .name = "almost"};
  EXPECT_EQ(CreateIn(&keyspaces, "last", {}, 1).keyspace.id, codec::kMaxKeyspaceId);
  EXPECT_EQ(CreateIn(&keyspaces, "more", {}, 1).kind, OutcomeKind::kNoIdLeft);
}

TEST(Keyspaces, StatesChangeOneStepAtATime) {
  const auto may = [](KeyspaceState from) {
    std::vector<KeyspaceState> all;
    for (const KeyspaceState to : kStates) {
      if (MayChange(from, to)) all.push_back(to);
    }
    return all;
  };
  using All = std::vector<KeyspaceState>;
  EXPECT_EQ(may(KeyspaceState::kEnabled), (All{KeyspaceState::kEnabled, KeyspaceState::kDisabled}));
  EXPECT_EQ(may(KeyspaceState::kDisabled),
            (All{KeyspaceState::kEnabled, KeyspaceState::kDisabled, KeyspaceState::kArchived}));
  EXPECT_EQ(may(KeyspaceState::kArchived),
            (All{KeyspaceState::kArchived, KeyspaceState::kTombstone}));
  EXPECT_EQ(may(KeyspaceState::kTombstone), All{KeyspaceState::kTombstone});
}

TEST(Keyspaces, AChangeIsDatedAndTheSameStateIsNone) {
  Keyspaces keyspaces = NewKeyspaces();
  CreateIn(&keyspaces, "a", {}, 10);
  EXPECT_EQ(ChangeIn(&keyspaces, 1, KeyspaceState::kEnabled, 11).keyspace.state_changed_at, 10u);
  EXPECT_EQ(ChangeIn(&keyspaces, 1, KeyspaceState::kDisabled, 12).keyspace.state_changed_at, 12u);
  EXPECT_EQ(ChangeIn(&keyspaces, 1, KeyspaceState::kTombstone, 13).kind, OutcomeKind::kRefused);
  EXPECT_EQ(keyspaces.at(1).state, KeyspaceState::kDisabled);
  EXPECT_EQ(ChangeIn(&keyspaces, 5, KeyspaceState::kDisabled, 14).kind, OutcomeKind::kNotFound);
}

TEST(Keyspaces, TheDefaultOneKeepsItsState) {
  Keyspaces keyspaces = NewKeyspaces();
  EXPECT_EQ(ChangeIn(&keyspaces, kDefaultKeyspaceId, KeyspaceState::kDisabled, 1).kind,
            OutcomeKind::kRefused);
  EXPECT_EQ(keyspaces, NewKeyspaces());
}

TEST(Keyspaces, NamesAreShortAndPlain) {
  for (const std::string& good : std::vector<std::string>{"a", "A-b_9", std::string(20, 'x')}) {
    EXPECT_TRUE(CheckKeyspaceName(good).ok()) << good;
  }
  for (const std::string& bad :
       std::vector<std::string>{"", "a b", "a/b", "\xc3\xa4", std::string(21, 'x')}) {
    EXPECT_FALSE(CheckKeyspaceName(bad).ok()) << bad;
  }
}

TEST(Keyspaces, OutcomesSurviveEncoding) {
  const KeyspaceOutcome outcome{.kind = OutcomeKind::kRefused,
                                .keyspace = {.id = 7,
                                             .name = "n",
                                             .state = KeyspaceState::kArchived,
                                             .created_at = 1,
                                             .state_changed_at = 2,
                                             .config = {{"a", "b"}, {"c", ""}}}};
  const std::string bytes = EncodeKeyspaceOutcome(outcome);
  EXPECT_EQ(DecodeKeyspaceOutcome(bytes).value(), outcome);
  EXPECT_FALSE(DecodeKeyspaceOutcome(bytes.substr(0, bytes.size() - 1)).ok());
  EXPECT_FALSE(DecodeKeyspaceOutcome(bytes + "x").ok());
}

}  // namespace
}  // namespace rutile::placement
