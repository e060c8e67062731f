// From the flags of a command line to the API server and as whom it is asked.
#pragma once

#include "base/status.h"
#include "client/kubeconfig.h"
#include "kubectl/session.h"

namespace keles::kubectl {

Result<ClientConfig> connection_of(const ConnectionFlags& flags);
// The fields of a request for another (--as).
net::Headers impersonation_of(const ConnectionFlags& flags);

}  // namespace keles::kubectl
