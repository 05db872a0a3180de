// Counts its runs in a raw key of a cluster, and keeps the last of them beside it.
//
//   visits HOST:PORT[,HOST:PORT...]

#include <rutile/client/client.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "endpoints.h"

namespace {

using rutile::Result;
using rutile::Status;
using rutile::client::Await;
using rutile::client::Client;
using rutile::client::RawClient;

// Adds one to the number at `key`, whoever else does the same meanwhile. A swap whose answer is
// lost may have been carried out, and is not repeated: the error says so.
Result<int> Increment(RawClient& client, const std::string& key) {
  Result<std::optional<std::string>> value = Await(client, &RawClient::Get, key);
  if (!value.ok()) return value.status();
  std::optional<std::string> known = std::move(value).value();
  while (true) {
    const int next = (known ? std::stoi(*known) : 0) + 1;
    const Result<RawClient::Swapped> swap =
        Await(client, &RawClient::CompareAndSwap, key, known, std::to_string(next));
    if (!swap.ok()) return swap.status();
    if (swap.value().swapped) return next;
    known = swap.value().previous;  // Somebody else was quicker.
  }
}

Status Visit(RawClient& client) {
  const Result<int> count = Increment(client, "visits");
  if (!count.ok()) return count.status();
  // An hour later this one is gone by itself.
  constexpr std::uint64_t kSecondsToLive = 3600;
  const Status put = Await(client, &RawClient::Put, "visit/" + std::to_string(count.value()),
                           "was here", kSecondsToLive);
  if (!put.ok()) return put;
  const Result<std::vector<RawClient::Pair>> visits =
      Await(client, &RawClient::Scan, "visit/", "visit0", rutile::client::ScanOptions{});
  if (!visits.ok()) return visits.status();
  std::printf("visit %d, %zu of them are remembered\n", count.value(), visits.value().size());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s HOST:PORT[,HOST:PORT...]\n", argv[0]);
    return 2;
  }
  const auto client = Client::Open({.endpoints = SplitEndpoints(argv[1])});
  const Status status = client.ok() ? Visit(client.value()->raw()) : client.status();
  if (!status.ok()) std::fprintf(stderr, "error: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
