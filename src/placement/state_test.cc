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

std::string Run(StateMachine& machine, const Command& command) {
  Batch batch;
  Result<store::WriteOutcome> outcome = machine.Apply({}, EncodeCommand(command), batch);
  EXPECT_TRUE(outcome.ok());
  EXPECT_FALSE(batch.changes().empty());
  return std::get<store::CommandResult>(outcome.value()).payload;
}

TEST(PlacementState, CommandsSurviveEncoding) {
  const StoreInfo info{StoreId(3), "n3", "127.0.0.1:1", "8.5.0"};
  for (const Command& command :
       std::vector<Command>{PutStore{info}, AllocateIds{7}, RaiseTimestampBound{99},
                            RaiseGcSafePoint{5}, SetServiceSafePoint{"backup", {4, 100}, 50},
                            PutValue{"k", "v"}, PutValue{"k", std::nullopt}}) {
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
  EXPECT_EQ(Run(machine, AllocateIds{10}), "1000");
  EXPECT_EQ(Run(machine, AllocateIds{1}), "1010");
  EXPECT_EQ(Run(machine, AllocateIds{1}), "1011");
}

TEST(PlacementState, BoundsAndSafePointsOnlyRise) {
  StateMachine machine;
  Run(machine, RaiseTimestampBound{100});
  Run(machine, RaiseTimestampBound{50});
  EXPECT_EQ(machine.View()->timestamp_bound_ms, 100u);
  EXPECT_EQ(Run(machine, RaiseGcSafePoint{7}), "7");
  EXPECT_EQ(Run(machine, RaiseGcSafePoint{3}), "7");
}

TEST(PlacementState, AServiceSafePointEndsWithItsTime) {
  StateMachine machine;
  Run(machine, SetServiceSafePoint{"backup", {42, 100}, 50});
  EXPECT_EQ(machine.View()->service_safe_points.at("backup").safe_point, 42u);
  Run(machine, SetServiceSafePoint{"backup", {42, 49}, 50});
  EXPECT_TRUE(machine.View()->service_safe_points.empty());
}

TEST(PlacementState, AViewNeverChanges) {
  StateMachine machine;
  const auto before = machine.View();
  Run(machine, PutValue{"k", "v"});
  EXPECT_TRUE(before->values.empty());
  EXPECT_EQ(machine.View()->values.at("k"), "v");
}

}  // namespace
}  // namespace rutile::placement
