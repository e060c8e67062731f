// ComponentStatuses: never stored; each part of the control plane is asked when it is read. The
// store answers for etcd by a write that changes nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/registry/computed.h"
#include "store/store.h"

namespace keles::registry {

struct Component {
  std::string name;               // "scheduler", "controller-manager"
  std::function<Status()> check;  // any thread; OK: healthy
};

// The store outlives it.
std::shared_ptr<ComputedSource> component_source(Store* store, std::vector<Component> components);

}  // namespace keles::registry
