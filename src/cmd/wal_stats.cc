#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "cmd/commands.h"
#include "cmd/wal_flags.h"
#include "wal/log_use.h"

namespace rutile::cmd {
namespace {

using Json = nlohmann::json;

Json Numbers(const auto& ids) {
  Json out = Json::array();
  for (const auto& id : ids) out.push_back(id);
  return out;
}

Json RegionJson(RegionId id, const wal::RegionUse& use) {
  Json terms = Json::array();
  for (const wal::TermRun& run : use.log.runs) {
    terms.push_back({{"from", run.start.value()}, {"term", run.term.value()}});
  }
  return {{"region", id.value()},
          {"peer", use.log.peer.value()},
          {"first", use.log.base.index.value() + 1},
          {"last", use.log.last.index.value()},
          {"base_term", use.log.base.term.value()},
          {"last_term", use.log.last.term.value()},
          {"terms", std::move(terms)},
          {"live_bytes", use.live_bytes},
          {"garbage_bytes", use.garbage_bytes},
          {"segments", Numbers(use.segments)},
          {"contradicted", use.contradicted}};
}

Json UseJson(const wal::LogUse& use) {
  Json out = {{"files", use.segments.size()},   {"spare_files", use.spare_files},
              {"bytes", use.file_bytes()},      {"spare_bytes", use.spare_bytes},
              {"live_bytes", use.live_bytes()}, {"space_amplification", nullptr}};
  if (use.live_bytes() != 0) {
    out["space_amplification"] =
        static_cast<double>(use.file_bytes()) / static_cast<double>(use.live_bytes());
  }
  out["regions"] = Json::array();
  for (const auto& [id, region] : use.regions) out["regions"].push_back(RegionJson(id, region));
  out["segments"] = Json::array();
  for (const auto& [number, segment] : use.segments) {
    out["segments"].push_back({{"number", number},
                               {"file", segment.path},
                               {"bytes", segment.file_bytes},
                               {"written_bytes", segment.written_bytes},
                               {"live_bytes", segment.live_bytes},
                               {"batches", segment.batches}});
  }
  out["oldest_pinned_by"] = Json::array();
  for (const RegionId id : use.Pinning()) out["oldest_pinned_by"].push_back(id.value());
  return out;
}

void Print(const Json& use) {
  std::printf("%-8s %-6s %10s %10s %6s %12s %12s  %s\n", "region", "peer", "first", "last", "term",
              "live", "garbage", "segments");
  for (const Json& region : use["regions"]) {
    std::printf("%-8s %-6s %10s %10s %6s %12s %12s  %s%s\n", region["region"].dump().c_str(),
                region["peer"].dump().c_str(), region["first"].dump().c_str(),
                region["last"].dump().c_str(), region["last_term"].dump().c_str(),
                region["live_bytes"].dump().c_str(), region["garbage_bytes"].dump().c_str(),
                region["segments"].dump().c_str(),
                region["contradicted"].get<bool>() ? " CONTRADICTED: not to be believed" : "");
  }
  std::printf("\n%-32s %12s %12s %12s %8s\n", "segment", "bytes", "written", "live", "batches");
  for (const Json& segment : use["segments"]) {
    std::printf("%-32s %12s %12s %12s %8s\n", segment["file"].get<std::string>().c_str(),
                segment["bytes"].dump().c_str(), segment["written_bytes"].dump().c_str(),
                segment["live_bytes"].dump().c_str(), segment["batches"].dump().c_str());
  }
  std::printf("\n%s segments of %s bytes, %s spare files of %s bytes; %s bytes live",
              use["files"].dump().c_str(), use["bytes"].dump().c_str(),
              use["spare_files"].dump().c_str(), use["spare_bytes"].dump().c_str(),
              use["live_bytes"].dump().c_str());
  if (use["space_amplification"].is_number()) {
    std::printf(", space amplification %.1f", use["space_amplification"].get<double>());
  }
  std::printf("\nthe oldest segment is needed by regions %s\n",
              use["oldest_pinned_by"].dump().c_str());
}

}  // namespace

int WalStats(const WalFlags& flags) {
  const Result<StoppedNode> node = StoppedNode::Open(flags.data);
  if (!node.ok()) return Fail(node.status());
  bool damaged = false;
  const Result<wal::LogUse> use =
      wal::MeasureLog(*node.value().files, kWalDirectory, [&](const wal::Finding& finding) {
        std::fprintf(stderr, "%s\n", ToString(finding).c_str());
        damaged |= finding.StopsNode();
        return Status();
      });
  if (!use.ok()) return Fail(use.status());
  const Json json = UseJson(use.value());
  if (flags.json) {
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    Print(json);
  }
  return damaged ? kExitDataFailed : kExitOk;
}

}  // namespace rutile::cmd
