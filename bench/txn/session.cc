#include "bench/txn/session.h"

#include <cstdio>
#include <cstdlib>
#include <optional>

namespace rutile::bench {
namespace {

constexpr int kLogicalBits = 18;

}  // namespace

void TxnSession::Fail(std::string_view what, const std::string& why) {
  std::fprintf(stderr, "error: %.*s: %s\n", static_cast<int>(what.size()), what.data(),
               why.c_str());
  std::exit(1);
}

void TxnSession::Check(std::string_view path, const Status& status) {
  if (!status.ok()) Fail(path, status.ToString());
}

void TxnSession::CheckParsed(std::string_view path, bool parsed) {
  if (!parsed) Fail(path, "the answer cannot be read");
}

void TxnSession::Await(const std::function<bool()>& is_done) {
  while (!is_done()) client_.Poll(Milliseconds(20));
}

Status TxnSession::Connect() {
  const Instant deadline = client_.Now() + Seconds(20);
  while (true) {
    std::optional<Status> result;
    routes_.Refresh([&](const Status& status) { result = status; });
    Await([&] { return result.has_value(); });
    if (result->ok() && routes_.Find("") != nullptr) break;
    if (client_.Now() > deadline) {
      return result->ok() ? Status(Code::kUnavailable, "no region of keys") : *result;
    }
    bool waited = false;
    client_.RunAfter(Milliseconds(100), [&] { waited = true; });
    Await([&] { return waited; });
  }
  tso_ = routes_.placement()->OpenStream("/pdpb.PD/Tso", this);
  return {};
}

void TxnSession::GetTimestamp(std::function<void(std::uint64_t)> done) {
  gathered_.push_back(std::move(done));
  if (gathered_.size() > 1) return;
  client_.RunAfter(Duration(0), [this] { SendTso(); });
}

std::uint64_t TxnSession::AwaitTimestamp() {
  std::uint64_t at = 0;
  GetTimestamp([&](std::uint64_t fresh) { at = fresh; });
  Await([&] { return at != 0; });
  return at;
}

void TxnSession::SendTso() {
  pdpb::TsoRequest request;
  request.mutable_header()->set_cluster_id(routes_.cluster());
  request.set_count(static_cast<std::uint32_t>(gathered_.size()));
  asked_.push_back(std::exchange(gathered_, {}));
  tso_.Send(request.SerializeAsString());
}

void TxnSession::OnMessage(std::string_view message) {
  pdpb::TsoResponse response;
  CheckParsed("Tso", response.ParseFromArray(message.data(), static_cast<int>(message.size())));
  if (response.count() == 0) Fail("Tso", response.header().error().message());
  const auto waiting = std::move(asked_.front());
  asked_.pop_front();
  // The answer names the last of so many.
  const auto last = (static_cast<std::uint64_t>(response.timestamp().physical()) << kLogicalBits) +
                    static_cast<std::uint64_t>(response.timestamp().logical());
  for (std::size_t i = 0; i < waiting.size(); ++i) waiting[i](last - (waiting.size() - 1 - i));
}

void TxnSession::OnClosed(const Status& status) { Fail("Tso", status.ToString()); }

H2Peer& TxnSession::Address(const std::string& key, kvrpcpb::Context* context) {
  // Regions of keys are in comparable form; a bench has one region, or asks by the first byte.
  Route* const route = routes_.Find(key);
  if (route == nullptr) Fail("routes", "no region has the key");
  const Route::Peer& peer = route->peers[route->target];
  H2Peer* const store = routes_.StoreAt(peer.store);
  if (store == nullptr) Fail("routes", "the leader's store is not known");
  context->set_region_id(route->region);
  context->mutable_region_epoch()->set_conf_ver(route->conf_ver);
  context->mutable_region_epoch()->set_version(route->version);
  context->mutable_peer()->set_id(peer.id);
  context->mutable_peer()->set_store_id(peer.store);
  return *store;
}

}  // namespace rutile::bench
