#pragma once

namespace rutile::rpc {

// A page in HTML that shows /status and keeps itself up to date. It needs nothing from anywhere
// else.
extern const char kStatusPage[];

}  // namespace rutile::rpc
