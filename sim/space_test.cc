// Disks that run out of space.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <variant>

#include "sim/cluster.h"
#include "sim/monitor.h"

namespace rutile::sim {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kReserve = 1 << 20;

class SpaceTest : public ::testing::Test {
 protected:
  SpaceTest() : cluster_(world_, OptionsOf()) {
    for (std::size_t i = 0; i < cluster_.size(); ++i) cluster_.Start(i);
    monitor_.Start();
    EXPECT_TRUE(world_.RunUntil([this] { return Put("before", "x").empty(); }, Seconds(20)));
  }
  ~SpaceTest() override {
    EXPECT_EQ(cluster_.violations(), std::vector<std::string>());
    EXPECT_EQ(monitor_.problems(), std::vector<std::string>());
  }

  static Cluster::Options OptionsOf() {
    Cluster::Options options;
    options.machines.resize(3);
    options.wal.segment_bytes = 1 << 16;
    options.replica.disk_reserve_bytes = kReserve;
    return options;
  }

  std::size_t Leader() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (cluster_.is_up(i) && cluster_.node(i)->store().Gate(store::kFirstUserRegion)->is_leader) {
        return i;
      }
    }
    return 0;
  }
  SimFileSystem& LeadersDisk() { return cluster_.machine(Leader()).disk(); }

  // Runs `call(raw, header, done)` against the leader. Empty when it succeeds, else the error.
  template <class T, class F>
  std::string Call(F call) {
    std::optional<store::RawReply<T>> reply;
    const std::size_t leader = Leader();
    if (!cluster_.is_up(leader)) return "down";
    cluster_.requests(leader).Post([&, leader] {
      call(cluster_.node(leader)->raw(), store::RequestHeader{.region = store::kFirstUserRegion},
           [&reply](store::RawReply<T> answer) { reply = std::move(answer); });
    });
    world_.RunUntil([&] { return reply.has_value(); }, Seconds(10));
    if (!reply) return "no answer";
    if (const auto* error = std::get_if<store::RegionError>(&*reply)) {
      return (std::holds_alternative<store::DiskFull>(*error) ? "DiskFull: " : "") +
             ToString(*error);
    }
    if (const auto* status = std::get_if<Status>(&*reply)) return status->ToString();
    return "";
  }
  std::string Put(const std::string& key, const std::string& value) {
    return Call<store::Done>([&](store::RawKv& raw, const auto& header, auto done) {
      raw.Put(header, {{.key = key, .value = value}}, std::move(done));
    });
  }
  std::string Swap(const std::string& key, bool delete_key) {
    return Call<store::CommandResult>([&](store::RawKv& raw, const auto& header, auto done) {
      raw.CompareAndSwap(header,
                         {.key = key, .expected = "x", .value = "y", .delete_key = delete_key},
                         std::move(done));
    });
  }

  World world_{1};
  Cluster cluster_;
  Monitor monitor_{world_, cluster_, Milliseconds(20)};
};

TEST_F(SpaceTest, GrowthIsRefusedAtOnceWhileAllElseGoesOn) {
  SimFileSystem& disk = LeadersDisk();
  disk.SetCapacity(disk.used_bytes() + kReserve / 2);
  world_.RunFor(Seconds(2));
  const Duration asked = world_.Now();
  EXPECT_THAT(Put("k", "v"), HasSubstr("DiskFull: store"));
  EXPECT_THAT(Swap("before", false), HasSubstr("DiskFull"));
  EXPECT_LT(world_.Now() - asked, Milliseconds(1));

  EXPECT_EQ(Swap("before", true), "");
  EXPECT_EQ(Call<store::Done>([&](store::RawKv& raw, const auto& header, auto done) {
              raw.Delete(header, {"k"}, std::move(done));
            }),
            "");
  EXPECT_EQ(Call<store::Done>([&](store::RawKv& raw, const auto& header, auto done) {
              raw.DeleteRange(header, "a", "z", std::move(done));
            }),
            "");
  EXPECT_EQ(Call<std::optional<std::string>>([&](store::RawKv& raw, const auto& header, auto done) {
              raw.Get(header, "before", std::move(done));
            }),
            "");
  std::string status;
  cluster_.node(Leader())->CollectStatus([&](std::string json) { status = std::move(json); });
  world_.RunFor(Milliseconds(10));
  EXPECT_THAT(status, HasSubstr("refuses_growth"));

  // Not yet: what is freed must be enough for more than a moment.
  disk.SetCapacity(disk.used_bytes() + kReserve + kReserve / 8);
  world_.RunFor(Seconds(2));
  EXPECT_THAT(Put("k", "v"), HasSubstr("DiskFull"));
  disk.SetCapacity(disk.used_bytes() + 2 * kReserve);
  world_.RunFor(Seconds(2));
  EXPECT_EQ(Put("k", "v"), "");
}

// Filled by its own writes, with nothing kept in reserve but the log's next segment.
TEST_F(SpaceTest, ADiskThatIsFilledByWritesComesBack) {
  SimFileSystem& disk = LeadersDisk();
  disk.SetCapacity(disk.used_bytes() + kReserve + (1 << 18));
  std::string refused;
  int taken = 0;
  for (; taken < 5000 && refused.empty(); ++taken) {
    refused = Put("key-" + std::to_string(taken), std::string(1000, 'v'));
    if (refused.empty()) world_.RunFor(Milliseconds(10));
  }
  EXPECT_GT(taken, 100);
  EXPECT_THAT(refused, HasSubstr("DiskFull"));
  // What was acknowledged is there, and the leader leads.
  EXPECT_EQ(Call<std::optional<std::string>>([&](store::RawKv& raw, const auto& header, auto done) {
              raw.Get(header, "key-" + std::to_string(taken - 2), std::move(done));
            }),
            "");
  disk.SetCapacity(std::uint64_t{1} << 30);
  world_.RunFor(Seconds(2));
  EXPECT_EQ(Put("k", "v"), "");
}

TEST_F(SpaceTest, AFullFollowerHoldsNobodyUp) {
  SimFileSystem& disk = cluster_.machine((Leader() + 1) % 3).disk();
  disk.SetCapacity(disk.used_bytes());
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(Put("key-" + std::to_string(i), std::string(1000, 'v')), "");
  }
  disk.SetCapacity(std::uint64_t{1} << 30);
  const Duration end = world_.Now() + Seconds(60);
  while (!monitor_.HasConverged() && world_.Now() < end) world_.RunFor(Milliseconds(50));
  EXPECT_TRUE(monitor_.HasConverged()) << monitor_.Describe();
}

}  // namespace
}  // namespace rutile::sim
