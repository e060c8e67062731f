// The objects that every cluster has from its first moment on.
#pragma once

#include "server/server.h"

namespace keles::server {

// Creates what is missing; runs at every start and leaves what users changed alone (but for the
// kubernetes Service's endpoints, which follow the server's address).
Task<Status> bootstrap(Context ctx, ApiServer* server);

// The ServiceCIDR "kubernetes", of the range that the server was started with: made when it is
// missing, and ready unless somebody has said otherwise (KEP-1880).
Task<Status> ensure_default_range(Context ctx, ApiServer* server);
// The same every ten seconds, until ctx ends.
Task<void> keep_default_range(Context ctx, ApiServer* server);

}  // namespace keles::server
