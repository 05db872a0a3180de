#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "sim/workload.h"

namespace rutile::sim {

using Kind = RegisterCall::Kind;

struct RegisterWorkload::Client {
  std::size_t index = 0;
  std::size_t target = 0;  // The node believed to lead.
  // Answers and timeouts of earlier attempts are void.
  std::uint64_t attempt = 0;
  std::string key = {};
  RegisterCall call = {};
  std::optional<std::string> last_seen = {};  // Of this client: what swaps expect.
};

RegisterWorkload::RegisterWorkload(World& world, Cluster& cluster, const Options& options)
    : world_(world), cluster_(cluster), options_(options), random_(world.NewRandom()) {
  for (std::size_t i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<Client>());
    clients_.back()->index = i;
  }
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

void RegisterWorkload::Idle(Client& client) {
  world_.After(Draw(options_.max_think), [this, &client] {
    if (!stopped_) Begin(client);
  });
}

void RegisterWorkload::Begin(Client& client) {
  ++under_way_;
  client.key = "key-" + std::to_string(random_.Below(options_.keys));
  client.call = {.invoked = world_.Now()};
  RegisterCall& call = client.call;
  if (random_.Below(100) < options_.read_percent) {
    call.kind = Kind::kGet;
  } else if (random_.OneIn(5)) {
    call.kind = Kind::kDelete;
  } else {
    call.kind = random_.OneIn(3) ? Kind::kCompareAndSwap : Kind::kPut;
    call.value = "v" + std::to_string(next_value_++);
    call.value->resize(std::max(call.value->size(), options_.value_bytes), '.');
    call.expected = client.last_seen;
  }
  Attempt(client);
}

void RegisterWorkload::Attempt(Client& client) {
  const std::uint64_t attempt = ++client.attempt;
  client.call.store = cluster_.store(client.target).value();
  world_.After(OneWay(), [this, &client, attempt, target = client.target] {
    if (!cluster_.is_up(target)) return;
    cluster_.requests(target).Post([this, &client, attempt, target] {
      if (client.attempt == attempt) Send(*cluster_.node(target), client, attempt);
    });
  });
  world_.After(options_.timeout, [this, &client, attempt] {
    if (client.attempt != attempt) return;
    client.target = random_.Below(cluster_.size());
    // A read has no effect that could come late: it is asked again.
    client.call.kind == Kind::kGet ? Retry(client) : Finish(client, /*answered=*/false);
  });
}

void RegisterWorkload::Send(node::Node& node, const Client& client, std::uint64_t attempt) {
  store::RawKv& raw = node.raw();
  store::RequestHeader header{.region = store::kFirstUserRegion};
  const RegisterCall& call = client.call;
  const auto answer = [this, index = client.index, attempt](auto reply) {
    world_.After(OneWay(), [this, index, attempt, reply = std::move(reply)]() mutable {
      Answer(index, attempt, std::move(reply));
    });
  };
  switch (call.kind) {
    case Kind::kGet:
      header.from_follower = options_.follower_reads;
      return raw.Get(header, client.key, answer);
    case Kind::kPut: return raw.Put(header, {{.key = client.key, .value = *call.value}}, answer);
    case Kind::kDelete: return raw.Delete(header, {client.key}, answer);
    case Kind::kCompareAndSwap:
      return raw.CompareAndSwap(
          header, {.key = client.key, .expected = call.expected, .value = *call.value}, answer);
  }
}

template <class Reply>
void RegisterWorkload::Answer(std::size_t index, std::uint64_t attempt, Reply reply) {
  Client& client = *clients_[index];
  if (client.attempt != attempt) return;
  if (const auto* error = std::get_if<store::RegionError>(&reply)) {
    return OnRefused(client, *error);
  }
  if (const auto* status = std::get_if<Status>(&reply)) {
    problems_.push_back(ToString(client.call) + " failed: " + status->ToString());
    return Finish(client, /*answered=*/false);
  }
  using Value = std::variant_alternative_t<0, Reply>;
  if constexpr (std::is_same_v<Value, store::CommandResult>) {
    const auto& result = std::get<store::CommandResult>(reply);
    client.call.swapped = result.swapped;
    client.call.seen = result.previous;
    client.last_seen = result.swapped ? client.call.value : client.call.seen;
  } else if constexpr (std::is_same_v<Value, std::optional<std::string>>) {
    client.call.seen = std::get<0>(reply);
    client.last_seen = client.call.seen;
  }
  Finish(client, /*answered=*/true);
}

void RegisterWorkload::OnRefused(Client& client, const store::RegionError& error) {
  if (std::holds_alternative<store::Undetermined>(error)) {
    client.target = random_.Below(cluster_.size());
    return client.call.kind == Kind::kGet ? Retry(client) : Finish(client, /*answered=*/false);
  }
  const auto* not_leader = std::get_if<store::NotLeader>(&error);
  if (not_leader != nullptr && not_leader->leader) {
    client.target = not_leader->leader->store.value() - 1;
  } else {
    client.target = random_.Below(cluster_.size());
  }
  const bool expected = not_leader != nullptr ||
                        std::holds_alternative<store::ServerIsBusy>(error) ||
                        std::holds_alternative<store::StaleCommand>(error);
  if (!expected) problems_.push_back(ToString(client.call) + " refused: " + ToString(error));
  Retry(client);
}

void RegisterWorkload::Retry(Client& client) {
  const std::uint64_t attempt = ++client.attempt;
  if (stopped_) {
    // Certainly without effect, or a read: nothing to remember.
    --under_way_;
    return;
  }
  world_.After(Draw(Milliseconds(50)), [this, &client, attempt] {
    if (client.attempt == attempt) Attempt(client);
  });
}

void RegisterWorkload::Finish(Client& client, bool answered) {
  ++client.attempt;
  --under_way_;
  if (answered) {
    client.call.returned = world_.Now();
    ++completed_;
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
