#include "raft/progress.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace rutile::raft {
namespace {

constexpr Progress::Window kWindow{.messages = 3, .bytes = 100};

Progress Streaming(Index match) {
  Progress peer(match.Next());
  peer.OnAccepted(match, Index());
  EXPECT_EQ(Progress::State::kReplicate, peer.state());
  return peer;
}

TEST(Progress, ProbesOneAtATimeAndASignOfLifeRepeatsThem) {
  Progress peer(Index(5));
  EXPECT_TRUE(peer.CanSend(kWindow));
  peer.OnSent(Index(7), 10);
  EXPECT_EQ(Index(5), peer.next()) << "a probe is not optimistic";
  EXPECT_FALSE(peer.CanSend(kWindow));
  peer.OnSignOfLife();
  EXPECT_TRUE(peer.CanSend(kWindow));
}

TEST(Progress, WindowIsBoundByCountAndByBytes) {
  Progress peer = Streaming(Index(1));
  for (std::uint64_t i = 2; i <= 4; ++i) {
    EXPECT_TRUE(peer.CanSend(kWindow));
    peer.OnSent(Index(i), 10);
  }
  EXPECT_FALSE(peer.CanSend(kWindow)) << "by count";
  peer.OnAccepted(Index(3), Index());
  EXPECT_EQ(1u, peer.inflight());
  EXPECT_TRUE(peer.CanSend(kWindow));
  peer.OnSent(Index(5), 95);
  EXPECT_FALSE(peer.CanSend(kWindow)) << "by bytes";
  peer.OnAccepted(Index(5), Index());
  EXPECT_EQ(0u, peer.inflight_bytes());
  EXPECT_TRUE(peer.CanSend(kWindow));
}

TEST(Progress, GoesBackBelowWhatWasAcknowledgedWhenThatIsLost) {
  Progress peer = Streaming(Index(8));
  peer.OnSent(Index(9), 10);
  peer.OnLost(Index(5));
  EXPECT_EQ(Index(5), peer.match());
  EXPECT_TRUE(peer.OnRejected(Index(9), Index(5)));
  EXPECT_EQ(Progress::State::kProbe, peer.state());
  EXPECT_EQ(Index(6), peer.next());
  peer.OnLost(Index(7));
  EXPECT_EQ(Index(5), peer.match()) << "it never forces anything up";
  // An acknowledgement from before the loss; the next rejection sets it right.
  peer.OnAccepted(Index(8), Index());
  peer.OnLost(Index(5));
  EXPECT_TRUE(peer.OnRejected(Index(8), Index(5)));
  EXPECT_EQ(Index(6), peer.next());
}

// etcd once kept the bytes when the window was emptied.
TEST(Progress, LeavingTheStreamEmptiesTheWindow) {
  Progress peer = Streaming(Index(1));
  peer.OnSent(Index(9), 99);
  EXPECT_TRUE(peer.OnRejected(Index(9), Index(4)));
  EXPECT_EQ(Progress::State::kProbe, peer.state());
  EXPECT_EQ(Index(5), peer.next());
  EXPECT_EQ(0u, peer.inflight_bytes());
  EXPECT_TRUE(peer.CanSend(kWindow));
}

TEST(Progress, RejectsThatAreOutOfDateAreIgnored) {
  Progress peer = Streaming(Index(20));
  EXPECT_FALSE(peer.OnRejected(Index(15), Index(5))) << "it has acknowledged more since";
  EXPECT_EQ(Index(21), peer.next());
  Progress probe(Index(10));
  EXPECT_FALSE(probe.OnRejected(Index(12), Index(3))) << "of an earlier probe";
  EXPECT_TRUE(probe.OnRejected(Index(9), Index(3)));
  EXPECT_EQ(Index(4), probe.next());
}

TEST(Progress, AcknowledgementsThatAreOutOfDateChangeNothing) {
  Progress peer = Streaming(Index(20));
  peer.OnSent(Index(25), 10);
  peer.OnAccepted(Index(7), Index());
  EXPECT_EQ(Index(20), peer.match());
  EXPECT_EQ(Index(26), peer.next());
  EXPECT_EQ(1u, peer.inflight());
}

TEST(Progress, RejectingStepsBackByOneAtLeast) {
  Progress probe(Index(10));
  EXPECT_TRUE(probe.OnRejected(Index(9), Index(30)));
  EXPECT_EQ(Index(9), probe.next());
}

TEST(Progress, SnapshotIsLeftByReportOrByArrival) {
  Progress lost(Index(5));
  lost.BecomeSnapshot();
  EXPECT_FALSE(lost.CanSend(kWindow));
  EXPECT_FALSE(lost.OnRejected(Index(4), Index(0)));
  lost.OnSnapshotSent(Index());
  EXPECT_EQ(Progress::State::kProbe, lost.state());
  lost.OnSignOfLife();
  EXPECT_TRUE(lost.CanSend(kWindow));

  Progress sent(Index(5));
  sent.BecomeSnapshot();
  sent.OnSnapshotSent(Index(30));
  EXPECT_EQ(Index(31), sent.next());

  Progress arrived(Index(5));
  arrived.BecomeSnapshot();
  arrived.OnAccepted(Index(10), Index(20));
  EXPECT_EQ(Progress::State::kSnapshot, arrived.state()) << "still behind what is kept";
  arrived.OnAccepted(Index(20), Index(20));
  EXPECT_EQ(Progress::State::kReplicate, arrived.state());
  EXPECT_EQ(Index(21), arrived.next());
}

TEST(Progress, UnreachableEndsTheStreamUntilASignOfLife) {
  Progress peer = Streaming(Index(3));
  peer.OnSent(Index(8), 10);
  peer.OnUnreachable();
  EXPECT_EQ(Progress::State::kProbe, peer.state());
  EXPECT_EQ(Index(4), peer.next());
  EXPECT_FALSE(peer.CanSend(kWindow));
  peer.OnSignOfLife();
  EXPECT_TRUE(peer.CanSend(kWindow));
}

// Whatever comes, in whatever order: match < next, match never falls, and a sign of life and an end
// of outstanding work always un-pause.
TEST(Progress, LawsHoldUnderRandomInput) {
  SeededRandom random(3);
  Progress peer(Index(10));
  for (int i = 0; i < 100'000; ++i) {
    const Index before = peer.match();
    const Index index(random.Below(40));
    switch (random.Below(8)) {
      case 0:
        if (peer.CanSend(kWindow)) peer.OnSent(peer.next().Plus(random.Below(3)), random.Below(60));
        break;
      case 1:
        if (index < peer.next()) peer.OnAccepted(index, Index(random.Below(40)));
        break;
      case 2: peer.OnRejected(index, Index(random.Below(40))); break;
      case 3: peer.OnSignOfLife(); break;
      case 4: peer.OnUnreachable(); break;
      case 5:
        if (random.OneIn(4)) peer.BecomeSnapshot();
        break;
      case 6: peer.OnSnapshotSent(random.OneIn(2) ? index : Index()); break;
      default: peer.set_reading(random.OneIn(2)); break;
    }
    peer.CheckInvariants();
    ASSERT_LE(before, peer.match());
    if (random.OneIn(50)) {
      peer.set_reading(false);
      peer.OnSnapshotSent(Index());
      peer.OnAccepted(peer.next().Prev(), Index());
      peer.OnSignOfLife();
      ASSERT_TRUE(peer.CanSend(kWindow));
      peer = Progress(Index(10));
    }
  }
}

}  // namespace
}  // namespace rutile::raft
