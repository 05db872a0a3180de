// Drives clusters from the text files in testdata. They show the protocol message by message, and
// are the place to read it: start with election.txt.
//
//   cluster voters=3 [learners=n] [window=n]  a new cluster; nodes are numbered from 1
//   logs 1=1,1,2 2=1,1                        before it: the terms of entries that nodes have
//   campaign n | elect n                      campaign, and (elect) settle with all that follows
//   propose n [count=k]                       k payloads in one call
//   change n voter=4 learner=5,6 remove=2 [transition=explicit]   in this order; none: leave joint
//   read n | transfer n to=m | unreachable n peer=m
//   tick n [times=k] | tickall [times=k]      tickall settles after each
//   isolate n | cut n to=m | heal
//   hold type=Append [to=n] [from=n] | release | drop
//   writer n paused=1 | apply n paused=1 | write n     write completes one
//   evict n | compact n to=i | crash n [survive=k] | restart n
//   settle | status | logs-now

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <sstream>

#include "raft/testing/test_cluster.h"
#include "testing/datadriven.h"

namespace rutile::raft {
namespace {

using rutile::testing::Directive;
using testing::TestCluster;

class Script {
 public:
  std::string Run(const Directive& d) {
    if (d.command == "logs") return Logs(d);
    if (d.command == "cluster") return Create(d);
    if (cluster_ == nullptr) return "no cluster";
    if (!Act(d)) return "unknown command " + d.command;
    const std::string trace = cluster_->TakeTrace() + std::exchange(said_, {});
    if (!cluster_->violation().empty()) return trace + "VIOLATION " + cluster_->violation();
    return trace.empty() ? "ok" : trace;
  }

 private:
  static std::uint64_t Number(const Directive& d, const std::string& key, std::uint64_t otherwise) {
    const auto it = d.args.find(key);
    return it == d.args.end() ? otherwise : std::stoull(it->second);
  }
  static std::size_t Node(const Directive& d) {
    return d.words.empty() ? 0 : std::stoull(d.words[0]);
  }

  std::string Logs(const Directive& d) {
    for (const auto& [node, terms] : d.args) {
      const std::size_t id = std::stoull(node);
      if (setup_.logs.size() < id) setup_.logs.resize(id);
      std::istringstream in(terms);
      for (std::string term; std::getline(in, term, ',');) {
        setup_.logs[id - 1].push_back(std::stoull(term));
      }
    }
    return "ok";
  }

  std::string Create(const Directive& d) {
    setup_.voters = Number(d, "voters", 3);
    setup_.learners = Number(d, "learners", 0);
    setup_.options.max_inflight_messages = Number(d, "window", 256);
    if (Number(d, "lease", 0) == 0) setup_.options.lease = Duration::zero();
    cluster_ = std::make_unique<TestCluster>(setup_);
    setup_ = {};
    return "ok";
  }

  bool Act(const Directive& d) { return ActOnNode(d) || ActOnWorld(d); }

  bool ActOnNode(const Directive& d) {
    const std::size_t id = Node(d);
    if (id == 0) return false;
    TestCluster& c = *cluster_;
    if (d.command == "campaign") {
      c.Elapse(Seconds(1));
      c.Campaign(id);
    } else if (d.command == "elect") {
      c.Elect(id);
    } else if (d.command == "propose") {
      c.ProposeBatch(id, std::vector<Bytes>(Number(d, "count", 1), Bytes("x")));
    } else if (d.command == "change") {
      Change(d, id);
    } else if (d.command == "read") {
      c.ReadIndex(id);
    } else if (d.command == "transfer") {
      c.Transfer(id, Number(d, "to", 0));
    } else if (d.command == "unreachable") {
      c.Unreachable(id, Number(d, "peer", 0));
    } else if (d.command == "tick") {
      for (std::uint64_t n = Number(d, "times", 1); n > 0; --n) {
        c.Elapse(testing::kTick);
        c.Tick(id);
      }
    } else if (d.command == "isolate") {
      c.Isolate(id);
    } else if (d.command == "cut") {
      c.CutLink(id, Number(d, "to", 0));
    } else {
      return ActOnDisk(d, id);
    }
    return true;
  }

  void Change(const Directive& d, std::size_t id) {
    ConfigurationChange change;
    if (const auto it = d.args.find("transition"); it != d.args.end()) {
      change.transition = it->second == "explicit" ? Transition::kExplicit : Transition::kImplicit;
    }
    using Kind = ChangeStep::Kind;
    for (const auto& [word, kind] :
         {std::pair("voter", Kind::kAddVoter), std::pair("learner", Kind::kAddLearner),
          std::pair("remove", Kind::kRemove)}) {
      const auto it = d.args.find(word);
      if (it == d.args.end()) continue;
      std::istringstream in(it->second);
      for (std::string peer; std::getline(in, peer, ',');) {
        change.steps.push_back({kind, PeerId(std::stoull(peer))});
      }
    }
    const auto result = cluster_->ProposeChange(id, change);
    if (!result.ok()) said_ += result.status().ToString() + "\n";
  }

  bool ActOnDisk(const Directive& d, std::size_t id) {
    TestCluster& c = *cluster_;
    if (d.command == "writer") {
      c.PauseWriter(id, Number(d, "paused", 1) == 1);
    } else if (d.command == "apply") {
      c.PauseApply(id, Number(d, "paused", 1) == 1);
    } else if (d.command == "write") {
      if (c.writes_in_flight(id) == 0) {
        said_ += "nothing to write\n";
      } else {
        c.CompleteWrite(id);
      }
    } else if (d.command == "evict") {
      c.Evict(id);
    } else if (d.command == "compact") {
      c.Compact(id, Number(d, "to", 0));
    } else if (d.command == "crash") {
      c.Crash(id, Number(d, "survive", 0));
    } else if (d.command == "restart") {
      c.Restart(id);
    } else {
      return false;
    }
    return true;
  }

  bool ActOnWorld(const Directive& d) {
    TestCluster& c = *cluster_;
    if (d.command == "settle") {
      c.Settle();
    } else if (d.command == "tickall") {
      c.TickAll(static_cast<int>(Number(d, "times", 1)));
    } else if (d.command == "heal") {
      c.Heal();
    } else if (d.command == "hold") {
      c.hold = [d](const Message& m) {
        return ToString(m.type) == d.args.at("type") &&
               Number(d, "to", m.to.value()) == m.to.value() &&
               Number(d, "from", m.from.value()) == m.from.value();
      };
    } else if (d.command == "release") {
      c.hold = nullptr;
    } else if (d.command == "drop") {
      c.network().clear();
    } else if (d.command == "status") {
      Status();
    } else if (d.command == "logs-now") {
      for (std::size_t id = 1; id <= c.size(); ++id) {
        if (c.alive(id)) said_ += std::to_string(id) + ": " + c.Log(id) + "\n";
      }
    } else {
      return false;
    }
    return true;
  }

  void Status() {
    for (std::size_t id = 1; id <= cluster_->size(); ++id) {
      said_ += std::to_string(id) + " ";
      if (!cluster_->alive(id)) {
        said_ += "down\n";
        continue;
      }
      const Raft& raft = cluster_->raft(id);
      const LogTail& tail = raft.tail();
      said_ += std::string(ToString(raft.role())) + " term " + ToString(raft.term()) + " leader " +
               ToString(raft.leader()) + " last " + ToString(tail.last()) + " durable " +
               ToString(tail.durable()) + " committed " + ToString(tail.committed()) + " applied " +
               ToString(tail.applied()) + "\n";
      for (const PeerStatus& peer : raft.Peers()) {
        said_ += "  " + ToString(peer.id) + " " + peer.state + " match " + ToString(peer.match) +
                 " next " + ToString(peer.next) + " inflight " + std::to_string(peer.inflight) +
                 "\n";
      }
    }
  }

  TestCluster::Setup setup_ = {};
  std::unique_ptr<TestCluster> cluster_;
  std::string said_ = {};
};

TEST(RaftScripts, Testdata) {
  std::size_t files = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(RUTILE_SOURCE_DIR "/src/raft/testdata")) {
    ++files;
    Script script;
    EXPECT_EQ("", rutile::testing::RunDataDriven(
                      file.path(), [&script](const Directive& d) { return script.Run(d); }));
  }
  EXPECT_GE(files, 6u);
}

}  // namespace
}  // namespace rutile::raft
