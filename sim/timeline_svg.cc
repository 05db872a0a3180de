#include "sim/timeline_svg.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "sim/markup.h"

namespace rutile::sim {
namespace {

// All in pixels.
constexpr int kMargin = 14;
constexpr int kTop = 76;  // Of the first row.
constexpr int kCells = 4;
constexpr int kCellWidth = 36;
constexpr int kLaneWidth = 26 + kCells * kCellWidth + 14;
constexpr int kWordsWidth = 460;
constexpr std::size_t kLineLength = 66;  // Characters that fit in it.
constexpr int kLineHeight = 15;
constexpr int kLegendHeight = 44;

constexpr std::string_view kStyle =
    "text{font:12px system-ui,'DejaVu Sans',sans-serif;fill:#22252b}"
    ".title{font-size:16px;font-weight:600}.name{font-size:14px;font-weight:600}"
    ".small{font-size:10px;fill:#6d737e}.cell{font-size:11px;text-anchor:middle}"
    ".note{font-family:ui-monospace,'DejaVu Sans Mono',monospace}"
    ".bad{fill:#c4262e}"
    ".rail{stroke:#d9d7d0;stroke-width:2}.message{stroke:#2563c9;stroke-width:1.4;fill:none}"
    ".lost{stroke:#c4262e;stroke-width:1.6;fill:none}"
    ".durable{fill:#2563c9}.committed{fill:#18794e}.applied{fill:#8a4bc9}"
    ".handed{fill:#fbfaf7;stroke:#8a4bc9}.volatile{stroke:#e0862b;stroke-width:1.5;"
    "stroke-dasharray:4 3}";

// The name of a color that tells terms apart, lighter for what is large.
std::string ColorOf(Term term, bool light) {
  const std::uint64_t hue = (term.value() * 1375 + 700) / 10 % 360;
  return "hsl(" + std::to_string(hue) + ",60%," + (light ? "84%)" : "52%)");
}

// Breaks at spaces. Longer words stay whole.
std::vector<std::string> Wrap(std::string_view text) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > kLineLength) {
      lines.emplace_back();
    }
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

Term TermAt(const TimelineReplica& replica, Index index) {
  Term term;
  for (const raft::TermRun& run : replica.runs) {
    if (run.start <= index) term = run.term;
  }
  return term;
}

class Drawing {
 public:
  Drawing(const Timeline& timeline, const std::string& title)
      : timeline_(timeline), title_(title), group_(timeline.groups.back()) {}

  std::string Draw() {
    FindLastIndex();
    PlaceRows();
    DrawHead();
    DrawGround();
    DrawRails();
    DrawMessages();
    DrawRows();
    DrawLegend();
    const std::string size =
        "width=\"" + std::to_string(Width()) + "\" height=\"" + std::to_string(height_) + "\"";
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" " + size + " viewBox=\"0 0 " +
           std::to_string(Width()) + " " + std::to_string(height_) + "\">\n<title>" +
           EscapeMarkup(title_) + "</title>\n<style>" + std::string(kStyle) +
           "</style>\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#fbfaf7\"/>\n" + out_ +
           "</svg>\n";
  }

 private:
  struct Row {
    const TimelineStep* step = nullptr;
    std::vector<std::string> lines = {};
    int y = 0;  // Of its top.
    int height = 0;
  };

  int Words() const { return kMargin + static_cast<int>(timeline_.nodes.size()) * kLaneWidth; }
  int Width() const { return Words() + kWordsWidth; }
  static int RailOf(std::size_t node) { return kMargin + static_cast<int>(node) * kLaneWidth + 8; }
  static int CellOf(std::size_t node, int place) { return RailOf(node) + 18 + place * kCellWidth; }

  bool IsOfGroup(const TimelineStep& step) const {
    return step.group.IsZero() || step.group == group_;
  }

  // The same entries are shown at every step.
  void FindLastIndex() {
    Index last;
    for (const auto& [where, replica] : timeline_.before) {
      if (where.first == group_) last = std::max(last, replica.last);
    }
    for (const TimelineStep& step : timeline_.steps) {
      if (IsOfGroup(step) && step.after) last = std::max(last, step.after->last);
    }
    first_shown_ = last.value() > kCells ? Index(last.value() - kCells + 1) : Index(1);
  }

  // A step has a row if it changed something that is drawn, or if a message begins or ends there.
  void PlaceRows() {
    std::set<std::uint64_t> busy;
    for (const TimelineMessage& message : timeline_.messages) {
      if (message.group != group_ || !IsDrawn(message)) continue;
      busy.insert(message.sent);
      if (message.received) busy.insert(*message.received);
    }
    auto now = timeline_.before;
    int y = kTop;
    for (std::size_t i = 0; i < timeline_.steps.size(); ++i) {
      const TimelineStep& step = timeline_.steps[i];
      if (!IsOfGroup(step)) continue;
      bool is_shown = !step.after || busy.contains(i);
      if (step.after) {
        TimelineReplica& replica = now[{group_, step.node}];
        is_shown = is_shown || replica != *step.after;
        replica = *step.after;
      }
      if (!is_shown) continue;
      Row row{.step = &step, .lines = Wrap(WordsOf(step)), .y = y};
      const int words = static_cast<int>(row.lines.size()) * kLineHeight + 8;
      row.height = std::max(words, step.after ? 44 : 26);
      y += row.height;
      rows_[i] = std::move(row);
    }
    height_ = y + 8 + kLegendHeight;
  }

  // Heartbeats are in every story and say little.
  static bool IsDrawn(const TimelineMessage& message) {
    return message.type != raft::MessageType::kHeartbeat &&
           message.type != raft::MessageType::kHeartbeatReply;
  }

  std::string WordsOf(const TimelineStep& step) const {
    return (step.node == kNoNode ? "" : timeline_.nodes[step.node] + " ") + step.text;
  }

  void Text(int x, int y, std::string_view kind, std::string_view text) {
    out_ += "<text class=\"" + std::string(kind) + "\" x=\"" + std::to_string(x) + "\" y=\"" +
            std::to_string(y) + "\">" + EscapeMarkup(text) + "</text>\n";
  }

  // `look` is a class or a fill, as attributes.
  void Box(int x, int y, int width, int height, const std::string& look) {
    out_ += "<rect x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\" width=\"" +
            std::to_string(width) + "\" height=\"" + std::to_string(height) + "\" " + look + "/>\n";
  }

  void Path(const std::string& kind, const std::string& d) {
    out_ += "<path class=\"" + kind + "\" d=\"" + d + "\"/>\n";
  }

  static std::string Class(std::string_view name) { return "class=\"" + std::string(name) + "\""; }
  static std::string Fill(const std::string& color) { return "rx=\"2\" fill=\"" + color + "\""; }

  void DrawHead() {
    out_ +=
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" "
        "markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8\" fill=\"none\" "
        "stroke=\"#2563c9\" stroke-width=\"1.4\"/></marker></defs>\n";
    Text(kMargin, 26, "title", title_);
    for (std::size_t node = 0; node < timeline_.nodes.size(); ++node) {
      Text(RailOf(node) - 4, 52, "name", timeline_.nodes[node]);
      for (int place = 0; place < kCells; ++place) {
        const std::string index = ToString(first_shown_.Plus(static_cast<std::uint64_t>(place)));
        Text(CellOf(node, place) + kCellWidth / 2 - 6, 66, "small", index);
      }
    }
  }

  // Behind all else: what the story says, and how it ends.
  void DrawGround() {
    for (const auto& [number, row] : rows_) {
      const TimelineStep::Kind kind = row.step->kind;
      if (kind != TimelineStep::Kind::kVerdict && kind != TimelineStep::Kind::kNote) continue;
      Box(kMargin, row.y, Width() - 2 * kMargin, row.height - 4,
          Fill(kind == TimelineStep::Kind::kVerdict ? "#fbe3e1" : "#efece4"));
    }
  }

  // Who leads is seen along the whole of it.
  void DrawRails() {
    for (std::size_t node = 0; node < timeline_.nodes.size(); ++node) {
      const int x = RailOf(node);
      const int bottom = height_ - kLegendHeight - 4;
      Box(x - 1, kTop - 6, 2, bottom - kTop + 6, Fill("#d9d7d0"));
      std::optional<Term> leads;
      int since = kTop - 6;
      const auto become = [&](const TimelineReplica& replica, int y) {
        const bool is_leader = replica.is_up && replica.role == raft::Role::kLeader;
        if (leads && (!is_leader || replica.term != *leads)) {
          Box(x - 4, since, 8, y - since, Fill(ColorOf(*leads, false)));
          leads.reset();
        }
        if (!is_leader || leads) return;
        leads = replica.term;
        since = y;
      };
      const auto before = timeline_.before.find({group_, node});
      if (before != timeline_.before.end()) become(before->second, kTop - 6);
      for (const auto& [number, row] : rows_) {
        if (row.step->node != node) continue;
        if (row.step->kind == TimelineStep::Kind::kDown) become({}, row.y + 12);
        if (row.step->after) become(*row.step->after, row.y + 12);
      }
      become({}, bottom);
    }
  }

  void DrawMessages() {
    for (const TimelineMessage& message : timeline_.messages) {
      const auto from = rows_.find(message.sent);
      if (message.group != group_ || !IsDrawn(message) || from == rows_.end()) continue;
      if (message.from == kNoNode || message.to == kNoNode) continue;
      const int side = message.to > message.from ? 1 : -1;
      const std::string begin = "M" + std::to_string(RailOf(message.from)) + " " +
                                std::to_string(from->second.y + 12) + " L";
      const auto to = message.received ? rows_.find(*message.received) : rows_.end();
      if (to != rows_.end()) {
        Path("message\" marker-end=\"url(#tip)", begin +
                                                     std::to_string(RailOf(message.to) - side * 6) +
                                                     " " + std::to_string(to->second.y + 12));
        continue;
      }
      const int x = RailOf(message.from) + side * 14, y = from->second.y + 30;
      Path("message", begin + std::to_string(x) + " " + std::to_string(y));
      Path("lost", "M" + std::to_string(x - 4) + " " + std::to_string(y - 4) + " l8 8 m0 -8 l-8 8");
    }
  }

  void DrawRows() {
    for (const auto& [number, row] : rows_) {
      const TimelineStep& step = *row.step;
      const std::string_view look = step.kind == TimelineStep::Kind::kVerdict ? "bad"
                                    : step.kind == TimelineStep::Kind::kNote  ? "note"
                                                                              : "words";
      for (std::size_t i = 0; i < row.lines.size(); ++i) {
        Text(Words(), row.y + 15 + static_cast<int>(i) * kLineHeight, look, row.lines[i]);
      }
      if (!step.after) continue;
      const int x = RailOf(step.node), y = row.y + 12;
      out_ += "<circle cx=\"" + std::to_string(x) + "\" cy=\"" + std::to_string(y) +
              "\" r=\"4\" fill=\"#22252b\"/>\n";
      DrawTail(*step.after, step.node, row.y + 2);
    }
  }

  void DrawTail(const TimelineReplica& replica, std::size_t node, int y) {
    for (int place = 0; place < kCells; ++place) {
      const Index index = first_shown_.Plus(static_cast<std::uint64_t>(place));
      if (index > replica.last || index <= replica.base.index) continue;
      const Term term = TermAt(replica, index);
      const int x = CellOf(node, place), width = kCellWidth - 2;
      Box(x, y, width, 20,
          Fill(ColorOf(term, true)) + (index > replica.durable ? " " + Class("volatile") : ""));
      Text(x + width / 2, y + 14, "cell", "@" + ToString(term));
      if (index <= replica.durable) Box(x, y + 22, width, 3, Class("durable"));
      if (index <= replica.committed) Box(x, y + 27, width, 3, Class("committed"));
      if (index <= replica.applied) {
        Box(x, y + 32, width, 3, Class("applied"));
      } else if (index <= replica.applying) {
        Box(x, y + 32, width, 3, Class("handed"));
      }
    }
  }

  void DrawLegend() {
    const int y = height_ - kLegendHeight + 16;
    int x = kMargin;
    const std::array<std::pair<std::string_view, std::string_view>, 4> bars = {{
        {"durable", "durable"},
        {"committed", "committed"},
        {"handed", "handed out to apply"},
        {"applied", "applied"},
    }};
    Box(x, y - 12, 30, 18, Fill(ColorOf(Term(1), true)));
    Text(x + 15, y + 1, "cell", "@1");
    Text(x + 36, y + 1, "words", "entry of term 1");
    x += 146;
    Box(x, y - 12, 30, 18, Fill(ColorOf(Term(1), true)) + " " + Class("volatile"));
    Text(x + 36, y + 1, "words", "not on this disk yet");
    x += 176;
    for (const auto& [kind, words] : bars) {
      Box(x, y - 5, 30, 3, Class(kind));
      Text(x + 36, y + 1, "words", words);
      x += 66 + static_cast<int>(words.size()) * 7;
    }
    Box(x, y - 8, 30, 8, Fill(ColorOf(Term(1), false)));
    Text(x + 36, y + 1, "words", "leads");
  }

  const Timeline& timeline_;
  const std::string& title_;
  const RegionId group_;
  Index first_shown_ = {};
  std::map<std::uint64_t, Row> rows_;  // By the number of the step.
  int height_ = 0;
  std::string out_;
};

}  // namespace

std::string RenderTimelineSvg(const Timeline& timeline, const std::string& title) {
  return Drawing(timeline, title).Draw();
}

}  // namespace rutile::sim
