#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rutile::cmd {

// Reads lines from a terminal: keys to move and change, earlier lines, completion.
class LineEditor {
 public:
  // `history` can be gone back to, the oldest first. Tab completes the first word of a line to one
  // of `words`, and lists those that it can be.
  LineEditor(std::vector<std::string> words, const std::vector<std::string>& history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // The next line, without its end. Nothing: there are no more. Ctrl-C gives up what was typed.
  std::optional<std::string> Read(const std::string& prompt);
  // Adds to what can be gone back to.
  void Remember(const std::string& line);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

// What of `word` can be added so that it begins what it may be: as much as all of `words` that
// begin with it have in common; of a single one the rest, and a space.
std::string Completion(const std::string& word, const std::vector<std::string>& words);

}  // namespace rutile::cmd
