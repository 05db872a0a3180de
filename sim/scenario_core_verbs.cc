// The verbs of `level: core`: how each is read. docs/scenarios.md has them all.

#include <array>
#include <utility>

#include "sim/scenario_core.h"

namespace rutile::sim {

using raft::MessageType;

namespace {

constexpr std::array kMessageTypes = {
    MessageType::kPreVote,    MessageType::kPreVoteReply,   MessageType::kVote,
    MessageType::kVoteReply,  MessageType::kAppend,         MessageType::kAppendReply,
    MessageType::kHeartbeat,  MessageType::kHeartbeatReply, MessageType::kSnapshot,
    MessageType::kTimeoutNow, MessageType::kReadIndex,      MessageType::kReadIndexReply,
};

}  // namespace

Result<CoreLevel::Kinds> CoreLevel::ReadKinds(ScenarioWords& words) {
  Kinds kinds;
  std::string_view rest = words.Peek();
  if (rest.empty() || rest[0] < 'A' || rest[0] > 'Z') return kinds;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(','), rest.size());
    bool known = false;
    for (const MessageType type : kMessageTypes) {
      if (rest.substr(0, end) != ToString(type)) continue;
      kinds.insert(type);
      known = true;
    }
    if (!known) {
      std::string all;
      for (const MessageType type : kMessageTypes) all += " " + std::string(ToString(type));
      return words.Expected("kinds of messages (" + all.substr(1) + ", joined by commas)");
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  words.Take(words.Peek());
  return kinds;
}

Result<CoreLevel::Filter> CoreLevel::ReadFilter(ScenarioWords& words) {
  Filter filter;
  RUTILE_ASSIGN_OR_RETURN(filter.links, words.Links());
  RUTILE_ASSIGN_OR_RETURN(filter.kinds, ReadKinds(words));
  return filter;
}

CoreLevel::Which CoreLevel::ReadWhich(ScenarioWords& words, Which otherwise) {
  if (words.Take("first")) return Which::kFirst;
  if (words.Take("last")) return Which::kLast;
  if (words.Take("all")) return Which::kAll;
  return otherwise;
}

Result<std::pair<CoreLevel::Part, std::size_t>> CoreLevel::ReadPart(ScenarioWords& words) const {
  static constexpr std::array<std::pair<std::string_view, Part>, 4> kParts = {
      {{"writer", Part::kWriter},
       {"apply", Part::kApply},
       {"reader", Part::kReader},
       {"sender", Part::kSender}}};
  for (const auto& [name, part] : kParts) {
    if (!words.Peek().starts_with(std::string(name) + "(")) continue;
    RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.NodeIn(name));
    return std::pair(part, node);
  }
  return words.Expected("writer(NODE), apply(NODE), reader(NODE) or sender(NODE)");
}

// --- The cluster, before it begins.

Status CoreLevel::ReadOption(ScenarioWords& words) {
  raft::Options& options = setup_.options;
  if (words.Take("no-lease")) {
    options.lease = Duration::zero();
  } else if (words.Take("apply-when-durable")) {
    options.apply_before_durable = false;
  } else if (words.Take("one-entry-messages")) {
    options.max_append_bytes = 1;
  } else if (words.Take("one-entry-pages")) {
    options.max_hand_out_bytes = 1;
  } else if (words.Take("quiet")) {
    options.quiet = true;
  } else if (words.Take("may-poison")) {
    setup_.may_poison = true;
  } else if (words.Take("window")) {
    RUTILE_ASSIGN_OR_RETURN(options.max_inflight_messages, words.Number());
    if (options.max_inflight_messages == 0) return words.Mismatch("a window of 1 or more", "0");
  } else if (words.Take("window-bytes")) {
    RUTILE_ASSIGN_OR_RETURN(options.max_inflight_bytes, words.Number());
    if (options.max_inflight_bytes == 0) return words.Mismatch("a window of 1 or more", "0");
  } else if (words.Take("uncommitted-bytes")) {
    RUTILE_ASSIGN_OR_RETURN(options.max_uncommitted_bytes, words.Number());
  } else if (words.Take("backlog-bytes")) {
    RUTILE_ASSIGN_OR_RETURN(options.max_backlog_bytes, words.Number());
  } else {
    return words.Expected(
        "no-lease, apply-when-durable, one-entry-messages, one-entry-pages, window NUMBER, "
        "window-bytes NUMBER, uncommitted-bytes NUMBER, backlog-bytes NUMBER, quiet or may-poison");
  }
  return {};
}

void CoreLevel::AddClusterVerbs() {
  AddVerb("cluster", "NODES [learners N] [spare N] [OPTION...]",
          "names the nodes (capital letters); the last N have no vote, or, after them, are spare: "
          "empty, no members yet, waiting to be told. Options: no-lease, apply-when-durable, "
          "one-entry-messages, one-entry-pages, window N, window-bytes N, uncommitted-bytes N, "
          "backlog-bytes N, quiet (and everybody knows that all live), may-poison",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_RETURN_IF_ERROR(NameNodes(words));
            if (words.Take("learners")) {
              RUTILE_ASSIGN_OR_RETURN(setup_.learners, words.Number());
              if (setup_.learners >= nodes().size()) {
                return words.Mismatch("fewer learners than nodes", std::to_string(setup_.learners));
              }
            }
            if (words.Take("spare")) {
              RUTILE_ASSIGN_OR_RETURN(setup_.spares, words.Number());
              if (setup_.spares >= nodes().size() - setup_.learners) {
                return words.Mismatch("fewer spare nodes than voters",
                                      std::to_string(setup_.spares));
              }
            }
            setup_.voters = nodes().size() - setup_.learners - setup_.spares;
            setup_.logs.resize(nodes().size());
            while (!words.done()) RUTILE_RETURN_IF_ERROR(ReadOption(words));
            return ScenarioDo([] {});
          });
  AddVerb("disk", "NODE = \"LOG\"",
          "what a node has on disk when the cluster begins: \"1..3@1 4@2\"",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_RETURN_IF_ERROR(words.Need("="));
            RUTILE_ASSIGN_OR_RETURN(const std::string text, words.Text());
            RUTILE_ASSIGN_OR_RETURN(const std::vector<LogId> log, ParseScenarioLog(text));
            if (!log.empty() && log.front().index != Index(1)) {
              return words.Mismatch("a log from index 1 on", text);
            }
            for (const LogId& id : log) setup_.logs[node - 1].push_back(id.term.value());
            return ScenarioDo([this] {
              return cluster_ == nullptr ? Status() : Failure("the cluster has begun already");
            });
          });
  AddVerb("begin", "with N entries led by NODE",
          "the node is elected and proposes until N entries are durable and applied everywhere",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_RETURN_IF_ERROR(words.Need("with"));
            RUTILE_ASSIGN_OR_RETURN(const std::uint64_t entries, words.Number());
            if (entries == 0 || entries > 10'000) {
              return ScenarioWords::Mismatch("1 to 10000 entries", std::to_string(entries));
            }
            for (const char* word : {"entries", "led", "by"}) {
              RUTILE_RETURN_IF_ERROR(words.Need(word));
            }
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] { return Begin(node, entries); });
          });
}

// --- What a group does by itself, here when told to.

void CoreLevel::AddGroupVerbs() {
  AddVerb(
      "elect", "NODE [in term N]",
      "time passes until nobody refuses to vote, the node campaigns and must win; then all moves",
      [this](ScenarioWords& words) -> Result<ScenarioAction> {
        RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
        std::optional<std::uint64_t> term;
        if (words.Take("in")) {
          RUTILE_RETURN_IF_ERROR(words.Need("term"));
          RUTILE_ASSIGN_OR_RETURN(term, words.Number());
        }
        return ScenarioDo([=, this] { return Elect(node, term); });
      });
  AddVerb("campaign", "NODE", "the node campaigns at once; nothing else moves",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(node));
              cluster_->Campaign(node);
              Judge();
              return Status();
            });
          });
  AddVerb(
      "propose", "NODE \"PAYLOAD\"... | NODE N entries | NODE refused WHY",
      "the node takes payloads in one batch, or refuses: not-leader, transferring, busy, poisoned",
      [this](ScenarioWords& words) -> Result<ScenarioAction> {
        RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
        if (words.Take("refused")) {
          RUTILE_ASSIGN_OR_RETURN(const std::string why,
                                  words.Word("not-leader, transferring, busy or poisoned"));
          if (!RefusalNames().contains(why)) {
            return ScenarioWords::Mismatch("not-leader, transferring, busy or poisoned", why);
          }
          return ScenarioDo([=, this] { return Refuse(node, why); });
        }
        std::vector<std::string> payloads;
        if (words.PeekIsNumber()) {
          RUTILE_ASSIGN_OR_RETURN(const std::uint64_t count, words.Number());
          RUTILE_RETURN_IF_ERROR(words.Need("entries"));
          if (count == 0 || count > 10'000) {
            return ScenarioWords::Mismatch("1 to 10000 entries", std::to_string(count));
          }
          payloads.assign(count, "x");
          return ScenarioDo([=, this] { return Propose(node, payloads); });
        }
        while (payloads.empty() || !words.done()) {
          RUTILE_ASSIGN_OR_RETURN(std::string payload, words.Text());
          payloads.push_back(std::move(payload));
        }
        return ScenarioDo([=, this] { return Propose(node, payloads); });
      });
}

void CoreLevel::AddLeaderVerbs() {
  AddVerb("read", "NODE as NAME", "a linearizable read is asked for at the node",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_RETURN_IF_ERROR(words.Need("as"));
            RUTILE_ASSIGN_OR_RETURN(const std::string name, words.Word("a name"));
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(node));
              reads_[name] = {node, cluster_->ReadIndex(node)};
              Judge();
              return Status();
            });
          });
  AddVerb("transfer", "A->B", "the leader A is told to hand leadership to B",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const auto link, words.Link());
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(link.first));
              cluster_->Transfer(link.first, link.second);
              Judge();
              return Status();
            });
          });
}

void CoreLevel::AddOperatorVerbs() {
  AddVerb("notice", "NODE dead|alive",
          "the hosts of all others learn that the node's process is gone, or there (when a node is "
          "started they learn it by themselves)",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            const bool dead = words.Take("dead");
            if (!dead) RUTILE_RETURN_IF_ERROR(words.Need("alive"));
            return ScenarioDo([=, this] { Notice(node, !dead); });
          });
  AddVerb("priority", "NODE N",
          "how much the node is wanted as a leader, from now on and until it is started again",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            RUTILE_ASSIGN_OR_RETURN(const std::uint64_t priority, words.Number());
            if (priority > 1000) {
              return ScenarioWords::Mismatch("0 to 1000", std::to_string(priority));
            }
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(node));
              cluster_->SetPriority(node, static_cast<std::int32_t>(priority));
              Judge();
              return Status();
            });
          });
}

// --- The network.

void CoreLevel::AddNetworkVerbs() {
  AddVerb("isolate", "NODE", "no message reaches or leaves the node from now on",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const std::size_t node, words.Node());
            return ScenarioDo([=, this] {
              for (std::size_t other : AllNodes()) {
                cut_.insert({node, other});
                cut_.insert({other, node});
              }
            });
          });
  AddVerb("cut", "A-B | A->B", "loses what is sent from now on, both ways or one way",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const ScenarioLinks links, words.Links());
            return ScenarioDo([=, this] {
              for (std::size_t from : AllNodes()) {
                for (std::size_t to : AllNodes()) {
                  if (links.Match(from, to)) cut_.insert({from, to});
                }
              }
            });
          });
  AddVerb("heal", "[A-B | A->B]", "undoes cuts, all or of one link",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            if (words.done()) return ScenarioDo([this] { cut_.clear(); });
            RUTILE_ASSIGN_OR_RETURN(const ScenarioLinks links, words.Links());
            return ScenarioDo([=, this] {
              std::erase_if(cut_,
                            [&](const auto& cut) { return links.Match(cut.first, cut.second); });
            });
          });
}

void CoreLevel::AddMessageVerbs() {
  AddVerb("hold", "LINK [KIND,...]",
          "what is sent there stays in the network until it is delivered",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const Filter filter, ReadFilter(words));
            return ScenarioDo([=, this] { held_.push_back(filter); });
          });
  AddVerb("release", "", "nothing is held any more; what was goes on its way with the next run",
          [this](ScenarioWords&) -> Result<ScenarioAction> {
            return ScenarioDo([this] { held_.clear(); });
          });
  const auto handle = [this](const std::string& name, const std::string& what, Fate fate) {
    AddVerb(name, "LINK [KIND,...] [\"SAYING\"] [first|last|all]", what,
            [this, fate](ScenarioWords& words) -> Result<ScenarioAction> {
              RUTILE_ASSIGN_OR_RETURN(const Filter filter, ReadFilter(words));
              std::string text;
              if (words.PeekIsText()) {
                RUTILE_ASSIGN_OR_RETURN(text, words.Text());
              }
              const Which which = ReadWhich(words, Which::kAll);
              return ScenarioDo([=, this] { return Handle(filter, text, which, fate); });
            });
  };
  handle("deliver", "messages in the network arrive now, held or not", Fate::kDeliver);
  handle("duplicate", "copies of messages arrive now, the originals stay in the network",
         Fate::kCopy);
  handle("drop", "messages in the network are lost", Fate::kDrop);
  AddVerb("resend", "A->B after N [to N] [commit N]",
          "the leader A sends entries of its log to B once more",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const auto link, words.Link());
            RUTILE_RETURN_IF_ERROR(words.Need("after"));
            RUTILE_ASSIGN_OR_RETURN(const std::uint64_t after, words.Number());
            std::optional<std::uint64_t> until;
            std::optional<std::uint64_t> commit;
            if (words.Take("to")) {
              RUTILE_ASSIGN_OR_RETURN(until, words.Number());
            }
            if (words.Take("commit")) {
              RUTILE_ASSIGN_OR_RETURN(commit, words.Number());
            }
            return ScenarioDo(
                [=, this] { return Resend(link.first, link.second, after, until, commit); });
          });
  AddVerb("unreachable", "A->B", "A is told that its connection to B is down",
          [this](ScenarioWords& words) -> Result<ScenarioAction> {
            RUTILE_ASSIGN_OR_RETURN(const auto link, words.Link());
            return ScenarioDo([=, this] {
              RUTILE_RETURN_IF_ERROR(NeedUp(link.first));
              cluster_->Unreachable(link.first, link.second);
              Judge();
              return Status();
            });
          });
}

}  // namespace rutile::sim
