// The objects that every cluster has from its first moment on.
#pragma once

#include "server/server.h"

namespace keles::server {

// Creates what is missing; runs at every start and leaves what users changed alone (but for the
// kubernetes Service's endpoints, which follow the server's address).
Task<Status> bootstrap(Context ctx, ApiServer* server);

}  // namespace keles::server
