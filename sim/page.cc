#include "sim/page.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "sim/markup.h"

namespace rutile::sim {
namespace {

using Json = nlohmann::ordered_json;

Json NodeOrNone(std::size_t node) { return node == kNoNode ? Json(-1) : Json(node); }

// Arrays instead of objects with names: a page holds tens of thousands. The order of members is the
// one of `replicaFields` in page.js.
Json ReplicaAsJson(const TimelineReplica& replica) {
  if (!replica.is_up) return Json::array();
  Json runs = Json::array();
  for (const raft::TermRun& run : replica.runs) {
    runs.push_back(run.start.value());
    runs.push_back(run.term.value());
  }
  return {static_cast<int>(replica.role), replica.term.value(),
          NodeOrNone(replica.vote),       NodeOrNone(replica.leader),
          replica.base.index.value(),     replica.base.term.value(),
          replica.applied.value(),        replica.applying.value(),
          replica.committed.value(),      replica.durable.value(),
          replica.submitted.value(),      replica.last.value(),
          replica.first_resident.value(), std::move(runs)};
}

// Replicas are often as they were: each state is written once.
class States {
 public:
  int Number(const TimelineReplica& replica) {
    Json json = ReplicaAsJson(replica);
    const auto [found, is_new] = numbers_.try_emplace(json.dump(), numbers_.size());
    if (is_new) all_.push_back(std::move(json));
    return static_cast<int>(found->second);
  }
  Json Take() { return std::move(all_); }

 private:
  std::map<std::string, std::size_t> numbers_;
  Json all_ = Json::array();
};

std::string_view ToString(TimelineStep::Kind kind) {
  switch (kind) {
    case TimelineStep::Kind::kInput: return "input";
    case TimelineStep::Kind::kStart: return "start";
    case TimelineStep::Kind::kDown: return "down";
    case TimelineStep::Kind::kFault: return "fault";
    case TimelineStep::Kind::kNote: return "note";
    case TimelineStep::Kind::kVerdict: return "verdict";
  }
  RUTILE_UNREACHABLE();
}

Json StepsAsJson(const Timeline& timeline, States* states) {
  Json steps = Json::array();
  for (const TimelineStep& step : timeline.steps) {
    steps.push_back({ToMicroseconds(step.at), ToString(step.kind), NodeOrNone(step.node),
                     step.group.value(), step.text, step.after ? states->Number(*step.after) : -1});
  }
  return steps;
}

Json MessagesAsJson(const Timeline& timeline) {
  Json messages = Json::array();
  for (const TimelineMessage& message : timeline.messages) {
    messages.push_back({message.group.value(), NodeOrNone(message.from), NodeOrNone(message.to),
                        raft::ToString(message.type), message.text, message.sent,
                        message.received ? Json(*message.received) : Json(-1)});
  }
  return messages;
}

Json BandsAsJson(const Timeline& timeline) {
  Json bands = Json::array();
  for (const TimelineBand& band : timeline.bands) {
    bands.push_back({NodeOrNone(band.node), band.is_down ? "down" : "fault", band.text, band.begin,
                     band.end ? *band.end : timeline.steps.size()});
  }
  return bands;
}

// Replaces the one place of `mark` in `page`.
void Insert(std::string_view mark, std::string_view text, std::string* page) {
  const std::size_t at = page->find(mark);
  RUTILE_CHECK(at != std::string::npos, std::string(mark));
  page->replace(at, mark.size(), text);
}

}  // namespace

std::string PageData(const Timeline& timeline, const PageWords& words) {
  States states;
  Json groups = Json::array();
  for (const RegionId group : timeline.groups) groups.push_back(group.value());
  Json before = Json::array();
  for (const auto& [where, replica] : timeline.before) {
    before.push_back({where.first.value(), where.second, states.Number(replica)});
  }
  Json data = {{"title", words.title},       {"repeat", words.repeat},
               {"window", words.window},     {"violations", words.violations},
               {"clock", words.has_clock},   {"dropped", timeline.dropped},
               {"nodes", timeline.nodes},    {"groups", std::move(groups)},
               {"before", std::move(before)}};
  data["steps"] = StepsAsJson(timeline, &states);
  data["states"] = states.Take();
  data["messages"] = MessagesAsJson(timeline);
  data["bands"] = BandsAsJson(timeline);
  return data.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string RenderPage(const Timeline& timeline, const PageWords& words) {
  std::string data = PageData(timeline, words);
  // Nothing in it may end the element that it stands in.
  for (std::size_t at = 0; (at = data.find('<', at)) != std::string::npos;) {
    data.replace(at, 1, "\\u003c");
  }
  std::string page = kPageHtml;
  Insert("<!--title-->", EscapeMarkup("Rutile: " + words.title), &page);
  Insert("/*style*/", kPageCss, &page);
  Insert("/*script*/", std::string(kPageRunJs) + kPageLanesJs + kPageJs, &page);
  Insert("/*data*/", data, &page);
  return page;
}

}  // namespace rutile::sim
