#pragma once

#include <string>
#include <vector>

#include "sim/timeline.h"

namespace rutile::sim {

// What a page says beside the timeline.
struct PageWords {
  std::string title = {};                    // "seed 17"
  std::string repeat = {};                   // The command that gives the same run again.
  std::string window = {};                   // Which part of the run is shown, and why.
  std::vector<std::string> violations = {};  // Empty: all was well.
  bool has_clock = true;                     // Else time says nothing, and only steps are shown.
};

// The data of the page: one JSON object, as sim/page/page.js reads it.
std::string PageData(const Timeline& timeline, const PageWords& words);

// A page of HTML that shows the timeline and needs nothing else: no network, no other file.
std::string RenderPage(const Timeline& timeline, const PageWords& words);

// The parts of the page, from sim/page/, made a part of the program by the build.
extern const char* const kPageHtml;
extern const char* const kPageCss;
extern const char* const kPageRunJs;
extern const char* const kPageLanesJs;
extern const char* const kPageJs;

}  // namespace rutile::sim
