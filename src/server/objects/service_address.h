// Where a service leads for the server itself, which dials what APIServices, proxies and webhooks
// name: one of the service's ready endpoints (a cluster IP need not be routed on this host), or the
// host of an ExternalName. What comes out is text of the API: only what net::relay_addresses()
// makes of it may be dialled. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip.h"
#include "base/random.h"
#include "base/status.h"
#include "store/store.h"

namespace keles::registry {

struct ServiceAddress {
  std::string host;
  uint16_t port = 0;
};

// Which endpoints count. An endpoint that names a pod must be one: of the namespace, at that
// address. Those that name none count where they are kept by hand (kAlsoByHand), for a service
// without a selector: what leads there was named by an administrator.
enum class EndpointRule : uint8_t { kPodsOnly, kAlsoByHand };

// Those of the service's port of that name that are ready, of the service's first address family
// when it has any.
std::vector<ServiceAddress> ready_endpoints(const StoreSnapshot& snapshot, const Value& service,
                                            std::string_view port_name, EndpointRule rule);

// One of them at random, for a port by its number; or the ExternalName's host. Upstream's errors:
// kNotFound, kServiceUnavailable (no such port, nobody ready).
Result<ServiceAddress> resolve_service(const StoreSnapshot& snapshot, const std::string& ns,
                                       const std::string& name, int64_t port, Random& random);

}  // namespace keles::registry
