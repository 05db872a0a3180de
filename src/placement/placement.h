#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "env/env.h"
#include "placement/route_table.h"
#include "placement/state.h"
#include "placement/timestamp_oracle.h"
#include "store/store.h"

namespace rutile::placement {

// A node that placement runs on.
struct Member {
  StoreId store = {};
  std::string name = {};
  std::string address = {};  // host:port, for clients and peers.
};

struct StoreStatus {
  StoreInfo info = {};
  // Since when nothing was heard of it; nothing: it has not reported since this node began.
  std::optional<Duration> silent_for = {};
};

// Placement as one node serves it: members, stores, routes, ids, timestamps and safe points. What
// must survive is in the placement group's state machine; routes are learned from reports that
// every node sends to all members, so a new leader knows them at once.
//
// Safe from any thread. Callbacks run on the caller's thread or on an executor of the group, and
// without a lock held.
class Placement {
 public:
  struct Options {
    ClusterId cluster = {};
    StoreInfo self = {};
    std::vector<Member> members = {};  // Sorted by store.
    Duration report_every = Seconds(1);
  };
  // The references outlive the object. `executor` runs the reports.
  Placement(Options options, store::Store& store, const StateMachine& machine, const Clock& clock,
            Executor& executor);

  // Begins to report. `regions` are those known without a report.
  void Start(const std::vector<store::Region>& regions);

  ClusterId cluster() const { return options_.cluster; }
  const std::vector<Member>& members() const { return options_.members; }
  StoreId self() const { return options_.self.id; }
  // The member whose replica leads, as far as this node knows.
  std::optional<Member> Leader() const;
  bool IsLeader() const;

  // --- Answered by any member.

  std::optional<Route> FindRoute(std::string_view key) const;
  std::optional<Route> FindRouteBefore(std::string_view key) const;
  std::optional<Route> FindRoute(RegionId region) const;
  std::vector<Route> ScanRoutes(std::string_view start, std::string_view end,
                                std::size_t limit) const;
  std::vector<StoreStatus> Stores() const;
  std::shared_ptr<const State> View() const { return machine_.View(); }

  // --- Answered by the leader; kUnavailable elsewhere, with the leader's name where it is known.

  // The last of `count` successive timestamps, all new.
  using TimestampDone = UniqueFunction<void(Result<Timestamp>)>;
  void GetTimestamps(std::uint32_t count, TimestampDone done);
  // Replicates a command; `done` gets its result.
  using CommandDone = UniqueFunction<void(Result<std::string>)>;
  void Execute(const Command& command, CommandDone done);
  // A state that holds every command answered before the call. Any member gives it; a follower asks
  // the leader how far that is.
  using ViewDone = UniqueFunction<void(Result<std::shared_ptr<const State>>)>;
  void CurrentView(ViewDone done);

  // --- From the node.

  // A report of another node has come in.
  void OnReport(std::string_view payload);
  // A region's leader has changed: reports at once.
  void ReportSoon();

  // The channel of reports on the transport between stores.
  static constexpr std::uint8_t kReportChannel = 1;

 private:
  struct Waiting {
    std::uint32_t count = 0;
    TimestampDone done = {};
  };

  void Report();
  std::string BuildReport() const;
  void TakeReport(std::string_view payload);
  void RegisterStore(const StoreInfo& info);
  // The leader's own term; `lease_until` where it is the lease that says that nobody else leads.
  void Grant(Term term, std::optional<Instant> lease_until, std::uint32_t count,
             TimestampDone done);
  void RaiseBound(Term term, std::uint64_t bound_ms);
  void OnBoundRaised(Term term, std::uint64_t bound_ms, bool ok);
  Status Failure(const store::RegionError& error) const;
  // Clients know by the words "not leader" that they have to look for another member.
  Status NotLeader() const;

  // Constant after construction.
  const Options options_;
  store::Store& store_;
  const StateMachine& machine_;
  const Clock& clock_;
  Executor& executor_;

  mutable Mutex mutex_;
  TimestampOracle oracle_ GUARDED_BY(mutex_);
  std::deque<Waiting> waiting_ GUARDED_BY(mutex_);  // For the bound to be raised.
  RouteTable routes_ GUARDED_BY(mutex_);
  std::map<StoreId, Instant> heard_ GUARDED_BY(mutex_);
  std::set<StoreId> registering_ GUARDED_BY(mutex_);
  bool report_scheduled_ GUARDED_BY(mutex_) = false;
};

}  // namespace rutile::placement
