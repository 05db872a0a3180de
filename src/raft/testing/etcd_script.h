#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rutile::raft::testing {

// The files with which etcd's Raft library tests itself (format: cockroachdb/datadriven), which are
// not part of this source tree:
//
//   command word key=value key=(v1,v2, v3)
//   lines of input
//   ----
//   lines of output, up to an empty line
//
// Output that has empty lines in it stands between doubled lines of dashes.
struct EtcdCommand {
  std::string name = {};
  std::vector<std::string> words = {};
  std::map<std::string, std::vector<std::string>> args = {};
  std::string input = {};
  std::string output = {};  // What is expected; each line ends with a newline.
  int line = 0;             // Of the command, from 1.
};

// What cannot be read is in `error`, with its line.
struct EtcdScript {
  std::vector<EtcdCommand> commands = {};
  std::string error = {};
};
EtcdScript ParseEtcdScript(const std::string& text);

// The files of `suite` ("quorum", "confchange"), sorted, from ../shared/conformance/etcd-raft, seen
// from the source tree. Nothing when there is no such folder.
std::optional<std::vector<std::string>> EtcdSuite(const std::string& suite);

// Runs each command of the file and compares. Returns the differences; counts into `cases`.
std::string RunEtcdScript(const std::string& path,
                          const std::function<std::string(const EtcdCommand&)>& handler,
                          int& cases);

}  // namespace rutile::raft::testing
