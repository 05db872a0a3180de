#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "base/status.h"
#include "base/time.h"
#include "client/connections.h"
#include "client/raw_client.h"
#include "client/route.h"
#include "env/env.h"

namespace errorpb {
class Error;
}
namespace kvrpcpb {
class Context;
}
namespace pdpb {
class GetRegionResponse;
}

namespace rutile::client {

// Where a request goes.
struct Where {
  enum class Effect : std::uint8_t {
    kNone,   // A read.
    kWrite,  // Twice is as good as once, as far as the caller does not mind.
    kAtMostOnce,
  };
  std::string method = {};
  std::string key = {};
  bool below = false;  // To the region that holds the keys right below `key` (reverse scans).
  Effect effect = Effect::kNone;
  std::optional<Instant> deadline = {};  // When to give up, if that is before the options' timeout.
  // Set before an answer is handed on when an attempt before it had none: that one may have been
  // carried out, or may yet be.
  std::shared_ptr<std::atomic<bool>> is_late = {};
};

// Carries requests to the leader of their region: looks routes up at placement, tries again with
// growing pauses, and learns from region errors.
//
// Internal to the room; used through RawClient. Safe from any thread.
class Operations : public std::enable_shared_from_this<Operations> {
 public:
  Operations(RawClientOptions options, Connect connect, const Clock& clock, Executor& executor);
  virtual ~Operations() = default;
  // Runs when the last of those who share this has let go of it and nothing of it is left, channels
  // included. Before others may do that.
  void SetOnEnd(std::function<void()> on_end) { end_.run = std::move(on_end); }

  // Sends `request`, whose context is set here, until it is answered without a region error, and
  // hands on the answer with the route it came by. `fill` completes the request for a route.
  template <class Response, class Request, class Fill, class Done>
  void Run(Where where, Request request, Fill fill, Done done);
  template <class Response, class Request, class Done>
  void Run(Where where, Request request, Done done) {
    Run<Response>(
        std::move(where), std::move(request), [](const Route&, Request*) {}, std::move(done));
  }

 protected:
  const RawClientOptions& options() const { return options_; }
  const Clock& clock() const { return clock_; }
  Executor& executor() const { return executor_; }
  Connections& connections() { return connections_; }
  const RouteCache& routes() const { return routes_; }

 private:
  struct End {
    End() = default;
    End(const End&) = delete;
    End& operator=(const End&) = delete;
    ~End() {
      if (run) run();
    }
    std::function<void()> run = {};
  };
  // What the untyped part of an attempt calls.
  struct Attempt {
    Where where;
    Instant began = {};
    Instant deadline = {};
    Duration backoff = {};
    Status last_error;
    std::string last_answer;  // What a store has said last of why it does not serve the request.
    bool before = false;   // The region that begins at the key is known: the one before is wanted.
    bool unknown = false;  // An attempt may have been carried out.
    bool asks_leader = false;  // Also where followers might be asked.
    // Encodes the request for a route.
    std::function<std::string(const Route&)> encode;
    // Takes the answer in; false when it carries a region error, which is copied out.
    std::function<bool(const std::string& bytes, const Route&, errorpb::Error*)> decode;
    std::function<void(Status, const Route&)> fail;
  };

  void Start(const std::shared_ptr<Attempt>& attempt);
  void LookUp(const std::shared_ptr<Attempt>& attempt, std::size_t endpoint, std::size_t tried);
  void LookUpStore(const std::shared_ptr<Attempt>& attempt, const Route& route,
                   std::size_t endpoint, std::size_t tried);
  void Send(const std::shared_ptr<Attempt>& attempt, const Route& route,
            const std::string& address);
  // An attempt has no answer, or one that says that nobody knows.
  static void Lose(Attempt& attempt);
  // Fails with what the server has said of the call itself. That concerns this attempt only.
  void Refused(Attempt& attempt, Status status, const Route& route);
  // Pauses and starts again; fails when the time is up.
  void Retry(const std::shared_ptr<Attempt>& attempt, Status why);
  // Learns from a region error. A status if the request can never succeed or must not be repeated.
  std::optional<Status> Learn(Attempt& attempt, const errorpb::Error& error);
  // Whether it may be sent again when the outcome of an attempt is unknown.
  bool IsRepeatable(const Where& where) const;
  void SetContext(const Where& where, const Route& route, kvrpcpb::Context* context) const;
  std::optional<Route> Known(const Where& where) const;
  // The peer that is asked: of a read that any may serve, each in turn.
  void ChooseTarget(const Attempt& attempt, Route* route);

  End end_;  // First, so that it goes last.
  const RawClientOptions options_;
  const Clock& clock_;
  Executor& executor_;
  Connections connections_;
  RouteCache routes_;
  std::atomic<std::size_t> turn_ = 0;
};

template <class Response, class Request, class Fill, class Done>
void Operations::Run(Where where, Request request, Fill fill, Done done) {
  auto attempt = std::make_shared<Attempt>();
  attempt->where = std::move(where);
  attempt->began = clock_.Now();
  attempt->deadline = attempt->began + options_.timeout;
  if (attempt->where.deadline) {
    attempt->deadline = std::min(attempt->deadline, *attempt->where.deadline);
  }
  attempt->backoff = options_.backoff_min;
  auto shared = std::make_shared<Request>(std::move(request));
  auto shared_done = std::make_shared<Done>(std::move(done));
  attempt->encode = [this, where = attempt->where, shared,
                     fill = std::move(fill)](const Route& route) {
    SetContext(where, route, shared->mutable_context());
    fill(route, shared.get());
    return shared->SerializeAsString();
  };
  attempt->decode = [shared_done](const std::string& bytes, const Route& route,
                                  errorpb::Error* error) {
    Response response;
    if (!response.ParseFromString(bytes)) {
      (*shared_done)(Status(Code::kCorruption, "the server's answer cannot be decoded"), route);
      return true;
    }
    if constexpr (requires { response.region_error(); }) {
      if (response.has_region_error()) {
        // Dependent on Response, so that this header does without the messages' own.
        using Error = std::decay_t<decltype(response.region_error())>;
        static_cast<Error*>(error)->Swap(response.mutable_region_error());
        return false;
      }
    }
    (*shared_done)(std::move(response), route);
    return true;
  };
  attempt->fail = [shared_done](Status status, const Route& route) {
    (*shared_done)(std::move(status), route);
  };
  Start(attempt);
}

}  // namespace rutile::client
