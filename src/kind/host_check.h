// What a local cluster needs of this host, looked at before anything is made.
#pragma once

#include "base/status.h"
#include "kind/cluster_config.h"

namespace keles::kind {

// Root, capabilities, programs, kernel features, cgroups: one error that names all that is missing,
// each with its remedy.
Status check_host();
// What is missing, a line each with its remedy. Of root alone.
std::vector<std::string> missing_on_host();

// The host ports of the configuration can be listened on.
Status check_ports(const ClusterConfig& config);

// This process's, as a mask (capabilities(7)).
uint64_t effective_capabilities();

// The capabilities (capabilities(7)) that making nodes takes and that are absent from the mask of
// "CapEff:", as in /proc/PID/status. For tests.
std::vector<std::string> missing_capabilities(uint64_t effective);

}  // namespace keles::kind
