// Who asks, as extension API servers are told: the fields X-Remote-*, which the ConfigMap
// kube-system/extension-apiserver-authentication names to them. Pure.
#pragma once

#include "net/http.h"
#include "server/auth/caller.h"

namespace keles::aggregation {

// Replaces whatever the fields say of who asks.
void set_caller(net::Headers* headers, const Caller& who);

// This server itself, when it looks what is there.
const Caller& aggregator_caller();

}  // namespace keles::aggregation
