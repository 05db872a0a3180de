#include "raft/testing/etcd_script.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

namespace rutile::raft::testing {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

std::vector<std::string> SplitValues(std::string_view text) {
  std::vector<std::string> values;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    values.emplace_back(Trim(text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return values;
}

// False for a parenthesis that is never closed.
bool ParseCommand(std::string_view line, EtcdCommand& command) {
  for (line = Trim(line); !line.empty(); line = Trim(line)) {
    std::size_t end = line.find_first_of(" \t=");
    const std::string word(line.substr(0, end));
    line.remove_prefix(std::min(end, line.size()));
    if (line.empty() || line.front() != '=') {
      (command.name.empty() ? command.name : command.words.emplace_back()) = word;
      continue;
    }
    line.remove_prefix(1);
    std::vector<std::string>& values = command.args[word];
    if (!line.empty() && line.front() == '(') {
      end = line.find(')');
      if (end == std::string_view::npos) return false;
      values = SplitValues(line.substr(1, end - 1));
      line.remove_prefix(end + 1);
    } else {
      end = std::min(line.find_first_of(" \t"), line.size());
      values = {std::string(line.substr(0, end))};
      line.remove_prefix(end);
    }
  }
  return true;
}

class ScriptReader {
 public:
  explicit ScriptReader(const std::string& text) : in_(text) {}

  EtcdScript Read() {
    while (script_.error.empty() && Next()) {
      if (Trim(line_).empty() || line_.front() == '#') continue;
      ReadCommand();
    }
    return std::move(script_);
  }

 private:
  bool Next() {
    ++number_;
    return static_cast<bool>(std::getline(in_, line_));
  }
  void Fail(const std::string& why) {
    script_.error = "line " + std::to_string(number_) + ": " + why;
  }

  void ReadCommand() {
    EtcdCommand command{.line = number_};
    if (!ParseCommand(line_, command)) return Fail("a parenthesis is not closed");
    bool found = false;
    while (!found && Next()) {
      found = line_ == "----";
      if (!found) command.input += line_ + "\n";
    }
    if (!found) return Fail("a command without ----");
    bool more = Next();
    if (more && line_ == "----") {
      std::string before;
      while (Next() && !(line_ == "----" && before == "----")) {
        if (before == "----") command.output += "----\n";
        before = line_;
        if (line_ != "----") command.output += line_ + "\n";
      }
      if (line_ != "----") return Fail("output without its end");
    } else {
      for (; more && !line_.empty(); more = Next()) command.output += line_ + "\n";
    }
    script_.commands.push_back(std::move(command));
  }

  std::istringstream in_;
  std::string line_ = {};
  int number_ = 0;
  EtcdScript script_ = {};
};

}  // namespace

EtcdScript ParseEtcdScript(const std::string& text) { return ScriptReader(text).Read(); }

std::optional<std::vector<std::string>> EtcdSuite(const std::string& suite) {
  const auto folder =
      std::filesystem::path(RUTILE_SOURCE_DIR) / "../shared/conformance/etcd-raft" / suite;
  if (!std::filesystem::is_directory(folder)) return std::nullopt;
  std::vector<std::string> files;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() == ".txt") files.push_back(file.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string RunEtcdScript(const std::string& path,
                          const std::function<std::string(const EtcdCommand&)>& handler,
                          int& cases) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return path + ": cannot be read\n";
  const EtcdScript script = ParseEtcdScript(text.str());
  if (!script.error.empty()) return path + ": " + script.error + "\n";
  std::string differences;
  for (const EtcdCommand& command : script.commands) {
    std::string actual = handler(command);
    if (!actual.empty() && actual.back() != '\n') actual += '\n';
    ++cases;
    if (actual == command.output) continue;
    differences += path + ":" + std::to_string(command.line) + ": " + command.name +
                   "\n--- expected\n" + command.output + "--- actual\n" + actual;
  }
  return differences;
}

}  // namespace rutile::raft::testing
