#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "raft/observer.h"

namespace rutile::sim {

class GroupWatch;

// In place of a node, which count from 0: all of them, or nobody.
inline constexpr std::size_t kNoNode = SIZE_MAX;

// What can be seen of one replica after a step.
struct TimelineReplica {
  bool is_up = false;  // All else says something only while it is.
  raft::Role role = raft::Role::kFollower;
  Term term = {};
  std::size_t vote = kNoNode;
  std::size_t leader = kNoNode;
  LogId base = {};
  Index applied = {};
  Index applying = {};
  Index committed = {};
  Index durable = {};
  Index submitted = {};
  Index last = {};
  Index first_resident = {};
  std::vector<raft::TermRun> runs = {};  // Of the end of the log: the newest few, oldest first.

  friend bool operator==(const TimelineReplica&, const TimelineReplica&) = default;
};

struct TimelineStep {
  enum class Kind : std::uint8_t {
    kInput,    // A core took something in.
    kStart,    // A core was made.
    kDown,     // A process ended: all cores of the node.
    kFault,    // Brought by the world.
    kNote,     // Words of whoever tells the story.
    kVerdict,  // What is wrong.
  };
  Kind kind = Kind::kInput;
  Duration at = {};
  std::size_t node = kNoNode;
  RegionId group = {};  // Zero: all.
  std::string text = {};
  std::optional<TimelineReplica> after = {};
};

// From one step to another. Steps are numbered as those of the timeline.
struct TimelineMessage {
  RegionId group = {};
  std::size_t from = kNoNode;
  std::size_t to = kNoNode;
  raft::MessageType type = raft::MessageType::kAppend;
  std::string text = {};  // "Append term 2 prev 10@1 +1 commit 11 [11@2]"
  std::uint64_t sent = 0;
  std::optional<std::uint64_t> received = {};  // Nothing: not by the end.
};

// Something that lasts: a fault, or that a process is down.
struct TimelineBand {
  std::size_t node = kNoNode;
  std::string text = {};
  bool is_down = false;
  std::uint64_t begin = 0;                // Its first step,
  std::optional<std::uint64_t> end = {};  // and the one after its last; nothing: to the end.
};

// What happened in a cluster, step by step: enough to draw it.
struct Timeline {
  std::vector<std::string> nodes = {};
  std::vector<RegionId> groups = {};
  // How replicas were before the first step, by group and node.
  std::map<std::pair<RegionId, std::size_t>, TimelineReplica> before = {};
  std::vector<TimelineStep> steps = {};
  std::vector<TimelineMessage> messages = {};
  std::vector<TimelineBand> bands = {};
  std::uint64_t dropped = 0;  // Steps within the window that were too many to be kept.
};

// Writes down what the cores of a cluster do, the last of it or one stretch: memory is bounded by
// both a span of time and a number of steps. It changes nothing and draws nothing. Calls come from
// one thread.
//
// What says nothing (a tick after which all is as before) is no step. A message that is received
// belongs to the newest equal one that was sent and not received yet, which may be wrong while
// equal ones are on their way together; if there is none it is a copy.
class TimelineRecorder {
 public:
  struct Options {
    std::vector<std::string> nodes = {};
    std::function<Duration()> now = {};  // Since the story began.
    // From this moment on; without it always the last of what happened.
    std::optional<Duration> from = {};
    Duration span = Seconds(10);
    std::size_t max_steps = 20'000;
  };
  explicit TimelineRecorder(Options options);
  ~TimelineRecorder();
  TimelineRecorder(const TimelineRecorder&) = delete;
  TimelineRecorder& operator=(const TimelineRecorder&) = delete;

  // Who is to look on at the core that is `peer` of `group` on `node`. One for all of a group.
  raft::Observer* Watch(RegionId group, PeerId peer, std::size_t node);
  // A fault that lasts until `until`, or without it until FaultsEnd().
  void OnFault(std::size_t node, const std::string& text, std::optional<Duration> until);
  // All faults are over.
  void OnFaultsEnd();
  void OnDown(std::size_t node);
  void OnUp(std::size_t node);
  void OnNote(const std::string& text);
  // What is wrong. Nothing is written down after it.
  void OnVerdict(const std::string& text);
  // Bands (node, text) for what the caller sees to be so now: those that are new begin, and those
  // of an earlier call that are not among them end.
  void SetConditions(const std::vector<std::pair<std::size_t, std::string>>& conditions);
  // Forgets all steps so far; what is and lasts, stays.
  void Clear();

  // What there is to see so far.
  Timeline Take() const;

 private:
  friend class GroupWatch;  // timeline_watch.h

  // Group, sender, receiver, content: what tells messages apart.
  using MessageKey = std::tuple<RegionId, std::size_t, std::size_t, std::string>;
  struct InFlight {  // Equal messages, by their numbers.
    std::vector<std::uint64_t> open = {};
    std::uint64_t newest = 0;
  };
  struct Band {
    enum class Kind : std::uint8_t { kFault, kDown, kCondition };
    TimelineBand band = {};
    std::optional<Duration> until = {};
    Kind kind = Kind::kFault;
  };

  bool IsRecording() const;
  std::size_t NodeOf(RegionId group, PeerId peer) const;
  std::uint64_t next_step() const { return first_step_ + steps_.size(); }
  // The number of the step; nothing if it is none of those that are written down.
  std::optional<std::uint64_t> Add(TimelineStep step);
  void Fold(const TimelineStep& step);
  void Prune();
  void ForgetMessages();
  void Begin(Band band);
  void EndBands(const std::function<bool(const Band&)>& whether);
  static MessageKey KeyOf(const TimelineMessage& message);
  // `message` without steps.
  void OnSent(std::uint64_t step, TimelineMessage message);
  void OnReceived(std::uint64_t step, const TimelineMessage& message);

  const Options options_;
  std::map<RegionId, std::unique_ptr<GroupWatch>> watches_;
  std::map<std::pair<RegionId, PeerId>, std::size_t> node_of_;
  std::map<std::pair<RegionId, std::size_t>, TimelineReplica> before_;
  std::deque<TimelineStep> steps_;
  std::uint64_t first_step_ = 0;  // The number of the front of steps_.
  std::deque<TimelineMessage> messages_;
  std::uint64_t first_message_ = 0;     // Likewise, of messages_.
  std::deque<TimelineMessage> copies_;  // Received once more.
  std::map<MessageKey, InFlight> in_flight_;
  std::vector<Band> bands_;
  std::deque<Duration> dropped_at_;  // When those steps were that were too many.
  Duration last_at_ = {};
  bool is_over_ = false;
};

}  // namespace rutile::sim
