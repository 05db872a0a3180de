#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cmd/commands.h"
#include "cmd/text.h"
#include "cmd/wal_flags.h"
#include "store/peer_message.h"
#include "wal/entry_block.h"
#include "wal/recovery.h"

namespace rutile::cmd {
namespace {

using Json = nlohmann::json;

// Of each entry's payload, with --payload.
constexpr std::size_t kPayloadPrefix = 32;

// What an item does, in the words of docs/formats/wal.md.
std::vector<std::string> KindsOf(const wal::Item& item) {
  std::vector<std::string> kinds;
  if (item.clean) kinds.emplace_back("clean");
  if (item.reset) kinds.emplace_back("reset");
  if (item.moved) kinds.emplace_back("moved");
  if (item.cut) kinds.emplace_back("cut");
  if (!item.runs.empty() && !item.moved) kinds.emplace_back("append");
  if (item.compact) kinds.emplace_back("compact");
  if (item.state) kinds.emplace_back("state");
  if (kinds.empty()) kinds.emplace_back("begin");
  return kinds;
}

Json IdJson(const LogId& id) { return {{"index", id.index.value()}, {"term", id.term.value()}}; }

Json StateOf(const std::string& blob) {
  const Result<raft::HardState> state = store::DecodeHardState(blob);
  if (!state.ok()) return {{"hex", FormatBytes(TextFormat::kHex, blob)}};
  Json json = {{"term", state.value().term.value()},
               {"vote", state.value().vote.value()},
               {"commit", state.value().commit.value()}};
  if (state.value().impaired_until) json["impaired_until"] = IdJson(*state.value().impaired_until);
  return json;
}

class Dump {
 public:
  explicit Dump(const WalFlags& flags) : flags_(flags) {
    // With the stream's directory, if it is given: each stream has a file of the same name.
    std::size_t slash = flags.segment.rfind('/');
    if (slash != std::string::npos && slash > 0) slash = flags.segment.rfind('/', slash - 1);
    segment_ = slash == std::string::npos ? flags.segment : flags.segment.substr(slash + 1);
  }

  bool IsWanted(const wal::Segment& segment) const {
    return segment_.empty() || ("/" + segment.path).ends_with("/" + segment_);
  }

  void Print(const wal::Segment& segment, const wal::ScannedBatch& batch) const {
    if (!IsWanted(segment)) return;
    if (batch.items.empty() && flags_.region == 0 && !HasRange()) PrintControl(segment, batch);
    std::uint64_t block = 0;
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      const wal::Item& item = batch.items[i];
      std::optional<std::string_view> bytes = batch.payload.substr(block, item.block_bytes);
      block += item.block_bytes;
      if (!IsWanted(item)) continue;
      if (std::binary_search(batch.holed.begin(), batch.holed.end(), i)) bytes.reset();
      const Json json = Describe(segment, batch, item, bytes);
      if (flags_.json) {
        std::printf("%s\n", json.dump().c_str());
      } else {
        PrintText(json);
      }
    }
  }

 private:
  bool HasRange() const { return flags_.from != 0 || flags_.to != UINT64_MAX; }

  bool IsWanted(const wal::Item& item) const {
    if (flags_.region != 0 && item.region.value() != flags_.region) return false;
    if (!HasRange()) return true;
    return !item.runs.empty() && item.prev.index.value() < flags_.to &&
           item.LastEntry().index.value() >= flags_.from;
  }

  void PrintControl(const wal::Segment& segment, const wal::ScannedBatch& batch) const {
    const Json json = {{"file", segment.path},
                       {"offset", batch.offset},
                       {"batch", batch.header.sequence},
                       {"kind", "watermark"},
                       {"synced_to", batch.header.synced_to},
                       {"first_live", batch.header.first_live}};
    if (flags_.json) {
      std::printf("%s\n", json.dump().c_str());
      return;
    }
    std::printf("%s:%s batch %s watermark: synced to %s, first live segment %s\n",
                segment.path.c_str(), json["offset"].dump().c_str(), json["batch"].dump().c_str(),
                json["synced_to"].dump().c_str(), json["first_live"].dump().c_str());
  }

  // `block` is nothing when it does not verify.
  Json Describe(const wal::Segment& segment, const wal::ScannedBatch& batch, const wal::Item& item,
                const std::optional<std::string_view>& block) const {
    std::string kind;
    for (const std::string& one : KindsOf(item)) kind += (kind.empty() ? "" : "+") + one;
    Json json = {{"file", segment.path},
                 {"offset", batch.offset},
                 {"batch", batch.header.sequence},
                 {"region", item.region.value()},
                 {"peer", item.peer.value()},
                 {"kind", kind},
                 {"mark", {{"term", item.term.value()}, {"epoch", item.epoch}}}};
    if (item.clean) return json;
    json["base"] = IdJson(item.base);
    json["prev"] = IdJson(item.prev);
    if (item.moved) json["log_last"] = IdJson(item.last);
    if (item.state) json["state"] = StateOf(*item.state);
    if (item.runs.empty()) return json;
    json["first"] = item.prev.index.value() + 1;
    json["last"] = item.LastEntry().index.value();
    json["block_bytes"] = item.block_bytes;
    if (!block) {
      json["lost"] = true;
    } else if (const auto plain = wal::PlainBytes(*block)) {
      json["plain_bytes"] = *plain;
    }
    json["terms"] = Json::array();
    for (const wal::EntryRun& run : item.runs) {
      json["terms"].push_back({{"term", run.term.value()}, {"count", run.count}});
    }
    if (flags_.payload && block) json["entries"] = Entries(item, *block);
    return json;
  }

  Json Entries(const wal::Item& item, std::string_view block) const {
    Json out = Json::array();
    const Bytes bytes = Bytes::Copy(block);
    std::uint32_t skip = 0;
    Index first = item.prev.index.Next();
    for (const wal::EntryRun& run : item.runs) {
      const auto entries = wal::DecodeBlock(bytes, skip, first, run.term, run.count);
      if (!entries) return {{"error", "the block does not hold the entries that it should"}};
      for (const Entry& entry : *entries) {
        const std::uint64_t index = entry.id.index.value();
        if (index < flags_.from || index > flags_.to) continue;
        const std::string_view payload = entry.payload.view();
        out.push_back({{"index", index},
                       {"term", entry.id.term.value()},
                       {"type", static_cast<int>(entry.type)},
                       {"bytes", payload.size()},
                       {"hex", FormatBytes(TextFormat::kHex, payload.substr(0, kPayloadPrefix))}});
      }
      skip += run.count;
      first = first.Plus(run.count);
    }
    return out;
  }

  static std::string IdText(const Json& id) { return id["index"].dump() + "@" + id["term"].dump(); }

  // The same facts for people, one line a record.
  static void PrintText(const Json& json) {
    std::string line = json["file"].get<std::string>() + ":" + json["offset"].dump() + " batch " +
                       json["batch"].dump() + " region " + json["region"].dump() + " peer " +
                       json["peer"].dump() + " " + json["kind"].get<std::string>();
    if (json.contains("first")) {
      line += " [" + json["first"].dump() + ", " + json["last"].dump() + "] terms";
      for (const Json& run : json["terms"]) {
        line += " " + run["term"].dump() + "x" + run["count"].dump();
      }
      line += ", " + json["block_bytes"].dump() + " bytes";
      if (json.value("plain_bytes", 0) > json["block_bytes"]) {
        line += " compressed from " + json["plain_bytes"].dump();
      }
      if (json.contains("lost")) line += " that do not verify";
    }
    if (json.contains("prev")) line += " after " + IdText(json["prev"]);
    if (json.contains("base")) line += " base " + IdText(json["base"]);
    if (json.contains("log_last")) line += " of a log up to " + IdText(json["log_last"]);
    if (json.contains("state")) line += " state " + json["state"].dump();
    line += " mark " + json["mark"]["term"].dump() + "/" + json["mark"]["epoch"].dump();
    std::printf("%s\n", line.c_str());
    if (!json.contains("entries")) return;
    for (const Json& entry : json["entries"]) {
      if (!entry.is_object()) continue;
      std::printf("    %s type %s, %s bytes: %s%s\n", IdText(entry).c_str(),
                  entry["type"].dump().c_str(), entry["bytes"].dump().c_str(),
                  entry["hex"].get<std::string>().c_str(),
                  entry["bytes"].get<std::size_t>() > kPayloadPrefix ? "..." : "");
    }
  }

  const WalFlags& flags_;
  std::string segment_;
};

}  // namespace

int WalDump(const WalFlags& flags) {
  const Result<StoppedNode> node = StoppedNode::Open(flags.data);
  if (!node.ok()) return Fail(node.status());
  const Dump dump(flags);
  bool damaged = false;
  const wal::LogVisitor visitor{
      .on_finding =
          [&](const wal::Finding& finding) {
            std::fprintf(stderr, "%s\n", ToString(finding).c_str());
            damaged |= finding.IsDamage();
            return Status();
          },
      .on_batch =
          [&](const wal::Segment& segment, const wal::ScannedBatch& batch) {
            dump.Print(segment, batch);
            return Status();
          }};
  bool any = flags.segment.empty();
  for (const std::string& directory : node.value().logs) {
    const Result<wal::Recovered> log = wal::ReadLog(*node.value().files, directory, visitor);
    if (!log.ok()) return Fail(log.status());
    const auto& segments = log.value().segments;
    any |= std::any_of(segments.begin(), segments.end(),
                       [&](const auto& segment) { return dump.IsWanted(*segment.second); });
  }
  if (!any) {
    return Fail(Status(Code::kInvalidArgument,
                       "--segment " + flags.segment +
                           ": no segment of the log has that name; `rutile wal stats` lists them"));
  }
  return damaged ? kExitDataFailed : kExitOk;
}

}  // namespace rutile::cmd
