#pragma once

#include <deque>
#include <string>
#include <vector>

#include "raft/testing/etcd_node.h"
#include "raft/testing/etcd_script.h"

namespace rutile::raft::testing {

// Runs etcd's interaction scripts: nodes, the messages between them, and the commands.
class EtcdWorld {
 public:
  // What happened, in the lines of etcd_text.h, those of each node together. A command that is not
  // known gives one line that says so.
  std::vector<std::string> Run(const EtcdCommand& command);
  // Not empty when a core has found itself broken, or has applied out of order.
  std::string violation() const;

 private:
  using Ids = std::vector<std::size_t>;

  void AddNodes(const EtcdCommand& command);
  void Do(const EtcdCommand& command);
  bool DoToNode(const EtcdCommand& command, const Ids& ids);
  bool DoInTurn(const EtcdCommand& command, const Ids& ids);
  bool Show(const EtcdCommand& command, const Ids& ids);
  void ProposeChange(const EtcdCommand& command, EtcdNode& node);
  void DeliverMessages(const EtcdCommand& command, const Ids& ids);
  void DeliverTo(std::size_t id, bool drop, const std::string& type);
  void Stabilize(Ids ids);
  void ProcessReady(std::size_t id);
  void ProcessAppendThread(std::size_t id);
  void SayOffices();
  bool HasMail(std::size_t id) const;
  EtcdNode& At(std::size_t id) { return nodes_[id - 1]; }

  std::deque<EtcdNode> nodes_ = {};
  std::vector<EtcdDelivery> network_ = {};
  std::vector<std::string> lines_ = {};
  std::string level_ = "info";
};

}  // namespace rutile::raft::testing
