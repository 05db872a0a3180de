#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "base/status.h"
#include "base/task.h"
#include "rpc/seam/stream.h"

namespace rutile::rpc {

// The duty to answer one call. Whoever holds it completes it, on any thread, once; if it is
// destroyed instead (as when an executor that has shut down throws its tasks away), the caller gets
// kUnavailable. Move-only.
class Done {
 public:
  // A call that waits for its answer. Complete is called exactly once.
  class Call {
   public:
    virtual ~Call() = default;
    virtual void Complete(Status status) = 0;
  };

  explicit Done(Call* call) : call_(call) {}
  Done(Done&& other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  Done& operator=(Done&& other) noexcept;
  ~Done();

  // Sends the response if `status` is OK, else `status`. The request and the response of the call
  // must not be touched afterwards.
  void operator()(Status status = Status());

 private:
  Call* call_;
};

// The calls that a server serves: services add theirs, a binding to a wire looks them up.
//
// Filled before a server starts; constant and safe from any thread from then on.
class Methods {
 public:
  struct Unary {
    const Message* request;  // Prototypes, which live for ever.
    const Message* response;
    // Runs on a thread of the binding and must not block. The messages live until Done is called.
    std::function<void(const Message&, Message*, Done)> handle;
  };
  struct Stream {
    const Message* received;
    StreamFactory open;
  };
  using Method = std::variant<Unary, Stream>;

  // `name` is "/package.Service/Call". Requires that nobody has added it before.
  //
  //   methods.Handle<RawGetRequest, RawGetResponse>("/tikvpb.Tikv/RawGet", [...](
  //       const RawGetRequest& request, RawGetResponse* response, Done done) { ... });
  template <class Request, class Response>
  void Handle(std::string name, std::function<void(const Request&, Response*, Done)> handler) {
    Add(std::move(name),
        Unary{&Request::default_instance(), &Response::default_instance(),
              [handler = std::move(handler)](const Message& request, Message* response, Done done) {
                handler(static_cast<const Request&>(request), static_cast<Response*>(response),
                        std::move(done));
              }});
  }

  // Likewise for a member of a service that fills the response and then runs what it is given.
  template <class Service, class Request, class Response>
  void HandleMember(std::string name, Service* service,
                    void (Service::*call)(const Request&, Response*, UniqueFunction<void()>)) {
    Handle<Request, Response>(
        std::move(name), [service, call](const Request& request, Response* response, Done done) {
          (service->*call)(request, response, [done = std::move(done)]() mutable { done(); });
        });
  }

  // The handlers that `open` makes receive messages of type Received.
  template <class Received>
  void HandleStream(std::string name, StreamFactory open) {
    Add(std::move(name), Stream{&Received::default_instance(), std::move(open)});
  }

  // Null when nobody serves it.
  const Method* Find(const std::string& name) const;
  // "package.Service" of all that have been added so far.
  std::set<std::string> services() const;

 private:
  void Add(std::string name, Method method);

  std::map<std::string, Method, std::less<>> methods_;
};

}  // namespace rutile::rpc
