// Replicas that come to nodes and leave them, step by step, with crashes at every one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codec/keys.h"
#include "sim/cluster.h"
#include "sim/monitor.h"
#include "sim/workload.h"
#include "store/tombstone.h"

namespace rutile::sim {
namespace {

using StepKind = store::MemberStep::Kind;
using ::testing::IsEmpty;

constexpr RegionId kRegion = store::kFirstUserRegion;
constexpr PeerId kNew{2001};

// Four nodes, three of which have the data.
class Members {
 public:
  explicit Members(std::uint64_t seed, std::size_t nodes = 4)
      : world_(seed), cluster_(world_, OptionsOf(nodes)) {
    for (std::size_t i = 0; i < nodes; ++i) cluster_.Start(i);
    monitor_.Start();
    registers_.Start();
    EXPECT_TRUE(Serves(30));
  }

  World& world() { return world_; }
  Cluster& cluster() { return cluster_; }

  bool Serves(std::uint64_t calls, Duration limit = Seconds(20)) {
    const std::uint64_t target = registers_.completed() + calls;
    return world_.RunUntil([&] { return registers_.completed() >= target; }, limit);
  }
  bool Converges(Duration limit = Seconds(60)) {
    registers_.Stop();
    const Duration end = world_.Now() + limit;
    while (!registers_.is_idle() || !monitor_.HasConverged()) {
      if (world_.Now() > end) {
        ADD_FAILURE() << monitor_.Describe();
        return false;
      }
      world_.RunFor(Milliseconds(50));
    }
    return true;
  }
  std::vector<std::string> Problems() {
    std::vector<std::string> all = cluster_.violations();
    for (const auto& more : {monitor_.problems(), registers_.Check()}) {
      all.insert(all.end(), more.begin(), more.end());
    }
    return all;
  }

  std::optional<store::GateState> Gate(std::size_t node) {
    if (!cluster_.is_up(node)) return std::nullopt;
    return cluster_.node(node)->store().Gate(kRegion);
  }
  std::optional<std::size_t> Leader() {
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      const auto gate = Gate(i);
      if (gate && gate->is_leader) return i;
    }
    return std::nullopt;
  }
  store::Region Region() {
    EXPECT_TRUE(world_.RunUntil([&] { return Leader().has_value(); }, Seconds(20)));
    return *Gate(*Leader())->region;
  }

  // Whether the region is as the steps want it: an answer may have been lost with its leader.
  bool IsDone(const std::vector<store::MemberStep>& steps) {
    const store::Region region = Region();
    return std::all_of(steps.begin(), steps.end(), [&](const store::MemberStep& step) {
      const store::Peer* peer = region.FindPeer(step.peer.id);
      switch (step.kind) {
        case StepKind::kRemove: return peer == nullptr;
        case StepKind::kPromote: return peer != nullptr && peer->role == store::PeerRole::kVoter;
        case StepKind::kAddLearner:
        case StepKind::kDemote: return peer != nullptr && peer->role == store::PeerRole::kLearner;
      }
      return false;
    });
  }

  // Asks whoever leads until it is done, or refused for good.
  Status Change(const std::vector<store::MemberStep>& steps, Duration limit = Seconds(30)) {
    const Duration end = world_.Now() + limit;
    Status last(Code::kUnavailable, "nobody was asked");
    while (world_.Now() < end) {
      world_.RunUntil([&] { return Leader().has_value(); }, Seconds(5));
      if (!Leader()) continue;
      if (IsDone(steps)) return {};
      const auto answer = std::make_shared<std::optional<store::ChangeOutcome>>();
      cluster_.node(*Leader())->store().ChangeMembers(
          {.region = kRegion}, steps,
          [answer](store::ChangeOutcome outcome) { *answer = std::move(outcome); });
      world_.RunUntil([&] { return answer->has_value(); }, Seconds(5));
      if (*answer && std::holds_alternative<Status>(**answer)) {
        last = std::get<Status>(**answer);
        if (last.code() != Code::kUnavailable) return last;
      } else if (*answer) {
        last = Status(Code::kUnavailable, ToString(std::get<store::RegionError>(**answer)));
      }
      world_.RunFor(Milliseconds(50));
    }
    return last;
  }
  void MustChange(const std::vector<store::MemberStep>& steps) {
    const Status status = Change(steps);
    EXPECT_TRUE(status.ok()) << status.ToString();
  }

  bool HasData(std::size_t node) {
    const auto snapshot = cluster_.node(node)->engine().GetSnapshot();
    const auto iterator = snapshot->NewIterator(
        engine::Family::kDefault, {.lower = codec::DataKey(""), .upper = codec::DataEndKey("")});
    iterator->Seek(codec::DataKey(""));
    return iterator->Valid();
  }
  std::optional<store::Tombstone> TombstoneOn(std::size_t node) {
    const auto stored =
        cluster_.node(node)->engine().Get(engine::Family::kMeta, codec::TombstoneKey(kRegion));
    if (!stored.ok() || !stored.value()) return std::nullopt;
    return store::DecodeTombstone(*stored.value()).value();
  }

 private:
  static Cluster::Options OptionsOf(std::size_t nodes) {
    Cluster::Options options;
    options.machines.resize(nodes);
    options.replicas = 3;
    for (Machine::Options& machine : options.machines) {
      machine.disk.sync = {Microseconds(300), Milliseconds(2)};
    }
    options.wal.segment_bytes = 1 << 16;
    options.replica.snapshot_part_bytes = 200;
    return options;
  }

  World world_;
  Cluster cluster_;
  Monitor monitor_{world_, cluster_, Milliseconds(20)};
  RegisterWorkload registers_{world_, cluster_, {.timeout = Milliseconds(300)}};
};

store::MemberStep AddLearner(PeerId peer, std::uint64_t store) {
  return {StepKind::kAddLearner, {.id = peer, .store = StoreId(store)}};
}
store::MemberStep Step(StepKind kind, PeerId peer) { return {kind, {.id = peer}}; }

TEST(Membership, AReplicaMovesToANodeThatHadNone) {
  Members m(1);
  EXPECT_FALSE(m.Gate(3)) << "four nodes, three replicas";
  const PeerId first = m.Region().PeerOn(StoreId(1))->id;
  m.MustChange({AddLearner(kNew, 4)});
  m.MustChange({Step(StepKind::kPromote, kNew), Step(StepKind::kRemove, first)});
  EXPECT_TRUE(m.Serves(50));
  EXPECT_TRUE(m.Converges());
  const store::Region region = m.Region();
  EXPECT_EQ(region.PeerOn(StoreId(1)), nullptr);
  EXPECT_EQ(region.PeerOn(StoreId(4))->id, kNew);
  EXPECT_EQ(region.PeerOn(StoreId(4))->role, store::PeerRole::kVoter);
  EXPECT_FALSE(m.HasData(0));
  EXPECT_TRUE(m.HasData(3));
  EXPECT_EQ(m.TombstoneOn(0)->peer, first);
  EXPECT_THAT(m.Problems(), IsEmpty());
}

// A node that is told by old messages to have the removed replica again, and does not.
TEST(Membership, ATombstoneOutlivesARestartAndRefusesOldMessages) {
  Members m(2);
  const PeerId removed = m.Region().PeerOn(StoreId(2))->id;
  const PeerId other = m.Region().PeerOn(StoreId(1))->id;
  m.MustChange({Step(StepKind::kRemove, removed)});
  ASSERT_TRUE(m.world().RunUntil([&] { return !m.Gate(1); }, Seconds(20)));
  for (int round = 0; round < 2; ++round) {
    raft::Message old;
    old.type = raft::MessageType::kHeartbeat;
    old.from = other;
    old.to = removed;
    old.term = Term(2);
    m.cluster().machine(0).transport().Send(StoreId(2), Encode(store::RaftEnvelope{kRegion, old}));
    m.world().RunFor(Seconds(1));
    EXPECT_FALSE(m.Gate(1)) << "round " << round;
    m.cluster().CutPower(1);
    m.cluster().Start(1);
    m.world().RunFor(Seconds(1));
  }
  // But a later peer is welcome.
  m.MustChange({AddLearner(kNew, 2)});
  m.MustChange({Step(StepKind::kPromote, kNew)});
  EXPECT_TRUE(m.Converges());
  EXPECT_EQ(m.Gate(1)->self, kNew);
  EXPECT_THAT(m.Problems(), IsEmpty());
}

// Nobody speaks to it any more: it has to ask.
TEST(Membership, ARemovedReplicaThatHeardNothingFindsOut) {
  for (const bool learner : {false, true}) {
    Members m(3);
    const PeerId removed = m.Region().PeerOn(StoreId(3))->id;
    if (learner) m.MustChange({Step(StepKind::kDemote, removed)});
    m.cluster().Kill(2);
    m.MustChange({Step(StepKind::kRemove, removed)});
    EXPECT_TRUE(m.Serves(20));
    m.cluster().Start(2);
    EXPECT_TRUE(m.world().RunUntil([&] { return m.cluster().is_up(2) && m.Gate(2).has_value(); },
                                   Seconds(5)));
    EXPECT_TRUE(m.world().RunUntil([&] { return !m.Gate(2); }, Seconds(30)));
    EXPECT_FALSE(m.HasData(2));
    EXPECT_TRUE(m.Converges());
    EXPECT_THAT(m.Problems(), IsEmpty());
  }
}

// A healthy replica that is cut off must not take silence for removal.
TEST(Membership, AnIsolatedReplicaDoesNotDestroyItself) {
  Members m(4);
  m.cluster().network().Partition({StoreId(3)}, {StoreId(1), StoreId(2), StoreId(4)});
  m.world().RunFor(Seconds(60));
  EXPECT_TRUE(m.Gate(2));
  m.cluster().network().HealAll();
  EXPECT_TRUE(m.Serves(20));
  EXPECT_TRUE(m.Converges());
  EXPECT_THAT(m.Problems(), IsEmpty());
}

// What `story` does is done while the power of `node` goes at its n-th change of the disk, for all
// n until the story takes fewer.
void CrashAtEveryStep(std::size_t node, const std::function<void(Members&)>& before,
                      const std::function<void(Members&)>& story) {
  std::uint64_t crashes = 0;
  for (std::uint64_t changes = 1; changes < 400; changes += 1 + changes / 16) {
    Members m(100 + changes);
    before(m);
    m.cluster().CutPowerAfter(node, changes);
    story(m);
    m.world().RunFor(Seconds(1));
    const bool crashed = !m.cluster().machine(node).is_running();
    if (crashed) {
      ++crashes;
      m.cluster().Start(node);
    }
    EXPECT_TRUE(m.Converges()) << changes;
    EXPECT_THAT(m.Problems(), IsEmpty()) << changes;
    if (!crashed || ::testing::Test::HasFailure()) break;
  }
  EXPECT_GT(crashes, 5u);
}

// Of a machine without power nothing is left running, whichever process the cut was drawn in.
TEST(Membership, APowerCutMeetsTheProcessThatRuns) {
  Members m(5);
  m.cluster().CutPowerAfter(2, 3);
  m.cluster().Kill(2);
  m.cluster().Start(2);
  m.world().RunFor(Seconds(5));
  EXPECT_FALSE(m.cluster().machine(2).is_running());
  m.cluster().Start(2);
  EXPECT_TRUE(m.Converges());
  EXPECT_THAT(m.Problems(), IsEmpty());
}

TEST(Membership, ANewReplicaSurvivesACrashAtEveryStep) {
  CrashAtEveryStep(
      3, [](Members&) {},
      [](Members& m) {
        m.MustChange({AddLearner(kNew, 4)});
        m.world().RunFor(Seconds(2));
      });
}

TEST(Membership, ADestructionSurvivesACrashAtEveryStep) {
  CrashAtEveryStep(
      2, [](Members&) {},
      [](Members& m) {
        m.MustChange({Step(StepKind::kRemove, m.Region().PeerOn(StoreId(3))->id)});
        m.world().RunFor(Seconds(2));
      });
}

TEST(Membership, AReplicaThatComesBackUnderAnotherIdSurvivesACrashAtEveryStep) {
  CrashAtEveryStep(
      2, [](Members&) {},
      [](Members& m) {
        m.MustChange({Step(StepKind::kRemove, m.Region().PeerOn(StoreId(3))->id)});
        m.MustChange({AddLearner(kNew, 3)});
        m.world().RunFor(Seconds(2));
      });
}

// Its other group goes on, and it is rebuilt from its peers.
TEST(Membership, APoisonedReplicaIsRebuiltFromItsPeers) {
  Members m(5);
  const store::Region region = m.Region();
  const auto leader = m.Leader();
  ASSERT_TRUE(leader);
  const std::size_t victim = (*leader + 1) % 3, other = (*leader + 2) % 3;
  // Two leaders in one term: an invariant is broken, as far as the victim can tell.
  raft::Message lie;
  lie.type = raft::MessageType::kHeartbeat;
  lie.from = region.PeerOn(StoreId(other + 1))->id;
  lie.to = region.PeerOn(StoreId(victim + 1))->id;
  lie.term = m.Gate(*leader)->term;
  m.cluster().machine(other).transport().Send(StoreId(victim + 1),
                                              Encode(store::RaftEnvelope{kRegion, lie}));
  std::string said;
  const auto is_poisoned = [&] {
    m.cluster().node(victim)->store().CollectStatus([&](const auto& replicas) {
      for (const auto& one : replicas) {
        if (one.region.id == kRegion) said = one.poisoned;
      }
    });
    return !said.empty();
  };
  ASSERT_TRUE(m.world().RunUntil(is_poisoned, Seconds(5)));
  EXPECT_TRUE(m.Serves(50)) << "two are enough";
  // Placement's group on the same node is as healthy as before: it follows, and may lead.
  bool caught_up = false;
  m.cluster().node(victim)->store().CatchUp(
      store::kPlacementRegion,
      [&](const std::optional<store::RegionError>& error) { caught_up = !error; });
  EXPECT_TRUE(m.world().RunUntil([&] { return caught_up; }, Seconds(5)));

  m.MustChange({Step(StepKind::kRemove, lie.to)});
  m.MustChange({AddLearner(kNew, victim + 1)});
  m.MustChange({Step(StepKind::kPromote, kNew)});
  EXPECT_TRUE(m.Converges());
  EXPECT_EQ(m.Gate(victim)->self, kNew);
  EXPECT_EQ(m.Region().PeerOn(StoreId(victim + 1))->role, store::PeerRole::kVoter);
  said.clear();
  EXPECT_FALSE(m.world().RunUntil(is_poisoned, Seconds(1)));
  for (const std::string& problem : m.Problems()) {
    EXPECT_THAT(problem, ::testing::HasSubstr("is poisoned"));  // Which the monitor saw too.
  }
}

TEST(Membership, RefusesWithAReason) {
  Members m(6);
  const auto refused = [&](const std::vector<store::MemberStep>& steps) {
    return m.Change(steps, Seconds(1)).ToString();
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(refused({AddLearner(PeerId(50), 4)}), HasSubstr("only grow"));
  EXPECT_THAT(refused({AddLearner(kNew, 1)}), HasSubstr("already"));
  // Nobody there to catch up.
  m.cluster().Kill(3);
  m.MustChange({AddLearner(kNew, 4)});
  EXPECT_THAT(refused({Step(StepKind::kPromote, kNew)}), HasSubstr("not caught up"));

  const std::size_t follower = (*m.Leader() + 1) % 3;
  std::optional<store::ChangeOutcome> answer;
  const auto keep = [&](store::ChangeOutcome outcome) { answer = std::move(outcome); };
  store::Store& store = m.cluster().node(follower)->store();
  store.ChangeMembers({.region = kRegion}, {AddLearner(PeerId(2002), 4)}, keep);
  m.world().RunFor(Milliseconds(100));
  ASSERT_TRUE(answer);
  EXPECT_TRUE(std::holds_alternative<store::NotLeader>(std::get<store::RegionError>(*answer)));
  store.ChangeMembers({.region = kRegion, .epoch = store::RegionEpoch{1, 1}},
                      {AddLearner(PeerId(2002), 4)}, keep);
  m.world().RunFor(Milliseconds(100));
  EXPECT_TRUE(std::holds_alternative<store::EpochNotMatch>(std::get<store::RegionError>(*answer)));
  store.ChangeMembers({.region = RegionId(9)}, {AddLearner(PeerId(2002), 4)}, keep);
  EXPECT_TRUE(std::holds_alternative<store::RegionNotFound>(std::get<store::RegionError>(*answer)));
  store.ChangeMembers({.region = store::kPlacementRegion}, {AddLearner(PeerId(2002), 4)}, keep);
  EXPECT_EQ(std::get<Status>(*answer).code(), Code::kFailedPrecondition);
}

// Each of these is what an operator does on a bad day, and would leave a group that writes nothing.
TEST(Membership, NoChangeLeavesAGroupThatCannotWrite) {
  Members m(7);
  using ::testing::HasSubstr;
  m.MustChange({AddLearner(kNew, 4)});
  ASSERT_TRUE(m.Serves(50));
  m.cluster().Kill(3);
  m.world().RunFor(Seconds(5));
  EXPECT_THAT(m.Change({Step(StepKind::kPromote, kNew)}, Seconds(1)).ToString(),
              HasSubstr("it does not answer"));

  const std::size_t down = (*m.Leader() + 1) % 3, well = (*m.Leader() + 2) % 3;
  const PeerId dead = m.Region().PeerOn(StoreId(down + 1))->id;
  m.cluster().Kill(down);
  m.world().RunFor(Seconds(5));
  const PeerId healthy = m.Region().PeerOn(StoreId(well + 1))->id;
  EXPECT_THAT(m.Change({Step(StepKind::kRemove, healthy)}, Seconds(1)).ToString(),
              HasSubstr("it waits for peers " + ToString(dead)));
  EXPECT_TRUE(m.Serves(50)) << "nothing has come of it";

  m.cluster().Start(3);
  m.MustChange({Step(StepKind::kPromote, kNew), Step(StepKind::kRemove, dead)});
  m.cluster().Start(down);
  EXPECT_TRUE(m.Converges());
  EXPECT_THAT(m.Problems(), IsEmpty());
}

}  // namespace
}  // namespace rutile::sim
