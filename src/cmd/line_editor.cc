#include "cmd/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <signal.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <string_view>
#include <utility>

namespace rutile::cmd {
namespace {

constexpr int kRemembered = 1000;

// The editor works on characters, and takes them from the process' locale. Without one, values that
// are text in UTF-8 are still what is typed.
void SetCharacters() {
  if (std::setlocale(LC_CTYPE, "") != nullptr &&
      std::string_view(nl_langinfo(CODESET)) == "UTF-8") {
    return;
  }
  std::setlocale(LC_CTYPE, "C.UTF-8");
}

std::vector<std::string> Beginning(const std::string& word, const std::vector<std::string>& words) {
  std::vector<std::string> found;
  std::copy_if(words.begin(), words.end(), std::back_inserter(found),
               [&](const std::string& one) { return one.starts_with(word); });
  return found;
}

}  // namespace

struct LineEditor::Parts {
  std::vector<std::string> words;
  std::string prompt = {};
  EditLine* editor = nullptr;
  History* history = nullptr;

  static Parts* Of(EditLine* editor) {
    void* data = nullptr;
    ::el_get(editor, EL_CLIENTDATA, &data);
    return static_cast<Parts*>(data);
  }
  static char* Prompt(EditLine* editor) { return Of(editor)->prompt.data(); }

  static unsigned char Complete(EditLine* editor, int) {
    const LineInfo* line = ::el_line(editor);
    const std::string typed(line->buffer, line->cursor);
    // Keys and values are the user's own.
    if (typed.find(' ') != std::string::npos) return CC_ERROR;
    const std::vector<std::string>& words = Of(editor)->words;
    const std::string rest = Completion(typed, words);
    if (!rest.empty()) {
      ::el_insertstr(editor, rest.c_str());
      return CC_REFRESH;
    }
    const std::vector<std::string> possible = Beginning(typed, words);
    if (possible.empty()) return CC_ERROR;
    std::fputs("\n", stdout);
    for (const std::string& word : possible) std::printf("%s  ", word.c_str());
    std::fputs("\n", stdout);
    std::fflush(stdout);
    return CC_REDISPLAY;
  }

  static unsigned char GiveUpLine(EditLine* editor, int) {
    const LineInfo* line = ::el_line(editor);
    const auto size = static_cast<int>(line->lastchar - line->buffer);
    ::el_cursor(editor, size);
    ::el_deletestr(editor, size);
    std::fputs("^C\n", stdout);
    std::fflush(stdout);
    return CC_REDISPLAY;
  }

  // The editor's handler of the signal gives the terminal back before, and takes it after.
  static unsigned char Suspend(EditLine*, int) {
    ::kill(0, SIGTSTP);
    return CC_NORM;
  }
};

LineEditor::LineEditor(std::vector<std::string> words, const std::vector<std::string>& history)
    : parts_(std::make_unique<Parts>(Parts{.words = std::move(words)})) {
  SetCharacters();
  parts_->history = ::history_init();
  HistEvent event = {};
  ::history(parts_->history, &event, H_SETSIZE, kRemembered);
  for (const std::string& line : history) Remember(line);

  EditLine* editor = ::el_init("rutile", stdin, stdout, stderr);
  parts_->editor = editor;
  ::el_set(editor, EL_CLIENTDATA, parts_.get());
  ::el_set(editor, EL_PROMPT, &Parts::Prompt);
  ::el_set(editor, EL_EDITOR, "emacs");
  // Whatever ends the process, the terminal is put back to what it was.
  ::el_set(editor, EL_SIGNAL, 1);
  ::el_set(editor, EL_HIST, &::history, parts_->history);
  ::el_set(editor, EL_ADDFN, "rutile-complete", "completes a command", &Parts::Complete);
  ::el_set(editor, EL_ADDFN, "rutile-give-up", "gives the line up", &Parts::GiveUpLine);
  ::el_set(editor, EL_BIND, "^I", "rutile-complete", nullptr);
  ::el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  // While a line is typed Ctrl-C is a key like others; while a command runs it ends the process.
  // Ctrl-Z does what it always does.
  ::el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  ::el_set(editor, EL_ADDFN, "rutile-suspend", "stops the process", &Parts::Suspend);
  ::el_set(editor, EL_BIND, "^C", "rutile-give-up", nullptr);
  ::el_set(editor, EL_BIND, "^Z", "rutile-suspend", nullptr);
}

LineEditor::~LineEditor() {
  ::el_end(parts_->editor);
  ::history_end(parts_->history);
}

std::optional<std::string> LineEditor::Read(const std::string& prompt) {
  parts_->prompt = prompt;
  int size = 0;
  const char* line = ::el_gets(parts_->editor, &size);
  if (line == nullptr || size <= 0) {
    std::fputs("\n", stdout);
    std::fflush(stdout);
    return std::nullopt;
  }
  std::string read(line);  // The size counts characters.
  if (!read.empty() && read.back() == '\n') read.pop_back();
  return read;
}

void LineEditor::Remember(const std::string& line) {
  HistEvent event = {};
  ::history(parts_->history, &event, H_ENTER, line.c_str());
}

std::string Completion(const std::string& word, const std::vector<std::string>& words) {
  const std::vector<std::string> possible = Beginning(word, words);
  if (possible.empty()) return "";
  std::string common = possible.front();
  for (const std::string& one : possible) {
    const auto [end, unused] = std::mismatch(common.begin(), common.end(), one.begin(), one.end());
    common.erase(end, common.end());
  }
  return common.substr(word.size()) + (possible.size() == 1 ? " " : "");
}

}  // namespace rutile::cmd
