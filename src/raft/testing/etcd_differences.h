#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace rutile::raft::testing {

// What tells `expected` from `actual`: lines of only one of them, in order, after "- " or "+ ".
std::vector<std::string> Difference(const std::vector<std::string>& expected,
                                    const std::vector<std::string>& actual);

// Where our core differs from what etcd's scripts expect, and why that is right: the text file
// etcd_differences.txt. It says
//
//   kind NAME
//     why, in lines that are indented
//   at SCRIPT LINE COMMAND
//     NAME - a line that etcd says and we do not
//     NAME + a line that we say and etcd does not
class EtcdDifferences {
 public:
  struct Line {
    std::string kind = {};
    std::string text = {};  // "- ..." or "+ ...".
    friend bool operator==(const Line&, const Line&) = default;
  };
  struct Place {
    std::string script = {};
    int line = 0;
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct At {
    std::string command = {};
    std::vector<Line> lines = {};
  };

  // What cannot be read is in error().
  static EtcdDifferences Parse(const std::string& text);

  const std::string& error() const { return error_; }
  const std::map<std::string, std::string>& kinds() const { return kinds_; }
  const std::map<Place, At>& all() const { return all_; }
  // Says what speaks against `found` being what is listed at `place`; empty when nothing does.
  std::string Judge(const Place& place, const std::vector<std::string>& found) const;
  // The kinds of what is listed there, with how often.
  std::map<std::string, int> KindsAt(const Place& place) const;
  // `found` as the file would say it, with the kinds that are listed; "?" for what is not.
  std::string Write(const Place& place, const std::string& command,
                    const std::vector<std::string>& found) const;

 private:
  bool Take(const std::string& line);

  std::map<std::string, std::string> kinds_ = {};
  std::map<Place, At> all_ = {};
  std::string kind_ = {};  // While parsing.
  At* at_ = nullptr;
  std::string error_ = {};
};

}  // namespace rutile::raft::testing
