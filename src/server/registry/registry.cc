#include "server/registry/registry.h"

#include "api/core_v1.h"
#include "machinery/kind_facts.h"
#include "server/registry/services.h"
#include "server/registry/snapshots.h"

namespace keles::registry {

Registry::Registry(Store* store, std::string service_cidr, std::string node_port_range)
    : store_(store),
      services_(std::make_unique<ServiceAllocator>(store, service_cidr, node_port_range)),
      horizon_(std::make_unique<Horizon>()) {
  set_components({});
}

Registry::~Registry() = default;

void Registry::set_components(std::vector<Component> components) {
  set_source(kind_of<api::core_v1::ComponentStatus>(),
             component_source(store_, std::move(components)));
}

bool Registry::serves(const KindDesc& kind) const {
  return !kind.facts->computed || sources_.contains(&kind);
}

Task<Result<std::vector<ObjectPtr>>> Registry::computed(Context ctx, const KindDesc* kind,
                                                        std::string ns, std::string name) {
  auto source = sources_.find(kind);
  if (source == sources_.end()) {
    co_return Status(Reason::kNotFound, "the server could not find the requested resource");
  }
  co_return co_await source->second->objects(ctx, kind, std::move(ns), std::move(name));
}

}  // namespace keles::registry
