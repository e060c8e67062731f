// The identity of a node that begins with a bootstrap token (TLS bootstrapping; upstream:
// pkg/kubelet/certificate/bootstrap): a client certificate that is asked for as the token's holder,
// kept beside the one that rotation keeps, and a kubeconfig that names that file.
#pragma once

#include <string>

#include "base/context.h"
#include "base/loop.h"
#include "base/status.h"
#include "base/task.h"

namespace keles {

struct BootstrapOptions {
  std::string node_name;
  std::string bootstrap_kubeconfig;  // how to reach the server as who may ask; https
  std::string kubeconfig;            // is written, 0600
  std::string directory;             // of kubelet-client-current.pem
};

// Whether the kubeconfig's client certificate is there and has not ended. Blocking.
bool has_identity(const std::string& kubeconfig, WallTime now);

// Has it made, unless there is one that holds: waits until it is approved and signed, or ctx ends.
Task<Status> ensure_identity(Context ctx, BootstrapOptions options);

}  // namespace keles
