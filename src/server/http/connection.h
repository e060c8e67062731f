// What a connection to a pod, service or node asks for, as admission sees it.
#pragma once

#include "machinery/value.h"
#include "server/http/exchange.h"
#include "server/registry/registry.h"

namespace keles::server {

// Whether the request makes a connection that admission has a say in (upstream's verb CONNECT:
// exec, attach, portforward, proxy).
bool is_connection(const RequestInfo& info);
registry::Registry::Call connection_call(const Exchange& x);
// The subresource's options (PodExecOptions, ...), of the query and the path.
Document connection_options(const Exchange& x);

}  // namespace keles::server
