#include <algorithm>
#include <utility>

#include "sim/workload.h"

namespace rutile::sim {

using CallKind = RegisterCall::Kind;

struct RegisterWorkload::Client {
  std::size_t index = 0;
  std::unique_ptr<client::RawClient> raw = {};
  bool is_calm = false;
  bool is_calling = false;
  std::string key = {};
  RegisterCall call = {};
  std::optional<std::string> last_seen = {};  // Of this client: what swaps expect.
};

RegisterWorkload::RegisterWorkload(World& world, Cluster& cluster, const Options& options)
    : world_(world),
      options_(options),
      random_(world.NewRandom()),
      network_(world, cluster, options.max_one_way) {
  for (std::size_t i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    client.index = i;
    client.raw = NewLibrary(client, options_.timeout);
  }
}

std::unique_ptr<client::RawClient> RegisterWorkload::NewLibrary(Client& client, Duration timeout) {
  // What a repeated write does is not what a history of registers says of it.
  return std::make_unique<client::RawClient>(
      client::RawClientOptions{.endpoints = network_.Endpoints(client.index),
                               .timeout = 4 * timeout,
                               .attempt_timeout = timeout,
                               .repeat_writes = false,
                               .follower_reads = options_.follower_reads},
      network_.Connector([&client](StoreId store) { client.call.store = store.value(); }),
      network_.clock(), network_.executor());
}

RegisterWorkload::~RegisterWorkload() = default;

Duration RegisterWorkload::Draw(Duration max) {
  return Duration(
      static_cast<Duration::rep>(random_.Below(static_cast<std::uint64_t>(max.count()) + 1)));
}

void RegisterWorkload::Start() {
  stopped_ = false;
  for (const auto& client : clients_) Idle(*client);
}

void RegisterWorkload::ResetLongest() {
  longest_ = {};
  longest_since_ = world_.Now();
}

Duration RegisterWorkload::oldest() const {
  Duration oldest = {};
  for (const auto& client : clients_) {
    if (!client->is_calling || client->call.invoked < longest_since_) continue;
    oldest = std::max(oldest, world_.Now() - client->call.invoked);
  }
  return oldest;
}

void RegisterWorkload::Idle(Client& client) {
  world_.After(Draw(options_.max_think), [this, &client] {
    if (!stopped_) Begin(client);
  });
}

void RegisterWorkload::BeginFresh(Client& client) {
  client.call = {.client = client.index, .invoked = world_.Now()};
  if (!fresh_.empty() && random_.Below(100) < options_.read_percent) {
    client.key = fresh_[random_.Below(fresh_.size())];
    client.call.kind = CallKind::kGet;
  } else {
    client.key = "set-" + std::to_string(fresh_.size());
    client.call.kind = CallKind::kPut;
    client.call.value = "v" + std::to_string(next_value_++);
    fresh_.push_back(client.key);
  }
  Attempt(client);
}

void RegisterWorkload::Begin(Client& client) {
  if (is_calm_ && !std::exchange(client.is_calm, true) && options_.timeout < kCalmTimeout) {
    client.raw = NewLibrary(client, kCalmTimeout);
  }
  ++under_way_;
  client.is_calling = true;
  if (random_.Below(100) < options_.fresh_percent) return BeginFresh(client);
  client.key = "key-" + std::to_string(random_.Below(options_.keys));
  client.call = {.client = client.index, .invoked = world_.Now()};
  RegisterCall& call = client.call;
  if (random_.Below(100) < options_.read_percent) {
    call.kind = CallKind::kGet;
  } else if (random_.OneIn(5)) {
    call.kind = CallKind::kDelete;
  } else {
    call.kind = random_.OneIn(3) ? CallKind::kCompareAndSwap : CallKind::kPut;
    call.value = "v" + std::to_string(next_value_++);
    call.value->resize(std::max(call.value->size(), options_.value_bytes), '.');
    call.expected = client.last_seen;
  }
  Attempt(client);
}

void RegisterWorkload::Attempt(Client& client) {
  // Whatever comes of it, the client waits: one call at a time.
  client::RawClient& raw = *client.raw;
  const RegisterCall& call = client.call;
  switch (call.kind) {
    case CallKind::kGet:
      return raw.Get(client.key, [this, &client](Result<std::optional<std::string>> reply) {
        if (!reply.ok()) return OnFailed(client, reply.status());
        client.last_seen = client.call.seen = std::move(reply).value();
        Finish(client, /*answered=*/true);
      });
    case CallKind::kPut:
      return raw.Put(client.key, *call.value, /*ttl_seconds=*/0,
                     [this, &client](const Status& status) { OnWritten(client, status); });
    case CallKind::kDelete:
      return raw.Delete(client.key,
                        [this, &client](const Status& status) { OnWritten(client, status); });
    case CallKind::kCompareAndSwap:
      return raw.CompareAndSwap(client.key, call.expected, *call.value,
                                [this, &client](Result<client::RawClient::Swapped> reply) {
                                  if (!reply.ok()) return OnFailed(client, reply.status());
                                  client.call.swapped = reply.value().swapped;
                                  client.call.seen = std::move(reply.value().previous);
                                  client.last_seen =
                                      client.call.swapped ? client.call.value : client.call.seen;
                                  Finish(client, /*answered=*/true);
                                });
  }
}

void RegisterWorkload::OnWritten(Client& client, const Status& status) {
  status.ok() ? Finish(client, /*answered=*/true) : OnFailed(client, status);
}

void RegisterWorkload::OnFailed(Client& client, const Status& status) {
  const bool unknown = status.code() == Code::kDeadlineExceeded;
  if (!unknown && status.code() != Code::kUnavailable) {
    problems_.push_back(ToString(client.call) + " failed: " + status.ToString());
  } else if (!unknown || client.call.kind == CallKind::kGet) {
    return Retry(client);  // It has had no effect that could come late.
  }
  Finish(client, /*answered=*/false);
}

void RegisterWorkload::Retry(Client& client) {
  if (stopped_) {
    // Certainly without effect, or a read: nothing to remember.
    --under_way_;
    client.is_calling = false;
    return;
  }
  world_.After(Draw(Milliseconds(50)), [this, &client] { Attempt(client); });
}

void RegisterWorkload::Finish(Client& client, bool answered) {
  --under_way_;
  client.is_calling = false;
  if (answered) {
    client.call.returned = world_.Now();
    ++completed_;
    if (client.call.kind == CallKind::kPut && client.key.starts_with("set-")) {
      acknowledged_[client.key] = *client.call.value;
    }
    if (client.call.invoked >= longest_since_) {
      longest_ = std::max(longest_, world_.Now() - client.call.invoked);
    }
  }
  history_[client.key].push_back(client.call);
  Idle(client);
}

std::vector<std::string> RegisterWorkload::Check() const {
  std::vector<std::string> problems = problems_;
  for (const auto& [key, calls] : history_) {
    if (auto found = FindNonLinearizable(calls)) problems.push_back(key + ": " + *found);
  }
  return problems;
}

}  // namespace rutile::sim
