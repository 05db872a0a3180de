#pragma once

#include <string>

#include "sim/timeline.h"

namespace rutile::sim {

// A picture of a short story for the documentation: time goes down, a column a node, and at each
// step the end of the log of the node that took it, in words at the side. One group, the last. The
// same timeline gives the same bytes.
std::string RenderTimelineSvg(const Timeline& timeline, const std::string& title);

}  // namespace rutile::sim
