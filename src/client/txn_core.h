#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "base/time.h"
#include "client/key_form.h"
#include "client/operation.h"
#include "client/txn_client.h"
#include "client/txn_error.h"
#include "env/env.h"

namespace rutile::client {

// Waits that grow, of one who comes back for the same thing.
struct Backoff {
  Duration next = {};  // Zero: the shortest.
};

// What transactions of a client share: timestamps, requests to regions by users' keys, waiting.
// Regions have their borders in comparable form; keys are users' everywhere else.
//
// Internal to the room. Safe from any thread; all callbacks run on the executor.
class TxnCore : public Operations {
 public:
  TxnCore(const TxnClientOptions& options, Connect connect, const Clock& clock, Random& random,
          Executor& executor);

  const TxnClientOptions& txn_options() const { return txn_options_; }
  // Of what users of transactions say; everything within has keys as they are sent.
  const KeyForm& form() const { return form_; }
  using Operations::executor;
  Instant Now() const { return clock().Now(); }
  Instant NewDeadline() const { return Now() + txn_options_.timeout; }

  // A new timestamp: above all that anybody had before the call. kUnavailable when there is none by
  // the deadline.
  void GetTimestamp(Instant deadline, std::function<void(Result<Timestamp>)> done);

  // Whether stores still have all records of a transaction that started then: what they say of its
  // fate is worth nothing below the safe point. To be asked after them. kFailedPrecondition: they
  // need not; kUnavailable as above.
  void CheckIsKept(Timestamp start, Instant deadline, std::function<void(Status)> done);

  // Asks whoever leads placement for `what`, a word for messages: `method` of its service, again
  // until it is answered. Requests must be such that twice is as good as once. kUnavailable when
  // nobody has answered by the deadline. `done(result)` runs on the executor.
  template <class Response, class Request, class Done>
  void AskPlacement(std::string method, std::string what, const Request& request, Instant deadline,
                    Done done);

  // Runs `then` after a pause, or `too_late` if that would be past the deadline. On the executor.
  void Pause(Backoff* backoff, Instant deadline, const std::function<void()>& then,
             const std::function<void()>& too_late);

  struct Call {
    std::string method = {};  // Of the service of stores: "KvGet".
    Where::Effect effect = Where::Effect::kWrite;
    Instant deadline = {};
    // Send: to the region that holds the keys right below the key; of an empty one, the last.
    bool below = false;
    std::shared_ptr<std::atomic<bool>> is_late = {};  // As in Where.
    // SendAll: how many bytes a key adds to a request, if that matters.
    std::function<std::size_t(const std::string& key)> bytes = {};
  };
  // Sends `request` to the region of `key`. `fill(route, request)` completes it.
  template <class Response, class Request, class Fill, class Done>
  void Send(const Call& call, const std::string& key, Request request, Fill fill, Done done);

  // Sends requests about `keys`, which are sorted, to all regions that hold them at the same time.
  // `fill(keys, request)` makes a request of some of the keys; what it has set before for others it
  // replaces. `take(result, keys)` gets each answer, and the keys that it is about: each key once.
  template <class Response, class Request, class Fill, class Take>
  void SendAll(const Call& call, std::vector<std::string> keys, Fill fill, Take take);

  // The keys by region, as far as regions are known, in order, no group larger than a batch may be.
  std::vector<std::vector<std::string>> Group(const Call& call,
                                              std::vector<std::string> keys) const;

  // Where the keys begin that lie behind the region's; nothing: there are none.
  static Result<std::optional<std::string>> KeyBehind(const Route& route);
  // Where the region's keys begin; nothing: with the first of all.
  static Result<std::optional<std::string>> FirstKey(const Route& route);

 private:
  struct Question {
    std::string method = {};
    std::string what = {};
    std::string request = {};
    Instant deadline = {};
    std::size_t tried = 0;
    Backoff backoff = {};
    Status last_error = {};
    std::function<bool(const std::string& bytes)> take = {};  // False: that is no answer.
    std::function<void(Status)> fail = {};
  };

  template <class Response, class Request, class Fill, class Take>
  void SendGroup(const Call& call, std::vector<std::string> keys, Fill fill, Take take);
  Where WhereOf(const Call& call, const std::string& key) const;
  static bool Holds(const Route& route, const std::string& key);
  void Ask(const std::shared_ptr<Question>& question);
  std::shared_ptr<TxnCore> Self() { return std::static_pointer_cast<TxnCore>(shared_from_this()); }

  const TxnClientOptions txn_options_;
  const KeyForm form_;
  Random& random_;
  std::size_t endpoint_ = 0;  // Of placement's: which answered last. On the executor.
};

template <class Response, class Request, class Done>
void TxnCore::AskPlacement(std::string method, std::string what, const Request& request,
                           Instant deadline, Done done) {
  auto question = std::make_shared<Question>();
  question->method = std::move(method);
  question->what = std::move(what);
  question->request = request.SerializeAsString();
  question->deadline = deadline;
  question->take = [done](const std::string& bytes) {
    Response response;
    if (!response.ParseFromString(bytes) || response.header().has_error()) return false;
    if constexpr (requires { response.has_timestamp(); }) {
      if (!response.has_timestamp()) return false;
    }
    done(Result<Response>(std::move(response)));
    return true;
  };
  question->fail = [done](Status status) { done(Result<Response>(std::move(status))); };
  executor().Post([self = Self(), question] { self->Ask(question); });
}

template <class Response, class Request, class Fill, class Done>
void TxnCore::Send(const Call& call, const std::string& key, Request request, Fill fill,
                   Done done) {
  Run<Response>(
      WhereOf(call, key), std::move(request), std::move(fill),
      [self = Self(), done = std::move(done)](Result<Response> reply, const Route& route) mutable {
        self->executor().Post([done = std::move(done), reply = std::move(reply), route]() mutable {
          done(std::move(reply), route);
        });
      });
}

template <class Response, class Request, class Fill, class Take>
void TxnCore::SendAll(const Call& call, std::vector<std::string> keys, Fill fill, Take take) {
  for (std::vector<std::string>& group : Group(call, std::move(keys))) {
    SendGroup<Response, Request>(call, std::move(group), fill, take);
  }
}

template <class Response, class Request, class Fill, class Take>
void TxnCore::SendGroup(const Call& call, std::vector<std::string> keys, Fill fill, Take take) {
  const std::string first = keys.front();
  const auto all = std::make_shared<const std::vector<std::string>>(std::move(keys));
  // The region is what the route says when the request leaves; it may hold fewer keys than were
  // thought.
  const auto sent = std::make_shared<std::vector<std::string>>();
  const auto choose = [all, sent, fill](const Route& route, Request* request) {
    sent->clear();
    for (const std::string& key : *all) {
      if (!Holds(route, key)) break;
      sent->push_back(key);
    }
    fill(*sent, request);
  };
  Send<Response>(
      call, first, Request(), choose,
      [self = Self(), call, all, sent, fill, take](Result<Response> reply, const Route&) mutable {
        if (!reply.ok()) return take(std::move(reply), *all);
        std::vector<std::string> rest(all->begin() + static_cast<std::ptrdiff_t>(sent->size()),
                                      all->end());
        if (!rest.empty()) {
          self->template SendAll<Response, Request>(call, std::move(rest), fill, take);
        }
        take(std::move(reply), *sent);
      });
}

}  // namespace rutile::client
