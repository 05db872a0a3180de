#include "raft/ring_queue.h"

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "base/random.h"

namespace rutile::raft {
namespace {

// Values own memory, so that a mistake in who owns them is seen by the sanitizers.
template <class Ring>
void CompareWithADeque() {
  SeededRandom random(7);
  Ring ring;
  std::deque<std::string> twin;
  for (int step = 0; step < 20'000; ++step) {
    const std::uint64_t choice = random.Below(100);
    // Grows and shrinks in turn, so that it wraps at many sizes.
    const bool growing = (step / 500) % 2 == 0;
    if (choice < (growing ? 60U : 30U)) {
      ring.push_back("a value that is long: " + std::to_string(random.Next()));
      twin.push_back(ring.back());
    } else if (choice == 98) {
      Ring moved = std::move(ring);
      ASSERT_TRUE(ring.empty());  // NOLINT(bugprone-use-after-move)
      ring = std::move(moved);
    } else if (choice == 99) {
      ring.clear();
      twin.clear();
    } else if (!twin.empty() && choice % 3 == 0) {
      ring.pop_back();
      twin.pop_back();
    } else if (!twin.empty()) {
      ring.pop_front();
      twin.pop_front();
    }
    ASSERT_EQ(ring.size(), twin.size());
    ASSERT_EQ(ring.empty(), twin.empty());
    if (twin.empty()) continue;
    ASSERT_EQ(ring.front(), twin.front());
    ASSERT_EQ(ring.back(), twin.back());
    const std::size_t first = random.Below(twin.size());
    ASSERT_EQ(ring[first], twin[first]);
  }
}

TEST(RingQueue, HoldsWhatADequeHoldsAfterAnyCalls) { CompareWithADeque<RingQueue<std::string>>(); }

TEST(RingQueue, DoesSoWithTheFirstValuesInItself) {
  CompareWithADeque<RingQueue<std::string, 1>>();
  CompareWithADeque<RingQueue<std::string, 3>>();
}

TEST(RingQueue, LetsGoOfWhatIsTakenOut) {
  const auto value = std::make_shared<int>(1);
  RingQueue<std::shared_ptr<int>> ring;
  for (int i = 0; i < 5; ++i) ring.push_back(value);
  EXPECT_EQ(value.use_count(), 6);
  ring.pop_front();
  ring.pop_back();
  EXPECT_EQ(value.use_count(), 4);
  ring.clear();
  EXPECT_EQ(value.use_count(), 1);
}

TEST(RingQueue, ACopyIsItsOwn) {
  RingQueue<int> ring;
  for (int i = 0; i < 3; ++i) ring.push_back(i);
  RingQueue<int> copy = ring;
  ring.pop_front();
  ring.push_back(9);
  EXPECT_EQ(copy.front(), 0);
  EXPECT_EQ(copy.back(), 2);
  EXPECT_EQ(copy.size(), 3U);
}

}  // namespace
}  // namespace rutile::raft
