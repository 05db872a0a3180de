#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cmd/client_session.h"
#include "cmd/commands.h"
#include "mvcc/types.h"
#include "proto/rutile/node.pb.h"

namespace rutile::cmd {
namespace {

using Json = nlohmann::json;

constexpr Duration kNodeTimeout = Seconds(2);

struct NodeAnswer {
  std::string name = {};
  std::string address = {};
  Json status = {};        // Null: it did not answer.
  std::string error = {};  // Why.
};

Result<Json> Ask(ClientSession& session, const std::string& address) {
  RUTILE_ASSIGN_OR_RETURN(const std::string bytes,
                          session.Call(address, "/rutile.Node/Status",
                                       rutile::StatusRequest().SerializeAsString(), kNodeTimeout));
  rutile::StatusResponse response;
  Json json;
  if (response.ParseFromString(bytes)) {
    json = Json::parse(response.json(), nullptr, /*allow_exceptions=*/false);
  }
  if (!json.is_object()) {
    return Status(Code::kCorruption, address + ": the answer is not a node's status");
  }
  return json;
}

// Asks the endpoints until one answers, and then every member that it names.
Result<std::vector<NodeAnswer>> AskAll(ClientSession& session, const ClientFlags& flags) {
  Status last(Code::kInvalidArgument, "--endpoint: no address given");
  for (const std::string& endpoint : flags.EndpointList()) {
    Result<Json> first = Ask(session, endpoint);
    if (!first.ok()) {
      last = first.status();
      continue;
    }
    std::vector<NodeAnswer> answers;
    for (const Json& member : first.value()["members"]) {
      NodeAnswer answer{.name = member["name"], .address = member["address"]};
      Result<Json> status = Ask(session, answer.address);
      if (status.ok()) {
        answer.status = std::move(status).value();
      } else {
        answer.error = status.status().message();
      }
      answers.push_back(std::move(answer));
    }
    return answers;
  }
  return std::move(last).WithContext("no node answered");
}

// What is wrong, each with what to do; empty when all is well.
std::vector<std::string> Complaints(const std::vector<NodeAnswer>& nodes) {
  std::vector<std::string> complaints;
  std::set<std::uint64_t> regions;
  std::set<std::uint64_t> led;
  for (const NodeAnswer& node : nodes) {
    if (node.status.is_null()) {
      complaints.push_back("node " + node.name + " at " + node.address + " does not answer (" +
                           node.error + "): start it, or look at its log");
      continue;
    }
    // Absent in answers of earlier versions.
    if (const Json disk = node.status.value("disk", Json::object());
        disk.contains("refuses_growth")) {
      complaints.push_back("node " + node.name + " refuses writes that need space (" +
                           disk["refuses_growth"].get<std::string>() +
                           "): give its disk more space, or delete data");
    }
    for (const Json& replica : node.status["replicas"]) {
      regions.insert(replica["region"].get<std::uint64_t>());
      if (replica["role"] == "leader") led.insert(replica["region"].get<std::uint64_t>());
      if (replica.contains("poisoned")) {
        complaints.push_back("the replica of region " + replica["region"].dump() + " on node " +
                             node.name +
                             " has found an error in its own state and stands still: "
                             "its log names it");
      }
      if (replica.contains("impaired_until")) {
        complaints.push_back("the disk of node " + node.name + " has lost entries of region " +
                             replica["region"].dump() +
                             ": its replica does not vote until the others have brought them "
                             "back; check the disk");
      }
    }
  }
  for (const std::uint64_t region : regions) {
    if (led.contains(region)) continue;
    complaints.push_back("region " + std::to_string(region) +
                         " has no leader: a majority of its replicas must be running and able to "
                         "talk to each other");
  }
  return complaints;
}

void Print(const std::vector<NodeAnswer>& nodes) {
  for (const NodeAnswer& node : nodes) {
    if (node.status.is_null()) {
      std::printf("%-8s %-21s down\n", node.name.c_str(), node.address.c_str());
      continue;
    }
    std::printf("%-8s %-21s up %.0f s, store %s, cluster %s\n", node.name.c_str(),
                node.address.c_str(), node.status["uptime_seconds"].get<double>(),
                node.status["store_id"].dump().c_str(), node.status["cluster_id"].dump().c_str());
  }
  std::printf("\n%-7s %-10s %-8s %-15s %6s %10s %10s %10s %10s %8s %8s %8s\n", "region", "kind",
              "node", "role", "term", "applied", "durable", "committed", "last", "lag", "KiB",
              "segments");
  for (const NodeAnswer& node : nodes) {
    if (node.status.is_null()) continue;
    for (const Json& replica : node.status["replicas"]) {
      const std::uint64_t lag =
          replica["last"].get<std::uint64_t>() - replica["applied"].get<std::uint64_t>();
      std::printf(
          "%-7s %-10s %-8s %-15s %6s %10s %10s %10s %10s %8s %8s %8s\n",
          replica["region"].dump().c_str(), replica["kind"].get<std::string>().c_str(),
          node.name.c_str(),
          (replica["role"].get<std::string>() + (replica.value("quiet", false) ? ", quiet" : ""))
              .c_str(),
          replica["term"].dump().c_str(), replica["applied"].dump().c_str(),
          replica["durable"].dump().c_str(), replica["committed"].dump().c_str(),
          replica["last"].dump().c_str(), std::to_string(lag).c_str(),
          std::to_string((replica["log_bytes_in_memory"].get<std::uint64_t>() + 1023) / 1024)
              .c_str(),
          replica.value("log_segments", Json(0)).dump().c_str());
      for (const Json& peer : replica["peers"]) {
        if (peer["lag"].get<std::uint64_t>() == 0 && peer["active"].get<bool>()) continue;
        std::printf("        follower on store %s: %s, %s entries behind%s\n",
                    peer["store"].dump().c_str(), peer["state"].get<std::string>().c_str(),
                    peer["lag"].dump().c_str(), peer["active"].get<bool>() ? "" : ", silent");
      }
    }
  }
}

// The moment at which it was given out, by the clock of placement.
std::string ToUtc(mvcc::Timestamp timestamp) {
  const auto seconds = static_cast<std::time_t>(mvcc::PhysicalMillis(timestamp) / 1000);
  std::tm utc = {};
  ::gmtime_r(&seconds, &utc);
  char text[32] = {};
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &utc);
  return text;
}

// How far versions that nobody sees any more are removed, on all nodes together.
void PrintGarbage(const std::vector<NodeAnswer>& nodes) {
  mvcc::Timestamp safe_point;
  std::uint64_t removed = 0, waiting = 0;
  for (const NodeAnswer& node : nodes) {
    if (node.status.is_null()) continue;
    // Absent in answers of earlier versions.
    const Json garbage = node.status.value("garbage", Json::object());
    safe_point = std::max(safe_point, mvcc::Timestamp(garbage.value("safe_point", 0UL)));
    removed += garbage.value("records_removed", 0UL);
    waiting += garbage.value("waiting_regions", 0UL);
  }
  if (safe_point.IsZero()) {
    std::printf("\ngarbage of transactions: none is removed yet\n");
    return;
  }
  std::printf(
      "\ngarbage of transactions: up to %s; %llu records removed since the nodes started, "
      "%llu regions to go\n",
      ToUtc(safe_point).c_str(), static_cast<unsigned long long>(removed),
      static_cast<unsigned long long>(waiting));
}

int RunStatus(const ClientFlags& flags, bool as_json) {
  const auto session = ClientSession::Open(flags);
  if (!session.ok()) return Fail(session.status());
  const Result<std::vector<NodeAnswer>> nodes = AskAll(*session.value(), flags);
  if (!nodes.ok()) {
    Fail(nodes.status());
    return kExitUnreachable;
  }
  const std::vector<std::string> complaints = Complaints(nodes.value());
  if (as_json) {
    Json out = {{"healthy", complaints.empty()}, {"complaints", complaints}};
    out["nodes"] = Json::array();
    for (const NodeAnswer& node : nodes.value()) {
      Json entry = {{"name", node.name}, {"address", node.address}, {"status", node.status}};
      if (!node.error.empty()) entry["error"] = node.error;
      out["nodes"].push_back(std::move(entry));
    }
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    Print(nodes.value());
    PrintGarbage(nodes.value());
    std::printf("\n%s\n", complaints.empty() ? "healthy" : "not healthy:");
    for (const std::string& complaint : complaints) std::printf("- %s\n", complaint.c_str());
  }
  return complaints.empty() ? kExitOk : kExitUnhealthy;
}

}  // namespace

void AddStatus(CLI::App& app, int* exit_code) {
  CLI::App* command = app.add_subcommand(
      "status", "Members, leaders, regions and how far each replica is; exit code 4 if unhealthy");
  auto flags = std::make_shared<ClientFlags>();
  auto as_json = std::make_shared<bool>(false);
  flags->AddTo(*command);
  command->add_flag("--json", *as_json, "As JSON");
  command->callback([flags, as_json, exit_code] { *exit_code = RunStatus(*flags, *as_json); });
}

}  // namespace rutile::cmd
