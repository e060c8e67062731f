// What the server shows of itself to admission webhooks: the users of a kubeconfig, which are named
// after whom they are for: "host:port", "*.rest.of:port", the same without a port where that is
// 443, "*" for everybody else, and behind it the current context's.
// Source: Kubernetes, "Dynamic Admission Control", "Authenticate API servers".
#pragma once

#include <string>

#include "base/status.h"
#include "server/callout/callout.h"

namespace keles::webhooks {

// Blocking; errors name the file. The file is read once, those with tokens at each call.
Result<callout::CredentialsFor> credentials_of(const std::string& kubeconfig);

}  // namespace keles::webhooks
