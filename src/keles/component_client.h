// How a part that runs by itself finds its API server: by a kubeconfig, or as a pod does.
#pragma once

#include <string>

#include "base/status.h"
#include "client/kubeconfig.h"

namespace keles {

// Without a file: the pod's service account. `master` overrides the server's URL; "" does not.
// Blocking. kBadRequest names the flags.
Result<ClientConfig> component_config(const std::string& kubeconfig, const std::string& master);

// "20", "0.5": of a flag whose values are such.
Result<double> number_of(const char* flag, const std::string& text);

}  // namespace keles
