#include "txn/latches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>

#include "base/random.h"
#include "engine/testing/engines.h"

namespace rutile::txn {
namespace {

using Commands = std::vector<CommandId>;

CommandId Command(std::uint64_t id) { return CommandId(id); }

TEST(Latches, FirstComerHasTheKeyAndTheOthersQueueForIt) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(1), {"a"}));
  EXPECT_FALSE(latches.Acquire(Command(2), {"a"}));
  EXPECT_FALSE(latches.Acquire(Command(3), {"a"}));
  EXPECT_TRUE(latches.Acquire(Command(4), {"b"}));
  EXPECT_EQ(latches.waiting(), 2u);
  EXPECT_EQ(latches.Release(Command(1)), Commands{Command(2)});
  EXPECT_EQ(latches.Release(Command(2)), Commands{Command(3)});
  EXPECT_EQ(latches.Release(Command(3)), Commands());
  EXPECT_EQ(latches.Release(Command(4)), Commands());
  EXPECT_EQ(latches.commands(), 0u);
}

TEST(Latches, BeginsOnlyWithAllKeys) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(1), {"a"}));
  EXPECT_TRUE(latches.Acquire(Command(2), {"b"}));
  EXPECT_FALSE(latches.Acquire(Command(3), {"b", "a"}));
  EXPECT_EQ(latches.Release(Command(1)), Commands());
  EXPECT_EQ(latches.Release(Command(2)), Commands{Command(3)});
}

TEST(Latches, OrderOfKeysMakesNoCircle) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(1), {"a", "b"}));
  EXPECT_FALSE(latches.Acquire(Command(2), {"b", "a"}));
  EXPECT_FALSE(latches.Acquire(Command(3), {"a", "b"}));
  EXPECT_EQ(latches.Release(Command(1)), Commands{Command(2)});
  EXPECT_EQ(latches.Release(Command(2)), Commands{Command(3)});
}

TEST(Latches, LaterOneDoesNotOvertakeAWaitingOne) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(1), {"a"}));
  EXPECT_FALSE(latches.Acquire(Command(2), {"a", "b"}));
  // "b" is held by nobody, but promised to 2.
  EXPECT_FALSE(latches.Acquire(Command(3), {"b"}));
  EXPECT_EQ(latches.Release(Command(1)), Commands{Command(2)});
  EXPECT_EQ(latches.Release(Command(2)), Commands{Command(3)});
}

TEST(Latches, OneReleaseMayLetSeveralBeginInOrderOfArrival) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(9), {"a", "b", "c"}));
  EXPECT_FALSE(latches.Acquire(Command(8), {"c"}));
  EXPECT_FALSE(latches.Acquire(Command(7), {"a"}));
  EXPECT_FALSE(latches.Acquire(Command(1), {"b"}));
  EXPECT_EQ(latches.Release(Command(9)), (Commands{Command(8), Command(7), Command(1)}));
  EXPECT_EQ(latches.waiting(), 0u);
}

TEST(Latches, WaitingOneMayGiveUp) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(1), {"a"}));
  EXPECT_FALSE(latches.Acquire(Command(2), {"a", "b"}));
  EXPECT_FALSE(latches.Acquire(Command(3), {"a"}));
  EXPECT_FALSE(latches.Acquire(Command(4), {"b"}));
  EXPECT_EQ(latches.Release(Command(2)), Commands{Command(4)});
  EXPECT_EQ(latches.Release(Command(1)), Commands{Command(3)});
}

TEST(Latches, SameKeyTwiceIsOneKeyAndNoKeysAreFree) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(1), {"a", "a"}));
  EXPECT_TRUE(latches.Acquire(Command(2), {}));
  EXPECT_FALSE(latches.Acquire(Command(3), {"a", "a"}));
  EXPECT_EQ(latches.Release(Command(1)), Commands{Command(3)});
}

TEST(LatchesDeathTest, CommandIsInHereOnce) {
  Latches latches;
  EXPECT_TRUE(latches.Acquire(Command(1), {"a"}));
  EXPECT_DEATH(static_cast<void>(latches.Acquire(Command(1), {"b"})), "has latches already");
  EXPECT_DEATH(static_cast<void>(latches.Release(Command(2))), "has no latches");
}

// The rule, said plainly: a command may run when no earlier one that is still here shares a key
// with it.
class PlainLatches {
 public:
  bool Acquire(CommandId id, std::vector<std::string> keys) {
    commands_.push_back({id, {keys.begin(), keys.end()}, false});
    commands_.back().running = MayRun(commands_.size() - 1);
    return commands_.back().running;
  }
  Commands Release(CommandId id) {
    std::erase_if(commands_, [id](const Command& command) { return command.id == id; });
    Commands started;
    for (std::size_t i = 0; i < commands_.size(); ++i) {
      if (commands_[i].running || !MayRun(i)) continue;
      commands_[i].running = true;
      started.push_back(commands_[i].id);
    }
    return started;
  }
  std::size_t size() const { return commands_.size(); }
  CommandId IdOf(std::size_t place) const { return commands_[place].id; }

 private:
  struct Command {
    CommandId id = {};
    std::set<std::string> keys = {};
    bool running = false;
  };
  bool MayRun(std::size_t place) const {
    for (std::size_t i = 0; i < place; ++i) {
      for (const std::string& key : commands_[place].keys) {
        if (commands_[i].keys.contains(key)) return false;
      }
    }
    return true;
  }

  std::vector<Command> commands_;  // In order of arrival.
};

TEST(Latches, CommandsRunByTheRule) {
  const std::uint64_t seed = engine::testing::FromEnvironment("RUTILE_SEED", 1);
  const std::uint64_t steps = 20'000 * engine::testing::FromEnvironment("RUTILE_TEST_SCALE", 1);
  SeededRandom random(seed);
  Latches latches;
  PlainLatches plain;
  for (std::uint64_t step = 1; step <= steps; ++step) {
    if (plain.size() < 12 && (plain.size() == 0 || random.OneIn(2))) {
      std::vector<std::string> keys(random.Below(4));
      for (std::string& key : keys) key = static_cast<char>('a' + random.Below(10));
      ASSERT_EQ(latches.Acquire(Command(step), keys), plain.Acquire(Command(step), keys))
          << "step " << step;
    } else {
      const CommandId id = plain.IdOf(random.Below(plain.size()));
      ASSERT_EQ(latches.Release(id), plain.Release(id)) << "step " << step;
    }
    ASSERT_EQ(latches.commands(), plain.size());
  }
}

}  // namespace
}  // namespace rutile::txn
