#include "sim/trace_event.h"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

namespace rutile::sim {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 19> kNames = {"InitState",
                                                     "BecomeCandidate",
                                                     "BecomeFollower",
                                                     "BecomeLeader",
                                                     "Commit",
                                                     "Replicate",
                                                     "ChangeConf",
                                                     "ApplyConfChange",
                                                     "Ready",
                                                     "SendAppendEntriesRequest",
                                                     "ReceiveAppendEntriesRequest",
                                                     "SendAppendEntriesResponse",
                                                     "ReceiveAppendEntriesResponse",
                                                     "SendRequestVoteRequest",
                                                     "ReceiveRequestVoteRequest",
                                                     "SendRequestVoteResponse",
                                                     "ReceiveRequestVoteResponse",
                                                     "SendSnapshot",
                                                     "ReceiveSnapshot"};
constexpr std::array<std::string_view, 4> kRoles = {"StateFollower", "StateCandidate",
                                                    "StateLeader", "StatePreCandidate"};
constexpr std::array<std::string_view, 7> kTypes = {"MsgApp",          "MsgAppResp", "MsgVote",
                                                    "MsgVoteResp",     "MsgSnap",    "MsgHeartbeat",
                                                    "MsgHeartbeatResp"};

template <class Names>
std::string OneOf(const Names& names) {
  std::string text = "one of";
  for (const std::string_view name : names) text += " " + std::string(name);
  return text;
}

// Takes members out of one line, and remembers the first that was not as it must be.
class Reader {
 public:
  const std::string& error() const { return error_; }

  const Json* Member(const Json& object, const std::string& path, const char* expected) {
    const std::string name = path.substr(path.rfind('.') + 1);
    const auto found = object.find(name);
    if (found != object.end()) return &*found;
    Fail(path + " is missing; expected " + expected);
    return nullptr;
  }
  const Json* Object(const Json& object, const std::string& path) {
    const Json* member = Member(object, path, "an object");
    if (member != nullptr && !member->is_object()) {
      Fail(path + " is " + member->dump() + "; expected an object");
      return nullptr;
    }
    return member;
  }
  std::uint64_t Number(const Json& object, const std::string& path) {
    const Json* member = Member(object, path, "a number");
    if (member == nullptr) return 0;
    if (!member->is_number_unsigned()) {
      Fail(path + " is " + member->dump() + "; expected a number");
      return 0;
    }
    return member->get<std::uint64_t>();
  }
  bool Flag(const Json& object, const std::string& path) {
    const Json* member = Member(object, path, "true or false");
    if (member == nullptr) return false;
    if (!member->is_boolean()) Fail(path + " is " + member->dump() + "; expected true or false");
    return member->is_boolean() && member->get<bool>();
  }
  // Ids of nodes are numbers in quotes.
  PeerId Id(const Json& object, const std::string& path) {
    const Json* member = Member(object, path, "the number of a node in quotes");
    return member == nullptr ? PeerId() : IdOf(*member, path);
  }
  PeerId IdOf(const Json& json, const std::string& path) {
    std::uint64_t value = 0;
    const std::string text = json.is_string() ? json.get<std::string>() : "";
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc() || end != text.data() + text.size()) {
      Fail(path + " is " + json.dump() + "; expected the number of a node in quotes");
    }
    return PeerId(value);
  }
  template <class Enum, class Names>
  Enum Named(const Json& object, const std::string& path, const Names& names) {
    const std::string expected = OneOf(names);
    const Json* member = Member(object, path, expected.c_str());
    if (member == nullptr) return Enum();
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (member->is_string() && member->get<std::string>() == names[i]) {
        return static_cast<Enum>(i);
      }
    }
    Fail(path + " is " + member->dump() + "; expected " + expected);
    return Enum();
  }
  raft::PeerIds Ids(const Json& list, const std::string& path) {
    raft::PeerIds ids;
    if (!list.is_array()) {
      Fail(path + " is " + list.dump() + "; expected a list of nodes");
      return ids;
    }
    for (const Json& id : list) ids.push_back(IdOf(id, path));
    return ids;
  }

 private:
  void Fail(const std::string& what) {
    if (error_.empty()) error_ = what;
  }

  std::string error_;
};

std::string InQuotes(PeerId id) { return std::to_string(id.value()); }

Json IdList(const raft::PeerIds& ids) {
  Json list = Json::array();
  for (const PeerId id : ids) list.push_back(InQuotes(id));
  return list;
}

Json MessageJson(const TraceMessage& message) {
  return {{"type", ToString(message.type)},
          {"term", message.term.value()},
          {"from", InQuotes(message.from)},
          {"to", InQuotes(message.to)},
          {"entries", message.entries},
          {"logTerm", message.log_term.value()},
          {"index", message.index.value()},
          {"commit", message.commit.value()},
          {"vote", "0"},
          {"reject", message.reject},
          {"rejectHint", message.reject_hint.value()}};
}

Json PropertiesJson(const TraceEvent& event) {
  Json json = Json::object();
  if (event.durable) {
    json["durable"] = {{"term", event.durable->term.value()},
                       {"vote", InQuotes(event.durable->vote)},
                       {"log", event.durable->log.value()}};
    if (const auto& impaired = event.durable->impaired) {
      json["durable"]["impaired"] = {{"index", impaired->index.value()},
                                     {"term", impaired->term.value()}};
    }
  }
  if (event.found) {
    Json runs = Json::array();
    for (const TraceRun& run : event.found->runs) {
      runs.push_back({run.start.value(), run.term.value()});
    }
    json["log"] = {{"base", event.found->base.index.value()},
                   {"baseTerm", event.found->base.term.value()},
                   {"terms", runs}};
  }
  if (event.snapshot) {
    json["snapshot"] = {{"index", event.snapshot->index.value()},
                        {"term", event.snapshot->term.value()}};
  }
  if (event.new_conf) {
    json["cc"] = {{"newconf", IdList(event.new_conf->voters)},
                  {"outgoing", IdList(event.new_conf->outgoing)}};
  }
  return json;
}

TraceMessage ParseMessage(Reader& reader, const Json& event) {
  TraceMessage message;
  const Json* json = reader.Object(event, "event.msg");
  if (json == nullptr) return message;
  message.type = reader.Named<TraceMessageType>(*json, "event.msg.type", kTypes);
  message.term = Term(reader.Number(*json, "event.msg.term"));
  message.from = reader.Id(*json, "event.msg.from");
  message.to = reader.Id(*json, "event.msg.to");
  message.entries = reader.Number(*json, "event.msg.entries");
  message.log_term = Term(reader.Number(*json, "event.msg.logTerm"));
  message.index = Index(reader.Number(*json, "event.msg.index"));
  message.commit = Index(reader.Number(*json, "event.msg.commit"));
  message.reject = reader.Flag(*json, "event.msg.reject");
  message.reject_hint = Index(reader.Number(*json, "event.msg.rejectHint"));
  return message;
}

void ParseFound(Reader& reader, const Json& properties, TraceEvent& event) {
  const Json* log = reader.Object(properties, "event.prop.log");
  if (log == nullptr) return;
  event.found.emplace();
  event.found->base = {Term(reader.Number(*log, "event.prop.log.baseTerm")),
                       Index(reader.Number(*log, "event.prop.log.base"))};
  const Json* runs = reader.Member(*log, "event.prop.log.terms", "a list of [index, term]");
  if (runs == nullptr) return;
  for (const Json& run : *runs) {
    if (!run.is_array() || run.size() != 2 || !run[0].is_number_unsigned() ||
        !run[1].is_number_unsigned()) {
      const Json wrong = {{"terms", run}};
      reader.Number(wrong, "event.prop.log.terms");  // Reports it.
      return;
    }
    event.found->runs.push_back(
        {Index(run[0].get<std::uint64_t>()), Term(run[1].get<std::uint64_t>())});
  }
}

// Others' ChangeConf names the steps, and not where they lead.
void ParseChange(Reader& reader, const Json& properties, bool must, TraceEvent& event) {
  if (!must && !properties.contains("cc")) return;
  const Json* change = reader.Object(properties, "event.prop.cc");
  if (change == nullptr || (!must && !change->contains("newconf"))) return;
  TraceConf conf;
  const Json* ids = reader.Member(*change, "event.prop.cc.newconf", "a list of nodes");
  if (ids == nullptr) return;
  conf.voters = reader.Ids(*ids, "event.prop.cc.newconf");
  if (change->contains("outgoing")) {
    conf.outgoing = reader.Ids(change->at("outgoing"), "event.prop.cc.outgoing");
  }
  event.new_conf = std::make_shared<const TraceConf>(std::move(conf));
}

void ParseProperties(Reader& reader, const Json& json, TraceEvent& event) {
  const auto properties = json.find("prop");
  const bool must = event.name == TraceName::kApplyConfChange;
  if (properties == json.end()) {
    if (must) reader.Object(json, "event.prop");
    return;
  }
  if (properties->contains("durable")) {
    const Json* durable = reader.Object(*properties, "event.prop.durable");
    if (durable == nullptr) return;
    event.durable = {.term = Term(reader.Number(*durable, "event.prop.durable.term")),
                     .vote = reader.Id(*durable, "event.prop.durable.vote"),
                     .log = Index(reader.Number(*durable, "event.prop.durable.log"))};
    if (durable->contains("impaired")) {
      const Json* impaired = reader.Object(*durable, "event.prop.durable.impaired");
      if (impaired == nullptr) return;
      event.durable->impaired =
          LogId{Term(reader.Number(*impaired, "event.prop.durable.impaired.term")),
                Index(reader.Number(*impaired, "event.prop.durable.impaired.index"))};
    }
  }
  if (properties->contains("log")) ParseFound(reader, *properties, event);
  if (properties->contains("snapshot")) {
    const Json* snapshot = reader.Object(*properties, "event.prop.snapshot");
    if (snapshot == nullptr) return;
    event.snapshot = LogId{Term(reader.Number(*snapshot, "event.prop.snapshot.term")),
                           Index(reader.Number(*snapshot, "event.prop.snapshot.index"))};
  }
  if (must || event.name == TraceName::kChangeConf) ParseChange(reader, *properties, must, event);
}

void ParseConf(Reader& reader, const Json& json, TraceEvent& event) {
  TraceConf conf;
  const Json* lists = reader.Member(json, "event.conf", "two lists of nodes");
  if (lists != nullptr && (!lists->is_array() || lists->size() != 2)) {
    reader.Ids(Json("two lists"), "event.conf");
  } else if (lists != nullptr) {
    conf.voters = reader.Ids((*lists)[0], "event.conf");
    conf.outgoing = reader.Ids((*lists)[1], "event.conf");
  }
  event.conf = std::make_shared<const TraceConf>(std::move(conf));
}

}  // namespace

bool Becomes(TraceName name) {
  return name == TraceName::kBecomeFollower || name == TraceName::kBecomeCandidate ||
         name == TraceName::kBecomeLeader;
}

std::string_view ToString(TraceName name) { return kNames.at(static_cast<std::size_t>(name)); }
std::string_view ToString(TraceRole role) { return kRoles.at(static_cast<std::size_t>(role)); }
std::string_view ToString(TraceMessageType type) {
  return kTypes.at(static_cast<std::size_t>(type));
}

std::string ToJson(const TraceEvent& event) {
  Json json = {{"name", ToString(event.name)},
               {"nid", InQuotes(event.node)},
               {"state",
                {{"term", event.term.value()},
                 {"vote", InQuotes(event.vote)},
                 {"commit", event.commit.value()}}},
               {"role", ToString(event.role)},
               {"log", event.log.value()},
               {"conf", {IdList(event.conf->voters), IdList(event.conf->outgoing)}}};
  if (event.message) json["msg"] = MessageJson(*event.message);
  Json properties = PropertiesJson(event);
  if (!properties.empty()) json["prop"] = std::move(properties);
  const Json line = {{"tag", "trace"}, {"group", event.group.value()}, {"event", std::move(json)}};
  return line.dump();
}

Result<std::optional<TraceEvent>> ParseTraceEvent(std::string_view line) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Status(Code::kInvalidArgument, "this is no JSON object; expected one event");
  }
  const auto tag = json.find("tag");
  if (tag == json.end() || *tag != "trace") return std::optional<TraceEvent>();

  Reader reader;
  TraceEvent event;
  if (json.contains("group")) event.group = RegionId(reader.Number(json, "group"));
  if (const Json* body = reader.Object(json, "event")) {
    event.name = reader.Named<TraceName>(*body, "event.name", kNames);
    event.node = reader.Id(*body, "event.nid");
    if (const Json* state = reader.Object(*body, "event.state")) {
      event.term = Term(reader.Number(*state, "event.state.term"));
      event.vote = reader.Id(*state, "event.state.vote");
      event.commit = Index(reader.Number(*state, "event.state.commit"));
    }
    event.role = reader.Named<TraceRole>(*body, "event.role", kRoles);
    event.log = Index(reader.Number(*body, "event.log"));
    ParseConf(reader, *body, event);
    const bool carries =
        ToString(event.name).starts_with("Send") || ToString(event.name).starts_with("Receive");
    if (carries && reader.error().empty()) event.message = ParseMessage(reader, *body);
    if (reader.error().empty()) ParseProperties(reader, *body, event);
  }
  if (!reader.error().empty()) return Status(Code::kInvalidArgument, reader.error());
  return std::optional(std::move(event));
}

}  // namespace rutile::sim
