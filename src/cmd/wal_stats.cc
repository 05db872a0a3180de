#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

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

void AddLists(const wal::LogUse& use, Json* out) {
  for (const auto& [id, region] : use.regions) (*out)["regions"].push_back(RegionJson(id, region));
  for (const auto& [number, segment] : use.segments) {
    (*out)["segments"].push_back({{"number", number},
                                  {"file", segment.path},
                                  {"bytes", segment.file_bytes},
                                  {"written_bytes", segment.written_bytes},
                                  {"live_bytes", segment.live_bytes},
                                  {"batches", segment.batches}});
  }
  for (const RegionId id : use.Pinning()) (*out)["oldest_pinned_by"].push_back(id.value());
}

// Of all streams together.
Json UseJson(const std::vector<wal::LogUse>& streams) {
  std::uint64_t files = 0, spare_files = 0, bytes = 0, spare_bytes = 0, live_bytes = 0;
  Json out = {{"regions", Json::array()},
              {"segments", Json::array()},
              {"oldest_pinned_by", Json::array()},
              {"space_amplification", nullptr}};
  for (const wal::LogUse& use : streams) {
    files += use.segments.size();
    spare_files += use.spare_files;
    bytes += use.file_bytes();
    spare_bytes += use.spare_bytes;
    live_bytes += use.live_bytes();
    AddLists(use, &out);
  }
  out.update({{"files", files},
              {"spare_files", spare_files},
              {"bytes", bytes},
              {"spare_bytes", spare_bytes},
              {"live_bytes", live_bytes}});
  if (live_bytes != 0) {
    out["space_amplification"] = static_cast<double>(bytes) / static_cast<double>(live_bytes);
  }
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
  std::printf("\nthe oldest segment of each stream is needed by regions %s\n",
              use["oldest_pinned_by"].dump().c_str());
}

}  // namespace

int WalStats(const WalFlags& flags) {
  const Result<StoppedNode> node = StoppedNode::Open(flags.data);
  if (!node.ok()) return Fail(node.status());
  bool damaged = false;
  std::vector<wal::LogUse> streams;
  for (const std::string& directory : node.value().logs) {
    Result<wal::LogUse> use =
        wal::MeasureLog(*node.value().files, directory, [&](const wal::Finding& finding) {
          std::fprintf(stderr, "%s\n", ToString(finding).c_str());
          damaged |= finding.IsDamage();
          return Status();
        });
    if (!use.ok()) return Fail(use.status());
    streams.push_back(std::move(use).value());
  }
  const Json json = UseJson(streams);
  if (flags.json) {
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    Print(json);
  }
  return damaged ? kExitDataFailed : kExitOk;
}

}  // namespace rutile::cmd
