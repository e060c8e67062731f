// What built-in admission plugins have to wait for before their turn: a namespace that is made for
// the request (NamespaceAutoProvision), an account that its controller is about to make
// (ServiceAccount).
#pragma once

#include <memory>
#include <vector>

#include "server/admission/admission.h"
#include "server/registry/registry.h"

namespace keles::server {

// In the plugins' order. The registry outlives them.
std::vector<std::shared_ptr<admission::Early>> early_admission(registry::Registry* registry);

}  // namespace keles::server
