// LocalPaths: a PathsClient in the API server's own process: discovery of what is served elsewhere,
// and requests to it, for a caller who is known. What is served here is not asked for this way.
//
// One loop's thread; the server outlives it.
#pragma once

#include <memory>

#include "client/paths_client.h"
#include "server/server.h"

namespace keles {

std::unique_ptr<PathsClient> make_local_paths(ApiServer& server, Caller caller);

// A service account of kube-system, as which a controller is known.
Caller controller_account(const std::string& name);

}  // namespace keles
