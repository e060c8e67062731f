// A user of a kubeconfig, apart from any cluster.
#pragma once

#include "base/status.h"
#include "client/kubeconfig.h"
#include "machinery/value.h"

namespace keles {

// What the user shows: certificate (where `into` has TLS), token, name and password. Credential
// plug-ins and file names that lead nowhere are errors. Blocking.
Status apply_user(const Value& user, ClientConfig* into);

}  // namespace keles
