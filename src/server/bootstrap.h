// The objects that every cluster has from its first moment on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/server.h"

namespace keles::server {

// Creates what is missing; runs at every start and leaves what users changed alone (but for the
// kubernetes Service's endpoints, which follow the server's address, or, where several servers
// share the store, are left to peers.h).
Task<Status> bootstrap(Context ctx, ApiServer* server);

// The CA of clients is another one: extension API servers are told (kube-system's ConfigMap
// extension-apiserver-authentication), and those of `former` that it no longer holds are taken
// back.
Task<Status> publish_client_ca(Context ctx, ApiServer* server, std::string ca_pem,
                               std::string former);

// A loopback address is no endpoint: whoever reads it would reach itself.
bool reachable_by_pods(std::string_view address);
// Where the API servers are, for the Service "kubernetes": its EndpointSlice and Endpoints. At
// least one, all of one family.
Task<Status> write_endpoints(Context ctx, ApiServer* server, std::vector<std::string> addresses,
                             uint16_t port);

// The ServiceCIDR "kubernetes", of the range that the server was started with: made when it is
// missing, and ready unless somebody has said otherwise (KEP-1880).
Task<Status> ensure_default_range(Context ctx, ApiServer* server);
// The same every ten seconds, until ctx ends.
Task<void> keep_default_range(Context ctx, ApiServer* server);

}  // namespace keles::server
