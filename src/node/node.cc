#include "node/node.h"

#include <utility>

#include "node/status_json.h"
#include "store/lock_handover.h"

namespace rutile::node {

Node::Node(Options options, const Environment& environment)
    : options_(std::move(options)),
      clock_(environment.clock),
      executor_(*environment.executors.background),
      started_(environment.clock.Now()) {}

Node::~Node() = default;

Result<wal::LogStreams::Opened> Node::OpenLogs(Options* options, const Environment& environment) {
  Identity& identity = options->identity;
  const wal::LogStreams::Count count{.recorded = identity.log_streams,
                                     .wanted = environment.executors.log.size()};
  RUTILE_ASSIGN_OR_RETURN(
      wal::LogStreams::Opened opened,
      wal::LogStreams::Open(environment.files, options->wal, count, [&](std::size_t streams) {
        identity.log_streams = streams;
        return SaveIdentity(environment.files, identity);
      }));
  if (count.recorded != count.wanted) {
    RUTILE_LOG(environment.logger, kInfo, "the log has another number of streams",
               {"before", std::to_string(count.recorded)}, {"now", std::to_string(count.wanted)});
  }
  if (opened.dropped_tail_bytes > 0) {
    RUTILE_LOG(environment.logger, kInfo, "an unacknowledged end of the log was dropped",
               {"bytes", std::to_string(opened.dropped_tail_bytes)});
  }
  return opened;
}

Result<std::unique_ptr<Node>> Node::Open(Options options, Environment environment) {
  RUTILE_ASSIGN_OR_RETURN(std::unique_ptr<engine::KvEngine> engine, environment.open_engine());
  RUTILE_ASSIGN_OR_RETURN(wal::LogStreams::Opened opened, OpenLogs(&options, environment));
  std::unique_ptr<Node> node(new Node(std::move(options), environment));
  const Options& own = node->options_;
  node->engine_ = std::move(engine);

  Node* self = node.get();
  store::Store::Observer observer;
  observer.on_failure = [on_failure = environment.on_failure](const Status& status) {
    on_failure(status);
  };
  observer.on_region_changed = [self](const store::Replica& replica) {
    if (replica.raft().is_leader()) self->placement_->ReportSoon();
  };
  observer.on_datagram = [self](StoreId from, const store::Datagram& datagram) {
    if (datagram.channel == placement::Placement::kReportChannel) {
      self->placement_->OnReport(datagram.payload);
    } else if (datagram.channel == placement::TimestampRelay::kChannel) {
      self->timestamps_->OnDatagram(from, datagram.payload);
    }
  };
  observer.known_stores = [self] {
    std::vector<StoreId> stores;
    for (const placement::StoreStatus& one : self->placement_->Stores()) {
      stores.push_back(one.info.id);
    }
    return stores;
  };
  observer.on_log_batch = std::move(environment.on_log_batch);
  observer.of_core = environment.core_observer;

  const std::vector<store::Region> initial = own.cluster.InitialRegions();
  RUTILE_ASSIGN_OR_RETURN(node->store_,
                          store::Store::Open({.id = own.identity.store,
                                              .replica = own.replica,
                                              .machine_of = [self](const store::Region& region)
                                                  -> std::unique_ptr<store::StateMachine> {
                                                if (region.id != store::kPlacementRegion)
                                                  return nullptr;
                                                auto machine =
                                                    std::make_unique<placement::StateMachine>();
                                                self->placement_state_ = machine.get();
                                                return machine;
                                              }},
                                             {.clock = environment.clock,
                                              .random = environment.random,
                                              .files = environment.files,
                                              .transport = environment.transport,
                                              .engine = *node->engine_,
                                              .executors = environment.executors,
                                              .logger = environment.logger},
                                             std::move(opened), initial, std::move(observer)));
  node->raw_ =
      std::make_unique<store::RawKv>(*node->store_, environment.clock, own.raw, own.identity.api);

  const placement::Member* member = own.cluster.Find(own.identity.name);
  node->placement_ = std::make_unique<placement::Placement>(
      placement::Placement::Options{.cluster = own.identity.cluster,
                                    .self = {.id = own.identity.store,
                                             .name = member->name,
                                             .address = member->address,
                                             .version = kReportedVersion},
                                    .members = own.cluster.members},
      *node->store_, *node->placement_state_, environment.clock, *environment.executors.background);
  node->OpenTransactions(environment);
  return node;
}

void Node::OpenTransactions(const Environment& environment) {
  // No process of this node asks a thousand times a millisecond, all its life long.
  constexpr int kIdsBits = 10;
  timestamps_ = std::make_unique<placement::TimestampRelay>(placement::TimestampRelay::Parts{
      .self = options_.identity.store,
      .leader = [this]() -> std::optional<StoreId> {
        const std::optional<placement::Member> leader = placement_->Leader();
        if (!leader) return std::nullopt;
        return leader->store;
      },
      .grant =
          [this](placement::TimestampRelay::Done done) {
            placement_->GetTimestamps(1, std::move(done));
          },
      .send =
          [this](StoreId to, std::string payload) {
            store_->SendDatagram(to, {.channel = placement::TimestampRelay::kChannel,
                                      .payload = std::move(payload)});
          },
      .executor = *environment.executors.background,
      .first_id = environment.clock.WallMillis() << kIdsBits});
  txn_ = std::make_unique<store::TxnKv>(
      *store_, environment.requests, options_.txn, [this](store::TimestampDone done) {
        timestamps_->Get([done = std::move(done)](Result<placement::Timestamp> timestamp) mutable {
          if (!timestamp.ok()) return done(timestamp.status());
          done(mvcc::Timestamp(timestamp.value().Compose()));
        });
      });
  garbage_ = std::make_unique<store::GarbageCollector>(
      store::GarbageCollector::Parts{
          .store = *store_,
          .scheduler = txn_->scheduler(),
          .executor = *environment.executors.background,
          .logger = environment.logger,
          .safe_point =
              [this] { return mvcc::Timestamp(placement_state_->View()->gc_safe_point); }},
      options_.garbage);
}

void Node::Start() {
  placement_->Start(options_.cluster.InitialRegions());
  store_->Start();
  garbage_->Start();
}

void Node::Drain() {
  for (const store::GateState& gate : store_->Gates()) {
    if (!gate.is_leader) continue;
    for (const store::Peer& peer : gate.region->peers) {
      if (peer.id == gate.self || peer.role != store::PeerRole::kVoter) continue;
      TransferLeadership(gate.region->id, peer.id);
      break;
    }
  }
}

void Node::TransferLeadership(RegionId region, PeerId to) {
  store::HandLocksOver(*store_, txn_->scheduler(), executor_, region,
                       [this, region, to] { store_->TransferLeadership(region, to); });
}

void Node::Stop() { store_->Stop(); }

Status Node::Flush() { return engine_->Flush(); }

Status Node::Compact(engine::Family family, const engine::Bounds& bounds) {
  return engine_->Compact(family, bounds);
}

void Node::CollectStatus(UniqueFunction<void(std::string json)> done) {
  store_->CollectStatus(
      [this, done = std::move(done)](std::vector<store::ReplicaStatus> replicas) mutable {
        done(StatusJson({.identity = options_.identity,
                         .placement = *placement_,
                         .disk = store_->disk(),
                         .replicas = std::move(replicas),
                         .uptime = clock_.Now() - started_,
                         .engine = engine_->Statistics(),
                         .garbage = garbage_->totals(),
                         .filtered = store_->garbage_filter().dropped()}));
      });
}

}  // namespace rutile::node
