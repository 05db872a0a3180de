// Clients that read, write and swap values of a real cluster while faults befall it, and judge what
// they saw by the simulated world's checker.
//
//   chaos_client HOST:PORT,HOST:PORT,... SECONDS SEED
//   chaos_client HOST:PORT,HOST:PORT,... contents
//
// The first runs until the time is over or SIGTERM, prints one line of JSON, and exits with 1 when
// there is no order of the calls that explains the answers. The second reads all keys on each node,
// and exits with 1 when two do not hold the same; nobody may be writing.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "env/posix/posix_clock.h"
#include "proto/kvrpcpb.pb.h"
#include "rpc/wire/h2_channel.h"
#include "sim/linearizability.h"
#include "store/region.h"

namespace rutile {
namespace {

using sim::RegisterCall;
using Kind = RegisterCall::Kind;

constexpr int kClients = 8;
constexpr int kKeys = 4;
// The checker's work grows with the calls on one key: others are used after this time.
constexpr Duration kKeyLife = Seconds(3);
constexpr Duration kTimeout = Seconds(2);
constexpr std::uint64_t kMaxThinkMicros = 10'000;

std::atomic<bool> stop_asked = false;

// What all clients have seen. Judged as it goes, so that it does not grow with the length of a run.
class Record {
 public:
  // A call on `key` begins now; Add() or Drop() ends it.
  void Begin(const std::string& key, Duration now) {
    const std::lock_guard lock(mutex_);
    History& history = histories_[key];
    ++history.open;
    history.last_used = now;
  }
  // It has certainly had no effect, and shown nothing.
  void Drop(const std::string& key) {
    const std::lock_guard lock(mutex_);
    --histories_[key].open;
  }
  void Add(const std::string& key, RegisterCall call) {
    const std::lock_guard lock(mutex_);
    --histories_[key].open;
    if (call.returned) {
      ++answered_;
      longest_pause_ = std::max(longest_pause_, *call.returned - last_answer_);
      last_answer_ = std::max(last_answer_, *call.returned);
    } else {
      ++unknown_;
    }
    histories_[key].calls.push_back(std::move(call));
  }
  void Problem(const std::string& what) {
    const std::lock_guard lock(mutex_);
    ++problems_;
    std::fprintf(stderr, "%s\n", what.c_str());
  }

  // Judges the keys that nobody will use any more.
  void JudgeFinished(Duration now) {
    std::map<std::string, History> finished;
    {
      const std::lock_guard lock(mutex_);
      for (auto next = histories_.begin(); next != histories_.end();) {
        const auto one = next++;
        if (one->second.open > 0 || now - one->second.last_used < 2 * kKeyLife) continue;
        finished.insert(histories_.extract(one));
      }
    }
    JudgeAll(finished);
  }

  // When all clients have stopped. Prints the verdict, and returns whether all was well.
  bool Judge() {
    JudgeAll(histories_);
    std::printf(
        "{\"answered\": %llu, \"unknown\": %llu, \"keys\": %zu, \"longest_pause_ms\": %lld, "
        "\"problems\": %zu}\n",
        static_cast<unsigned long long>(answered_), static_cast<unsigned long long>(unknown_),
        judged_, static_cast<long long>(ToMilliseconds(longest_pause_)), problems_);
    return problems_ == 0 && answered_ > 0;
  }

 private:
  struct History {
    std::vector<RegisterCall> calls = {};
    int open = 0;  // Calls that have begun and not ended.
    Duration last_used = {};
  };

  void JudgeAll(const std::map<std::string, History>& histories) {
    for (const auto& [key, history] : histories) {
      ++judged_;
      if (auto found = sim::FindNonLinearizable(history.calls)) Problem(key + ": " + *found);
    }
  }

  std::mutex mutex_;
  std::map<std::string, History> histories_;  // By key; those not yet judged.
  std::size_t judged_ = 0;                    // Keys. Only on the thread that judges.
  std::size_t problems_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t unknown_ = 0;
  Duration last_answer_ = {};
  Duration longest_pause_ = {};  // Of all clients together.
};

// How an attempt ended.
enum class Outcome { kAnswered, kNoEffect, kUnknown };

class Client {
 public:
  Client(const std::vector<std::string>& nodes, Record& record, Instant begin, std::uint64_t id,
         std::uint64_t seed)
      : record_(record), begin_(begin), id_(id), random_(seed * kClients + id) {
    for (const std::string& node : nodes) {
      channels_.push_back(rpc::NewH2Channel(node, rpc::SharedClientLoop()));
    }
  }

  void Run(Duration length) {
    while (!stop_asked && Now() < length) {
      CallOnce(length);
      Pause(random_.Below(kMaxThinkMicros));
    }
  }

 private:
  Duration Now() const { return posix::PosixClock().Now() - begin_; }
  static void Pause(std::uint64_t micros) {
    std::this_thread::sleep_for(std::chrono::microseconds(micros));
  }

  void CallOnce(Duration length) {
    const std::string key =
        "chaos-" + std::to_string(Now() / kKeyLife) + "-" + std::to_string(random_.Below(kKeys));
    if (key.substr(0, key.rfind('-')) != era_) {
      era_ = key.substr(0, key.rfind('-'));
      last_seen_.reset();
    }
    RegisterCall call{.client = id_, .invoked = Now()};
    record_.Begin(key, call.invoked);
    if (random_.OneIn(2)) {
      call.kind = Kind::kGet;
    } else {
      call.kind = random_.OneIn(5)   ? Kind::kDelete
                  : random_.OneIn(3) ? Kind::kCompareAndSwap
                                     : Kind::kPut;
      if (call.kind != Kind::kDelete) {
        call.value = std::to_string(id_) + "." + std::to_string(next_value_++);
      }
      call.expected = last_seen_;
    }
    for (;;) {
      call.store = target_ + 1;
      const Outcome outcome = Attempt(key, &call);
      if (outcome == Outcome::kAnswered) {
        call.returned = Now();
        last_seen_ = WasLeft(call);
        break;
      }
      // A read has no effect that could come late: it is asked again.
      if (outcome == Outcome::kUnknown && call.kind != Kind::kGet) break;
      if (stop_asked || Now() > length) return record_.Drop(key);
      Pause(random_.Below(50'000));
    }
    record_.Add(key, std::move(call));
  }

  // The value that was there when the call had taken effect.
  static std::optional<std::string> WasLeft(const RegisterCall& call) {
    switch (call.kind) {
      case Kind::kGet: return call.seen;
      case Kind::kPut: return call.value;
      case Kind::kDelete: return std::nullopt;
      case Kind::kCompareAndSwap: return call.swapped ? call.value : call.seen;
    }
    return std::nullopt;
  }

  Outcome Attempt(const std::string& key, RegisterCall* call) {
    switch (call->kind) {
      case Kind::kGet: {
        kvrpcpb::RawGetRequest request;
        request.set_key(key);
        kvrpcpb::RawGetResponse response;
        const Outcome outcome = Send("RawGet", request, &response);
        call->seen.reset();
        if (!response.not_found()) call->seen = response.value();
        return outcome;
      }
      case Kind::kPut: {
        kvrpcpb::RawPutRequest request;
        request.set_key(key);
        request.set_value(*call->value);
        kvrpcpb::RawPutResponse response;
        return Send("RawPut", request, &response);
      }
      case Kind::kDelete: {
        kvrpcpb::RawDeleteRequest request;
        request.set_key(key);
        kvrpcpb::RawDeleteResponse response;
        return Send("RawDelete", request, &response);
      }
      case Kind::kCompareAndSwap: {
        kvrpcpb::RawCASRequest request;
        request.set_key(key);
        request.set_value(*call->value);
        request.set_previous_not_exist(!call->expected);
        if (call->expected) request.set_previous_value(*call->expected);
        kvrpcpb::RawCASResponse response;
        const Outcome outcome = Send("RawCompareAndSwap", request, &response);
        call->swapped = response.succeed();
        call->seen.reset();
        if (response.succeed()) {
          call->seen = call->expected;
        } else if (!response.previous_not_exist()) {
          call->seen = response.previous_value();
        }
        return outcome;
      }
    }
    return Outcome::kNoEffect;
  }

  // There was no connection to send on.
  static bool WasNeverSent(const Status& status) {
    for (const char* why : {"Connection refused", "No route to host", "no connection within"}) {
      if (status.message().find(why) != std::string_view::npos) return true;
    }
    return false;
  }

  template <class Request, class Response>
  Outcome Send(const std::string& name, Request& request, Response* response) {
    request.mutable_context()->set_region_id(store::kFirstUserRegion.value());
    // Shared with a callback that may come after all.
    const auto answer = std::make_shared<Response>();
    const auto ended = std::make_shared<std::promise<Status>>();
    std::future<Status> end = ended->get_future();
    channels_[target_]->CallMessage(
        "/tikvpb.Tikv/" + name, request, answer.get(), kTimeout,
        [answer, ended](Status status) { ended->set_value(std::move(status)); });
    const Status status = end.get();
    if (!status.ok()) {
      target_ = random_.Below(channels_.size());
      return WasNeverSent(status) ? Outcome::kNoEffect : Outcome::kUnknown;
    }
    *response = *answer;
    if (!response->error().empty()) {
      record_.Problem(name + " failed: " + response->error());
      return Outcome::kUnknown;
    }
    if (!response->has_region_error()) return Outcome::kAnswered;
    const auto& error = response->region_error();
    const std::uint64_t leader = error.not_leader().leader().store_id();
    target_ =
        leader >= 1 && leader <= channels_.size() ? leader - 1 : random_.Below(channels_.size());
    return error.has_undetermined_result() ? Outcome::kUnknown : Outcome::kNoEffect;
  }

  std::vector<std::unique_ptr<rpc::Channel>> channels_;
  Record& record_;
  const Instant begin_;
  const std::uint64_t id_;
  SeededRandom random_;
  std::size_t target_ = 0;  // The node believed to lead.
  std::uint64_t next_value_ = 1;
  std::optional<std::string> last_seen_;  // What swaps expect.
  std::string era_;                       // Of keys; what was seen in an older one says nothing.
};

std::vector<std::string> Split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    parts.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return parts;
}

// What one node holds, read on it even if it does not lead.
class Contents {
 public:
  // Nothing: not to be read, for the reason that is printed.
  static std::optional<Contents> Of(const std::string& node) {
    const auto channel = rpc::NewH2Channel(node, rpc::SharedClientLoop());
    Contents contents;
    kvrpcpb::RawScanRequest request;
    request.mutable_context()->set_region_id(store::kFirstUserRegion.value());
    request.mutable_context()->set_replica_read(true);
    request.set_limit(10'000);
    for (;;) {
      kvrpcpb::RawScanResponse response;
      std::promise<Status> ended;
      channel->CallMessage("/tikvpb.Tikv/RawScan", request, &response, Seconds(20),
                           [&](Status status) { ended.set_value(std::move(status)); });
      const Status status = ended.get_future().get();
      if (!status.ok() || response.has_region_error()) {
        std::fprintf(stderr, "%s: %s%s\n", node.c_str(), status.ToString().c_str(),
                     response.region_error().message().c_str());
        return std::nullopt;
      }
      if (response.kvs().empty()) return contents;
      for (const auto& pair : response.kvs()) contents.pairs_.emplace(pair.key(), pair.value());
      request.set_start_key(response.kvs().rbegin()->key() + '\0');
    }
  }

  std::size_t size() const { return pairs_.size(); }
  friend bool operator==(const Contents&, const Contents&) = default;

 private:
  std::map<std::string, std::string> pairs_;
};

bool CompareContents(const std::vector<std::string>& nodes) {
  const std::optional<Contents> first = Contents::Of(nodes.front());
  if (!first) return false;
  for (const std::string& node : nodes) {
    const std::optional<Contents> other = Contents::Of(node);
    if (!other) return false;
    if (*other == *first) continue;
    std::fprintf(stderr, "%s and %s do not hold the same\n", nodes.front().c_str(), node.c_str());
    return false;
  }
  std::printf("all hold the same %zu pairs\n", first->size());
  return first->size() > 0;
}

int Main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[2] : "";
  if (argc != (what == "contents" ? 3 : 4)) {
    std::fprintf(stderr, "usage: chaos_client HOST:PORT,HOST:PORT,... SECONDS SEED | contents\n");
    return 2;
  }
  if (what == "contents") return CompareContents(Split(argv[1])) ? 0 : 1;
  std::signal(SIGTERM, [](int) { stop_asked = true; });
  const std::vector<std::string> nodes = Split(argv[1]);
  const Duration length = Seconds(std::atoi(argv[2]));
  const auto seed = static_cast<std::uint64_t>(std::atoll(argv[3]));
  Record record;
  const Instant begin = posix::PosixClock().Now();
  std::atomic<int> running = kClients;
  std::vector<std::thread> threads;
  for (std::uint64_t id = 0; id < kClients; ++id) {
    threads.emplace_back([&, id] {
      Client(nodes, record, begin, id, seed).Run(length);
      --running;
    });
  }
  while (running > 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    record.JudgeFinished(posix::PosixClock().Now() - begin);
  }
  for (std::thread& thread : threads) thread.join();
  return record.Judge() ? 0 : 1;
}

}  // namespace
}  // namespace rutile

int main(int argc, char** argv) { return rutile::Main(argc, argv); }
