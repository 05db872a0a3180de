#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/random.h"
#include "engine/memory/memory_engine.h"
#include "env/posix/posix_clock.h"
#include "env/posix/posix_files.h"
#include "env/posix/thread_executor.h"
#include "env/testing/temporary_directory.h"
#include "node/node.h"
#include "rpc/testing.h"

// Real nodes for the tests of services.
namespace rutile::rpc {

// Carries messages between nodes of one process.
class LocalNet {
 public:
  void Connect(StoreId store, Transport::Receiver receiver) {
    const std::lock_guard lock(mutex_);
    receivers_[store] = std::move(receiver);
  }
  void Disconnect(StoreId store) {
    const std::lock_guard lock(mutex_);
    receivers_.erase(store);
  }
  void Send(StoreId from, StoreId to, std::string message) {
    // On a thread of its own, as the real one: a receiver may send in turn.
    wire_.Post([this, from, to, message = std::move(message)] {
      const std::lock_guard lock(mutex_);
      if (const auto found = receivers_.find(to); found != receivers_.end()) {
        found->second(from, message);
      }
    });
  }

 private:
  std::mutex mutex_;
  std::map<StoreId, Transport::Receiver> receivers_;
  posix::ThreadExecutor wire_{"net"};  // Last: its tasks use the above.
};

// One node of a cluster, with threads and a directory of its own.
class TestNode {
 public:
  TestNode(const node::ClusterSpec& spec, const std::string& name, LocalNet& net)
      : transport_(net, spec.Find(name)->store), random_(spec.Find(name)->store.value()) {
    store::ReplicaOptions replica;
    // Times of elections stay as they are: on a busy machine, shorter ones make leaders change.
    replica.park_time = Milliseconds(10);
    wal::Options wal;
    wal.segment_bytes = std::uint64_t{1} << 20;
    node_ = node::Node::Open(
                {.cluster = spec,
                 .identity = {.cluster = spec.id,
                              .store = spec.Find(name)->store,
                              .name = name,
                              .log_streams = 1,
                              .api = spec.api},
                 .replica = replica,
                 .wal = wal},
                {.clock = clock_,
                 .random = random_,
                 .files = files_,
                 .transport = transport_,
                 .executors = {.regions = {&work_},
                               .apply = {&apply_},
                               .log = {&log_},
                               .background = &background_},
                 .requests = work_,
                 .logger = logger_,
                 .open_engine = [this] { return engine::OpenMemoryEngine(files_, "kv"); },
                 .on_failure = [](const Status& status) { ADD_FAILURE() << status.ToString(); }})
                .value();
    node_->Start();
  }
  ~TestNode() {
    transport_.Stop();
    node_->Stop();
    for (posix::ThreadExecutor* executor : {&work_, &apply_, &log_, &background_}) {
      executor->Shutdown();
    }
  }

  node::Node& node() { return *node_; }
  placement::Placement& placement() { return node_->placement(); }
  const Clock& clock() const { return clock_; }

  // Waits until placement has a leader, and this node knows who leads the keys.
  void AwaitLeaders() {
    const auto served = [this] {
      Inbox<bool> answers;
      placement().CurrentView([&answers](const auto& view) { answers.Put(view.ok()); });
      return answers.Take();
    };
    while (!served()) {
    }
    const auto routed = [this] {
      const auto route = placement().FindRoute("");
      return route && route->leader;
    };
    while (!routed()) std::this_thread::yield();
  }

 private:
  class NetTransport final : public Transport {
   public:
    NetTransport(LocalNet& net, StoreId self) : net_(net), self_(self) {}
    void Start(Receiver receiver) override { net_.Connect(self_, std::move(receiver)); }
    void Stop() { net_.Disconnect(self_); }
    void Send(StoreId to, std::string message) override {
      net_.Send(self_, to, std::move(message));
    }

   private:
    LocalNet& net_;
    const StoreId self_;
  };
  class NoLog final : public LogSink {
    void Write(LogLevel, std::string_view, int, std::string_view,
               std::initializer_list<LogField>) override {}
  };

  rutile::testing::TemporaryDirectory directory_;
  const posix::PosixClock clock_;
  posix::PosixFileSystem files_{directory_.path()};
  NetTransport transport_;
  SeededRandom random_;
  NoLog sink_;
  Logger logger_{sink_, LogLevel::kError};
  std::unique_ptr<node::Node> node_;
  posix::ThreadExecutor work_{"work"};
  posix::ThreadExecutor apply_{"apply"};
  posix::ThreadExecutor log_{"log"};
  posix::ThreadExecutor background_{"background"};
};

}  // namespace rutile::rpc
