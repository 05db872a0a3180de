#include <algorithm>
#include <utility>

#include "sim/workload.h"

namespace rutile::sim {

TimestampWorkload::TimestampWorkload(World& world, Cluster& cluster, const Options& options)
    : world_(world),
      cluster_(cluster),
      options_(options),
      random_(world.NewRandom()),
      clients_(options.clients) {}

Duration TimestampWorkload::Draw(Duration max) {
  return Duration(
      static_cast<Duration::rep>(random_.Below(static_cast<std::uint64_t>(max.count()) + 1)));
}

void TimestampWorkload::Start() {
  stopped_ = false;
  for (std::size_t i = 0; i < clients_.size(); ++i) Ask(i);
}

void TimestampWorkload::Ask(std::size_t index) {
  const std::uint64_t attempt = ++clients_[index].attempt;
  world_.After(Draw(options_.max_think), [this, index, attempt] {
    Client& client = clients_[index];
    if (stopped_ || client.attempt != attempt) return;
    client.floor = highest_;
    const auto count = static_cast<std::uint32_t>(1 + random_.Below(50));
    world_.After(Draw(options_.max_one_way), [this, index, attempt, count, target = client.target] {
      if (!cluster_.is_up(target)) return;
      cluster_.requests(target).Post([this, index, attempt, count, target] {
        cluster_.node(target)->placement().GetTimestamps(
            count, [this, index, attempt, count](Result<placement::Timestamp> answer) {
              world_.After(Draw(options_.max_one_way),
                           [this, index, attempt, count, answer = std::move(answer)] {
                             OnAnswer(index, attempt, count, answer);
                           });
            });
      });
    });
    world_.After(options_.timeout, [this, index, attempt] {
      Client& waiting = clients_[index];
      if (waiting.attempt != attempt) return;
      waiting.target = random_.Below(cluster_.size());
      Ask(index);
    });
  });
}

void TimestampWorkload::OnAnswer(std::size_t index, std::uint64_t attempt, std::uint32_t count,
                                 const Result<placement::Timestamp>& answer) {
  Client& client = clients_[index];
  if (answer.ok()) {
    // Even when its asker has given up, nobody else may get the same.
    const std::uint64_t last = answer.value().Compose();
    const std::uint64_t first = last - count + 1;
    const auto next = granted_.lower_bound(first);
    if (next != granted_.end() && next->second <= last) {
      problems_.push_back("timestamps " + std::to_string(first) + ".." + std::to_string(last) +
                          " were given twice");
    }
    granted_[last] = first;
    highest_ = std::max(highest_, last);
    if (client.attempt == attempt && first <= client.floor) {
      problems_.push_back("timestamp " + std::to_string(first) + " is not above " +
                          std::to_string(client.floor) + ", which somebody had before");
    }
  }
  if (client.attempt != attempt) return;
  if (answer.ok()) {
    ++completed_;
  } else {
    client.target = random_.Below(cluster_.size());
  }
  Ask(index);
}

std::vector<std::string> TimestampWorkload::Check() const { return problems_; }

}  // namespace rutile::sim
