#pragma once

#include <string>
#include <string_view>

namespace rutile::sim {

// Text as it stands between tags, and in attributes, of HTML and SVG.
std::string EscapeMarkup(std::string_view text);

}  // namespace rutile::sim
