#include "server/registry/registry.h"

#include "server/registry/services.h"
#include "server/registry/snapshots.h"

namespace keles::registry {

Registry::Registry(Store* store, std::string service_cidr, std::string node_port_range)
    : store_(store),
      services_(std::make_unique<ServiceAllocator>(store, service_cidr, node_port_range)),
      horizon_(std::make_unique<Horizon>()) {}

Registry::~Registry() = default;

}  // namespace keles::registry
