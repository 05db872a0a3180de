#include "raft/testing/etcd_text.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <sstream>
#include <string_view>

namespace rutile::raft::testing {
namespace {

bool StartsWith(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

bool IsNumber(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

// "3/14"
bool IsLogId(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && IsNumber(text.substr(0, slash)) &&
         IsNumber(text.substr(slash + 1));
}

LogId ToLogId(const std::string& text) {
  const std::size_t slash = text.find('/');
  return {Term(std::stoull(text.substr(0, slash))), Index(std::stoull(text.substr(slash + 1)))};
}

std::string IdText(LogId id) { return ToString(id.term) + "/" + ToString(id.index); }

std::vector<std::string> Words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// What follows `key` in the line, up to a blank; zero when it is not there.
std::uint64_t NumberAfter(const std::string& line, const std::string& key) {
  const std::size_t at = line.find(key);
  return at == std::string::npos ? 0 : std::stoull(line.substr(at + key.size()));
}

// What stands between `open` and the next `close`.
std::string Between(const std::string& line, const std::string& open, char close) {
  const std::size_t at = line.find(open);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + open.size();
  return line.substr(begin, line.find(close, begin) - begin);
}

// "1/11 EntryNormal "" 1/12 EntryConfChangeV2 v2 r3"
std::vector<std::string> ReadEntries(const std::string& text) {
  std::vector<std::string> entries;
  const std::vector<std::string> words = Words(text);
  for (std::size_t i = 0; i + 1 < words.size();) {
    const LogId id = ToLogId(words[i]);
    const bool normal = words[i + 1] == "EntryNormal";
    std::string what = normal ? "" : "conf";
    for (i += 2; i < words.size() && !IsLogId(words[i]); ++i) {
      what += (what.empty() ? "" : " ") + words[i];
    }
    entries.push_back(EntryText(id, what.empty() ? Quoted("") : what));
  }
  return entries;
}

std::string ListAfter(const std::string& line, const std::string& key) {
  const std::string list = Between(line, key + ":[", ']');
  return "(" + list + ")";
}

// "Index:11 Term:1 ConfState:Voters:[1 2 3] VotersOutgoing:[] ... AutoLeave:false"
std::string ReadSnapshot(const std::string& line) {
  std::string text = IdText({Term(NumberAfter(line, "Term:")), Index(NumberAfter(line, "Index:"))});
  text += " voters=" + ListAfter(line, "ConfState:Voters");
  const auto add = [&](const std::string& key, const std::string& before) {
    const std::string list = ListAfter(line, key);
    if (list != "()") text += before + list;
  };
  add("VotersOutgoing", "&&");
  add(" Learners", " learners=");
  add("LearnersNext", " learners_next=");
  if (line.find("AutoLeave:true") != std::string::npos) text += " autoleave";
  return text;
}

EtcdMessage ReadMessage(std::string line) {
  EtcdMessage message;
  const std::size_t responses = line.find(" Responses:[");
  if (responses != std::string::npos) line.resize(responses);
  const std::size_t snapshot = line.find("Snapshot: ");
  if (snapshot != std::string::npos) {
    message.snapshot = ReadSnapshot(line.substr(snapshot));
    line.resize(snapshot);
  }
  const std::size_t entries = line.find("Entries:[");
  if (entries != std::string::npos) {
    message.entries = ReadEntries(Between(line, "Entries:[", ']'));
    line.resize(entries);
  }
  const std::vector<std::string> words = Words(line);
  const std::size_t arrow = words[0].find("->");
  message.from = words[0].substr(0, arrow);
  message.to = words[0].substr(arrow + 2);
  message.type = words[1];
  message.term = NumberAfter(line, "Term:");
  const std::string log = Between(line, "Log:", ' ');
  if (IsLogId(log)) message.log = ToLogId(log);
  message.commit = NumberAfter(line, "Commit:");
  message.vote = NumberAfter(line, "Vote:");
  message.rejected = line.find("Rejected") != std::string::npos;
  message.hint = NumberAfter(line, "Hint: ");
  return message;
}

// Reads what one command says, line by line.
class OutputReader {
 public:
  explicit OutputReader(const EtcdCommand& command) : command_(command), in_(command.output) {
    if (!command.words.empty()) node_ = command.words.front();
  }

  std::vector<std::string> Read() {
    while (Next()) ReadLine();
    return std::move(lines_);
  }

 private:
  enum class Part : std::uint8_t { kNone, kAppends, kApplies, kMessages, kProcessing, kResponses };

  // With what belongs to it: lists in brackets, and the snapshot of a message.
  bool Next() {
    if (!NextRaw()) return false;
    while (std::count(line_.begin(), line_.end(), '[') >
           std::count(line_.begin(), line_.end(), ']')) {
      const std::string begun = line_;
      if (!NextRaw()) return false;
      line_ = begun + " " + line_;
    }
    if (line_.find(" MsgSnap ") != std::string::npos) {
      const std::string begun = line_;
      if (NextRaw()) line_ = begun + " " + line_;
    }
    return true;
  }
  bool NextRaw() {
    if (!std::getline(in_, line_)) return false;
    line_.erase(0, line_.find_first_not_of(' '));
    return true;
  }

  void Say(const std::string& what) { lines_.push_back(node_ + " " + what); }

  void ReadLine() {
    if (line_.empty() || line_ == "ok" || line_ == "no messages") return;
    if (StartsWith(line_, "> ")) {
      node_ = Words(line_)[1];
      part_ = Part::kNone;
      return;
    }
    for (const char* level : {"DEBUG ", "INFO ", "WARN ", "ERROR "}) {
      if (StartsWith(line_, level)) return ReadLogLine();
    }
    if (command_.name == "raft-log" || command_.name == "compact") return ReadLog();
    if (command_.name == "status" || command_.name == "raft-state") return ReadState();
    if (line_.find("proposal dropped") != std::string::npos) return lines_.push_back("refused");
    if (line_.find("->") != std::string::npos) return ReadMessageLine();
    if (IsLogId(line_.substr(0, line_.find(' ')))) return ReadEntryLine();
    ReadReadyLine();
  }

  void ReadLogLine() {
    const std::vector<std::string> words = Words(line_);
    // What was told just now is void: the entry has been replaced since, or the term is another.
    for (const char* why :
         {"ignored entry appends from a MsgStorageAppendResp", "mismatched with"}) {
      if (line_.find(why) == std::string::npos || told_.index.IsZero()) continue;
      lines_.back() = node_told_ + " " + StoredText(told_.index, false);
    }
    const std::size_t became = line_.find(" became ");
    if (became != std::string::npos && words[3] != "follower") {
      lines_.push_back(words[1] + " becomes" + line_.substr(became + 7));
    }
    const std::size_t at = line_.find("switched to configuration ");
    if (at == std::string::npos) return;
    lines_.push_back(words[1] + " config " + line_.substr(line_.find("voters=")));
  }

  void ReadReadyLine() {
    if (StartsWith(line_, "Ready MustSync=true")) return Say("sync");
    static const std::map<std::string, Part> kParts = {{"Entries:", Part::kAppends},
                                                       {"CommittedEntries:", Part::kApplies},
                                                       {"Messages:", Part::kMessages},
                                                       {"Processing:", Part::kProcessing},
                                                       {"Responses:", Part::kResponses}};
    // The last is of an answer from who has been removed, which ours passes over as well.
    static const std::set<std::string> kNothing = {
        "<empty Ready>", "Ready MustSync=false:", "raft: cannot step as peer not found"};
    if (kNothing.contains(line_)) return;
    if (const auto part = kParts.find(line_); part != kParts.end()) {
      part_ = part->second;
    } else if (StartsWith(line_, "Lead:")) {
      Say("lead " + std::to_string(NumberAfter(line_, "Lead:")) + " " +
          line_.substr(line_.find("State:") + 6));
    } else if (StartsWith(line_, "HardState ")) {
      Say("hard " + HardText(NumberAfter(line_, "Term:"), NumberAfter(line_, "Vote:"),
                             NumberAfter(line_, "Commit:")));
    } else if (StartsWith(line_, "Snapshot ")) {
      Say("installs " + ReadSnapshot(line_));
    } else {
      Say("is not understood: " + line_);
    }
  }

  void ReadEntryLine() {
    for (const std::string& entry : ReadEntries(line_)) {
      Say((part_ == Part::kAppends ? "appends " : "applies ") + entry);
    }
  }

  void ReadMessageLine() {
    const bool lost = StartsWith(line_, "dropped: ");
    const EtcdMessage message = ReadMessage(lost ? line_.substr(9) : line_);
    if (part_ == Part::kProcessing) {
      if (message.type == "MsgStorageApply") {
        return Say("has applied " + EntriesText(message.entries));
      }
      return Say("stores " +
                 (message.term == 0 ? std::string()
                                    : HardText(message.term, message.vote, message.commit) + " ") +
                 EntriesText(message.entries));
    }
    if (message.type == "MsgStorageAppendResp" && part_ == Part::kNone) {
      told_ = message.log;
      node_told_ = message.to;
      if (told_.index.IsZero()) return;
      return lines_.push_back(node_told_ + " " + StoredText(told_.index, true));
    }
    if (message.from == message.to || !IsNumber(message.from) || !IsNumber(message.to)) return;
    if (part_ == Part::kMessages || part_ == Part::kResponses) {
      return Say("sends " + Text(message));
    }
    if (command_.name == "send-snapshot") node_ = message.from;
    const char* what = command_.name == "send-snapshot" ? " sends " : lost ? " loses " : " gets ";
    lines_.push_back((command_.name == "send-snapshot" ? message.from : message.to) + what +
                     Text(message));
  }

  void ReadLog() {
    if (StartsWith(line_, "log is empty")) return Say("log ends before it begins: " + line_);
    for (const std::string& entry : ReadEntries(line_)) Say("log " + entry);
  }

  // "2: StateReplicate match=11 next=12"
  void ReadState() {
    const std::size_t colon = line_.find(": ");
    const char* verb = command_.name == "status" ? " " : " is ";
    lines_.push_back(line_.substr(0, colon) + verb + line_.substr(colon + 2));
  }

  const EtcdCommand& command_;
  std::istringstream in_;
  std::string line_ = {};
  std::string node_ = {};
  LogId told_ = {};  // By its log writer, last.
  std::string node_told_ = {};
  Part part_ = Part::kNone;
  std::vector<std::string> lines_ = {};
};

// Of one node, the runs of messages that it sends at once by receiver.
void SortSends(std::vector<std::string>& lines) {
  const auto receiver = [](const std::string& line) {
    const std::size_t arrow = line.find("->");
    return line.substr(arrow, line.find(' ', arrow) - arrow);
  };
  const auto sends = [](const std::string& line) {
    return line.find(" sends ") != std::string::npos;
  };
  for (auto begin = lines.begin(); begin != lines.end();) {
    const std::string node = begin->substr(0, begin->find(' '));
    auto end = begin;
    while (end != lines.end() && sends(*end) && end->substr(0, end->find(' ')) == node) ++end;
    std::stable_sort(begin, end, [&](const std::string& a, const std::string& b) {
      return receiver(a) < receiver(b);
    });
    begin = end == begin ? std::next(begin) : end;
  }
}

// That what was sent arrives is the network's doing, not a core's: it is said where it was sent. A
// message that was sent before, perhaps unseen, stays.
void DropArrivals(std::vector<std::string>& lines) {
  std::multiset<std::string> sent;
  for (const std::string& line : lines) {
    const std::size_t at = line.find(" sends ");
    if (at != std::string::npos) sent.insert(line.substr(at + 7));
  }
  std::erase_if(lines, [&sent](const std::string& line) {
    const std::size_t at = line.find(" gets ");
    if (at == std::string::npos) return false;
    const auto it = sent.find(line.substr(at + 6));
    if (it == sent.end()) return false;
    sent.erase(it);
    return true;
  });
}

}  // namespace

std::string Quoted(std::string_view payload) {
  std::string text = "\"";
  for (const char c : payload) {
    if (c == '"') text += '\\';
    text += c;
  }
  return text + "\"";
}

std::string EntryText(LogId id, const std::string& what) { return IdText(id) + " " + what; }

std::string EntriesText(const std::vector<std::string>& entries) {
  std::string text;
  for (const std::string& entry : entries) text += (text.empty() ? "" : ", ") + entry;
  return "[" + text + "]";
}

std::string StoredText(Index index, bool counts) {
  return (counts ? "counts " : "does not count ") + ToString(index) + " as stored";
}

std::string HardText(std::uint64_t term, std::uint64_t vote, std::uint64_t commit) {
  return "term " + std::to_string(term) + " vote " + std::to_string(vote) + " commit " +
         std::to_string(commit);
}

std::string ConfigurationText(const Configuration& configuration) {
  const auto list = [](const PeerIds& ids) {
    std::string text;
    for (PeerId id : ids) text += (text.empty() ? "" : " ") + ToString(id);
    return "(" + text + ")";
  };
  std::string text = "voters=" + list(configuration.voters);
  if (configuration.IsJoint()) text += "&&" + list(configuration.outgoing);
  if (!configuration.learners.empty()) text += " learners=" + list(configuration.learners);
  if (!configuration.learners_next.empty()) {
    text += " learners_next=" + list(configuration.learners_next);
  }
  return text + (configuration.auto_leave ? " autoleave" : "");
}

std::string Text(const EtcdMessage& m) {
  std::string text = m.from + "->" + m.to + " " + m.type + " term " + std::to_string(m.term);
  if (m.type == "MsgApp") {
    return text + " prev " + IdText(m.log) + " commit " + std::to_string(m.commit) + " " +
           EntriesText(m.entries);
  }
  if (m.type == "MsgAppResp") {
    if (!m.rejected) return text + " index " + ToString(m.log.index);
    return text + " rejects " + ToString(m.log.index) + " hint " + ToString(m.log.term) + "/" +
           std::to_string(m.hint);
  }
  if (m.type == "MsgVote" || m.type == "MsgPreVote") return text + " last " + IdText(m.log);
  if (m.type == "MsgVoteResp" || m.type == "MsgPreVoteResp") {
    return text + (m.rejected ? " refused" : " granted");
  }
  if (m.type == "MsgHeartbeat") return text + " commit " + std::to_string(m.commit);
  if (m.type == "MsgSnap") return text + " " + m.snapshot;
  return text;
}

std::vector<std::string> ExpectedLines(const EtcdCommand& command) {
  std::vector<std::string> lines = OutputReader(command).Read();
  Normalize(lines);
  return lines;
}

void Normalize(std::vector<std::string>& lines) {
  std::stable_sort(lines.begin(), lines.end(), [](const std::string& a, const std::string& b) {
    return a.substr(0, a.find(' ')) < b.substr(0, b.find(' '));
  });
  SortSends(lines);
  DropArrivals(lines);
}

}  // namespace rutile::raft::testing
