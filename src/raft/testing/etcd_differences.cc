#include "raft/testing/etcd_differences.h"

#include <algorithm>
#include <cstddef>
#include <sstream>

namespace rutile::raft::testing {

std::vector<std::string> Difference(const std::vector<std::string>& expected,
                                    const std::vector<std::string>& actual) {
  // The longest common subsequence of what is left from (i, j) on.
  std::vector<std::vector<std::size_t>> common(expected.size() + 1,
                                               std::vector<std::size_t>(actual.size() + 1));
  for (std::size_t i = expected.size(); i-- > 0;) {
    for (std::size_t j = actual.size(); j-- > 0;) {
      common[i][j] = expected[i] == actual[j] ? common[i + 1][j + 1] + 1
                                              : std::max(common[i + 1][j], common[i][j + 1]);
    }
  }
  std::vector<std::string> difference;
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < expected.size() || j < actual.size()) {
    const bool both = i < expected.size() && j < actual.size();
    if (both && expected[i] == actual[j]) {
      ++i;
      ++j;
    } else if (j == actual.size() ||
               (i < expected.size() && common[i + 1][j] >= common[i][j + 1])) {
      difference.push_back("- " + expected[i++]);
    } else {
      difference.push_back("+ " + actual[j++]);
    }
  }
  return difference;
}

EtcdDifferences EtcdDifferences::Parse(const std::string& text) {
  EtcdDifferences read;
  std::istringstream in(text);
  int number = 0;
  for (std::string line; read.error_.empty() && std::getline(in, line);) {
    ++number;
    if (!read.Take(line)) read.error_ = "line " + std::to_string(number) + ": " + line;
  }
  return read;
}

bool EtcdDifferences::Take(const std::string& line) {
  if (line.empty() || line.front() == '#') return true;
  std::istringstream in(line);
  std::string word;
  in >> word;
  if (line.front() == ' ') {
    if (at_ == nullptr) {
      if (kind_.empty()) return false;
      kinds_[kind_] += line.substr(line.find_first_not_of(' ')) + "\n";
      return true;
    }
    std::string text;
    std::getline(in >> std::ws, text);
    at_->lines.push_back({word, text});
    return kinds_.contains(word) && (text.starts_with("- ") || text.starts_with("+ "));
  }
  if (word == "kind") {
    at_ = nullptr;
    in >> kind_;
    return !kind_.empty() && kinds_.emplace(kind_, "").second;
  }
  Place place;
  std::string command;
  if (word != "at" || !(in >> place.script >> place.line >> command)) return false;
  const auto [it, is_new] = all_.try_emplace(place, At{.command = command});
  at_ = &it->second;
  return is_new;
}

std::string EtcdDifferences::Judge(const Place& place,
                                   const std::vector<std::string>& found) const {
  const auto it = all_.find(place);
  std::vector<std::string> listed;
  if (it != all_.end()) {
    for (const Line& line : it->second.lines) listed.push_back(line.text);
  }
  if (listed == found) return "";
  std::string text;
  for (const std::string& line : Difference(listed, found)) {
    text += (line.front() == '-' ? "does not differ any more: " : "differs: ") + line.substr(2);
    text += "\n";
  }
  return text;
}

std::map<std::string, int> EtcdDifferences::KindsAt(const Place& place) const {
  std::map<std::string, int> kinds;
  const auto it = all_.find(place);
  if (it == all_.end()) return kinds;
  for (const Line& line : it->second.lines) ++kinds[line.kind];
  return kinds;
}

std::string EtcdDifferences::Write(const Place& place, const std::string& command,
                                   const std::vector<std::string>& found) const {
  std::string text = "at " + place.script + " " + std::to_string(place.line) + " " + command + "\n";
  const auto it = all_.find(place);
  for (const std::string& line : found) {
    std::string kind = "?";
    if (it != all_.end()) {
      const auto known = std::find_if(it->second.lines.begin(), it->second.lines.end(),
                                      [&](const Line& other) { return other.text == line; });
      if (known != it->second.lines.end()) kind = known->kind;
    }
    text += "  " + kind + " " + line + "\n";
  }
  return text;
}

}  // namespace rutile::raft::testing
