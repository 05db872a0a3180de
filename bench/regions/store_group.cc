#include "bench/regions/store_group.h"

#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "bench/log/targets.h"
#include "engine/rocks/rocks_engine.h"

namespace rutile::bench {
namespace {

constexpr std::chrono::milliseconds kPoll{1};

class NoLog final : public LogSink {
  void Write(LogLevel, std::string_view, int, std::string_view,
             std::initializer_list<LogField>) override {}
};

class NetTransport final : public Transport {
 public:
  NetTransport(LocalNet& net, StoreId self, Executor& executor)
      : net_(net), self_(self), executor_(executor) {}
  void Start(Receiver receiver) override { net_.Connect(self_, executor_, std::move(receiver)); }
  void Send(StoreId to, std::string message) override { net_.Send(self_, to, std::move(message)); }

 private:
  LocalNet& net_;
  const StoreId self_;
  Executor& executor_;
};

}  // namespace

void LocalNet::Connect(StoreId store, Executor& executor, Transport::Receiver receiver) {
  const std::lock_guard lock(mutex_);
  ends_[store] = {&executor, std::make_shared<Transport::Receiver>(std::move(receiver))};
}

void LocalNet::Disconnect(StoreId store) {
  const std::lock_guard lock(mutex_);
  ends_.erase(store);
}

void LocalNet::Send(StoreId from, StoreId to, std::string message) {
  const std::lock_guard lock(mutex_);
  const auto found = ends_.find(to);
  if (found == ends_.end()) return;
  found->second.executor->Post([receiver = found->second.receiver, from,
                                message = std::move(message)] { (*receiver)(from, message); });
}

// One store with all that it stands on.
class StoreGroup::Process {
 public:
  Process(StoreGroup& group, StoreId id)
      : group_(group),
        files_(group.options_.directory + "/" + ToString(id)),
        random_(id.value()),
        transport_(group.net_, id, region_) {
    const Options& options = group.options_;
    Check(files_.CreateDirectories("."));
    auto engine =
        engine::OpenRocksEngine({.directory = options.directory + "/" + ToString(id) + "/kv"});
    Check(engine.status());
    engine_ = std::move(engine).value();
    store::Store::Executors executors{
        .regions = {&region_}, .apply = {&apply_}, .background = &background_};
    for (std::size_t i = 0; i < options.log_streams; ++i) {
      logs_.push_back(std::make_unique<posix::ThreadExecutor>("log-" + std::to_string(i)));
      executors.log.push_back(logs_.back().get());
    }
    // Only ever opened with one and the same number.
    auto opened = wal::LogStreams::Open(files_, {}, {1, options.log_streams},
                                        [](std::size_t) { return Status(); });
    Check(opened.status());
    store::Store::Observer observer;
    observer.on_failure = [](const Status& status) {
      std::fprintf(stderr, "error: a store failed: %s\n", status.ToString().c_str());
      std::_Exit(1);
    };
    observer.on_log_batch = [&group](const wal::LogWriter::BatchReport&) {
      group.batches_.fetch_add(1, std::memory_order_relaxed);
    };
    auto store =
        store::Store::Open({.id = id, .replica = {.quiet_groups = options.quiet_groups}},
                           {.clock = group.clock_,
                            .random = random_,
                            .files = files_,
                            .transport = transport_,
                            .engine = *engine_,
                            .executors = std::move(executors),
                            .logger = logger_},
                           std::move(opened).value(), group.InitialRegions(), std::move(observer));
    Check(store.status());
    store_ = std::move(store).value();
  }

  ~Process() {
    store_->Stop();
    group_.net_.Disconnect(store_->id());
    for (const auto& log : logs_) log->Shutdown();
    for (posix::ThreadExecutor* executor : {&region_, &apply_, &background_}) executor->Shutdown();
    Check(engine_->Flush());
  }

  store::Store& store() { return *store_; }

 private:
  StoreGroup& group_;
  NoLog sink_;
  Logger logger_{sink_, LogLevel::kError};
  posix::PosixFileSystem files_;
  SeededRandom random_;
  std::unique_ptr<engine::KvEngine> engine_;
  posix::ThreadExecutor region_{"region"}, apply_{"apply"}, background_{"background"};
  std::vector<std::unique_ptr<posix::ThreadExecutor>> logs_;
  NetTransport transport_;
  std::unique_ptr<store::Store> store_;
};

StoreGroup::StoreGroup(const Options& options) : options_(options) {
  for (std::size_t i = 1; i <= options_.stores; ++i) {
    processes_.push_back(std::make_unique<Process>(*this, StoreId(i)));
  }
}

StoreGroup::~StoreGroup() = default;

void StoreGroup::Start() {
  for (const auto& process : processes_) process->store().Start();
}

std::uint64_t StoreGroup::CountLed() {
  std::uint64_t led = 0;
  for (const auto& process : processes_) {
    for (const store::GateState& gate : process->store().Gates()) led += gate.is_leader ? 1 : 0;
  }
  return led;
}

void StoreGroup::AwaitLeaders() {
  while (CountLed() < options_.regions) std::this_thread::sleep_for(kPoll);
}

store::Store* StoreGroup::LeaderOf(std::uint64_t region) {
  for (const auto& process : processes_) {
    const std::optional<store::GateState> gate = process->store().Gate(IdOf(region));
    if (gate && gate->is_leader) return &process->store();
  }
  return nullptr;
}

RegionId StoreGroup::IdOf(std::uint64_t region) {
  return RegionId(store::kFirstUserRegion.value() + region);
}

std::string StoreGroup::KeyOf(std::uint64_t region) {
  const std::string number = std::to_string(region);
  return std::string(8 - number.size(), '0') + number;
}

std::vector<store::Region> StoreGroup::InitialRegions() const {
  std::vector<store::Region> regions;
  for (std::uint64_t n = 0; n < options_.regions; ++n) {
    store::Region region{.id = IdOf(n),
                         .start_key = KeyOf(n),
                         .end_key = KeyOf(n + 1),
                         .epoch = {.conf_version = 1, .version = 1}};
    for (std::size_t i = 1; i <= options_.stores; ++i) {
      region.peers.push_back({.id = PeerId(region.id.value() * 10 + i), .store = StoreId(i)});
    }
    regions.push_back(std::move(region));
  }
  return regions;
}

}  // namespace rutile::bench
