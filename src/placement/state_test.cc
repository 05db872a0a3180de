#include "placement/state.h"

#include "engine/kv_engine.h"

namespace rutile::placement {
namespace {

// Collects changes; placement's commands read nothing.
class Batch final : public store::ApplyBatch {
 public:
  engine::WriteBatch& changes() override { return changes_; }
  Result<std::optional<std::string>> Get(engine::Family, std::string_view) override {
    return Status(Code::kInternal, "placement reads from memory");
  }

 private:
  engine::WriteBatch changes_;
};

std::string Apply(StateMachine& machine, const Command& command) {
  Batch batch;
  Result<store::WriteOutcome> outcome = machine.Apply({}, EncodeCommand(command), batch);
  EXPECT_TRUE(outcome.ok());
  EXPECT_FALSE(batch.changes().empty());
  return std::get<store::CommandResult>(outcome.value()).payload;
}

TEST(PlacementState, CommandsSurviveEncoding) {
  const StoreInfo info{StoreId(3), "n3", "127.0.0.1:1", "8.5.0"};
  for (const Command& command : std::vector<Command>{
           PutStore{info}, AllocateIds{7}, RaiseTimestampBound{99}, RaiseGcSafePoint{5},
           SetServiceSafePoint{"backup", {4, 100}, 50}, PutValue{"k", "v"},
           PutValue{"k", std::nullopt}, CompareAndPutValue{"k", std::nullopt, "v"},
           CompareAndPutValue{"k", "v", std::nullopt}, CreateKeyspace{"ks", {{"a", "b"}}, 9},
           SetKeyspaceState{3, Keyspace::State::kArchived, 9}}) {
    Result<Command> decoded = DecodeCommand(EncodeCommand(command));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(decoded.value().index(), command.index());
    EXPECT_EQ(EncodeCommand(decoded.value()), EncodeCommand(command));
  }
  EXPECT_FALSE(DecodeCommand("").ok());
  EXPECT_FALSE(DecodeCommand("\x63").ok());
  EXPECT_FALSE(DecodeCommand(EncodeCommand(AllocateIds{7}) + "x").ok());
}

TEST(PlacementState, IdsAreGivenOnce) {
  StateMachine machine;
  EXPECT_EQ(Apply(machine, AllocateIds{10}), "1000");
  EXPECT_EQ(Apply(machine, AllocateIds{1}), "1010");
  EXPECT_EQ(Apply(machine, AllocateIds{1}), "1011");
}

TEST(PlacementState, BoundsAndSafePointsOnlyRise) {
  StateMachine machine;
  Apply(machine, RaiseTimestampBound{100});
  Apply(machine, RaiseTimestampBound{50});
  EXPECT_EQ(machine.View()->timestamp_bound_ms, 100u);
  EXPECT_EQ(Apply(machine, RaiseGcSafePoint{7}), "7");
  EXPECT_EQ(Apply(machine, RaiseGcSafePoint{3}), "7");
}

TEST(PlacementState, AServiceSafePointEndsWithItsTime) {
  StateMachine machine;
  Apply(machine, SetServiceSafePoint{"backup", {42, 100}, 50});
  EXPECT_EQ(machine.View()->service_safe_points.at("backup").safe_point, 42u);
  Apply(machine, SetServiceSafePoint{"backup", {42, 49}, 50});
  EXPECT_TRUE(machine.View()->service_safe_points.empty());
}

TEST(PlacementState, AServiceCannotHaveWhatMayBeCollectedAlready) {
  StateMachine machine;
  const auto set = [&machine](const std::string& service, std::uint64_t point) {
    Batch batch;
    auto outcome =
        machine.Apply({}, EncodeCommand(SetServiceSafePoint{service, {point, 100}, 50}), batch);
    const auto& result = std::get<store::CommandResult>(outcome.value());
    return DecodeLowestSafePoint(result.payload).value();
  };
  Apply(machine, RaiseGcSafePoint{10});
  // The collector is at 10 and nobody asks for less.
  EXPECT_EQ(set("backup", 9), (LowestSafePoint{"gc_worker", {10, ServiceSafePoint::kNever}}));
  EXPECT_TRUE(machine.View()->service_safe_points.empty());
  EXPECT_EQ(set("backup", 20).service, "gc_worker");
  EXPECT_EQ(set("gc_worker", 30), (LowestSafePoint{"backup", {20, 100}}));
  EXPECT_EQ(set("late", 15), (LowestSafePoint{"backup", {20, 100}}));
  EXPECT_FALSE(machine.View()->service_safe_points.contains("late"));
  // Nobody is left but the collector, which has expired too.
  EXPECT_EQ(FindLowestSafePoint(*machine.View(), 100),
            (LowestSafePoint{"gc_worker", {10, ServiceSafePoint::kNever}}));
  Apply(machine, RaiseGcSafePoint{25});
  EXPECT_EQ(FindLowestSafePoint(*machine.View(), 50), (LowestSafePoint{"backup", {25, 100}}));
}

TEST(PlacementState, AValueIsReplacedOnlyIfItIsAsExpected) {
  StateMachine machine;
  const auto put = [&machine](std::optional<std::string> expected,
                              std::optional<std::string> value) {
    Batch batch;
    auto outcome =
        machine.Apply({}, EncodeCommand(CompareAndPutValue{"k", expected, value}), batch);
    const bool done = std::get<store::CommandResult>(outcome.value()).payload == "1";
    EXPECT_EQ(done, !batch.changes().empty());
    return done;
  };
  EXPECT_FALSE(put("a", "b"));
  EXPECT_TRUE(put(std::nullopt, "a"));
  EXPECT_FALSE(put(std::nullopt, "b"));
  EXPECT_FALSE(put("b", std::nullopt));
  EXPECT_EQ(machine.View()->values.at("k"), "a");
  EXPECT_TRUE(put("a", std::nullopt));
  EXPECT_TRUE(machine.View()->values.empty());
}

TEST(PlacementState, AKeyspaceIsKeptAsItIsNow) {
  StateMachine machine;
  const auto created = DecodeKeyspaceOutcome(Apply(machine, CreateKeyspace{"ks", {{"a", "b"}}, 9}));
  EXPECT_EQ(created.value().keyspace.id, 1u);
  EXPECT_EQ(machine.View()->keyspaces.at(1), created.value().keyspace);
  const auto disabled =
      DecodeKeyspaceOutcome(Apply(machine, SetKeyspaceState{1, Keyspace::State::kDisabled, 10}));
  EXPECT_EQ(machine.View()->keyspaces.at(1), disabled.value().keyspace);
  // What is refused leaves nothing for the engine.
  Batch batch;
  ASSERT_TRUE(machine.Apply({}, EncodeCommand(CreateKeyspace{"ks", {}, 11}), batch).ok());
  EXPECT_TRUE(batch.changes().empty());
}

TEST(PlacementState, AViewNeverChanges) {
  StateMachine machine;
  const auto before = machine.View();
  Apply(machine, PutValue{"k", "v"});
  EXPECT_TRUE(before->values.empty());
  EXPECT_EQ(machine.View()->values.at("k"), "v");
}

}  // namespace
}  // namespace rutile::placement
