#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "bench/load/h2_client.h"
#include "bench/load/routes.h"
#include "proto/kvrpcpb.pb.h"
#include "proto/pdpb.pb.h"

namespace rutile::bench {

// Transactional calls to a cluster at rest, from one thread: leaders stay where they are, and
// whatever fails ends the measurement with a message.
class TxnSession final : private H2StreamEvents {
 public:
  TxnSession(H2Client& client, const std::string& endpoint)
      : client_(client), routes_(client, {endpoint}) {}

  // Learns where everything is.
  Status Connect();
  // A fresh timestamp; what is asked for within one turn shares a message.
  void GetTimestamp(std::function<void(std::uint64_t)> done);
  std::uint64_t AwaitTimestamp();

  // Calls the leader of `key`. Fills in the context.
  template <class Response, class Request, class Done>
  void Call(std::string_view path, const std::string& key, Request& request, Done done) {
    H2Peer& leader = Address(key, request.mutable_context());
    leader.Call(path, request.SerializeAsString(),
                [path, done = std::move(done)](const Status& status, std::string_view bytes) {
                  Response response;
                  Check(path, status);
                  CheckParsed(
                      path, response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
                  if (response.has_region_error()) Fail(path, response.region_error().message());
                  done(response);
                });
  }

  // Polls until `is_done`.
  void Await(const std::function<bool()>& is_done);
  // Ends the program.
  [[noreturn]] static void Fail(std::string_view what, const std::string& why);

 private:
  void OnMessage(std::string_view message) override;
  void OnClosed(const Status& status) override;
  H2Peer& Address(const std::string& key, kvrpcpb::Context* context);
  static void Check(std::string_view path, const Status& status);
  static void CheckParsed(std::string_view path, bool parsed);
  void SendTso();

  H2Client& client_;
  Routes routes_;
  H2Stream tso_;
  std::vector<std::function<void(std::uint64_t)>> gathered_;
  // One message after the other, as they were sent.
  std::deque<std::vector<std::function<void(std::uint64_t)>>> asked_;
};

}  // namespace rutile::bench
