// Discovery and OpenAPI with what extension API servers serve in them: this server's own documents,
// and theirs put among them by the priorities of their APIServices.
#pragma once

#include "server/aggregation/aggregator.h"
#include "server/http/front.h"

namespace keles::server {

// `own` answers for what this server serves itself; the aggregator outlives the source.
PathSource merged_paths(const aggregation::Aggregator* aggregator, PathSource own);

}  // namespace keles::server
