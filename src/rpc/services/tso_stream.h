#pragma once

#include <functional>
#include <memory>

#include "base/ids.h"
#include "placement/placement.h"
#include "rpc/seam/stream.h"

namespace rutile::rpc {

// Where timestamps come from: Placement::GetTimestamps.
using TimestampSource =
    std::function<void(std::uint32_t count, placement::Placement::TimestampDone done)>;

// The handler of one Tso stream: an answer for each request, in the order of the requests and with
// timestamps that only grow. What cannot be answered ends the stream, so that the client looks for
// the leader.
std::unique_ptr<StreamHandler> NewTsoStream(TimestampSource source, ClusterId cluster,
                                            std::shared_ptr<StreamSender> sender);

}  // namespace rutile::rpc
