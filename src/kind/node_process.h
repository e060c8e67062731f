// A node as seen from the host: starts its init in new namespaces, finds it again, runs commands in
// it, stops and kills it. Blocking; any thread (nodes are started side by side).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "kind/node_spec.h"

namespace keles::kind {

// The pid of the node's init on the host; 0 when it does not run. Checked against the process's
// start time, so that a reused pid is not taken for it.
pid_t node_pid(const std::string& cluster, const std::string& node);

// Starts the init of spec's node: namespaces, cgroup, veth to the bridge; returns once the node's
// root and network stand and its services are being started. The bridge is there already.
Status start_node(const NodeSpec& spec);

// SIGTERM, and SIGKILL after a while; returns when nothing of the node runs. Its directory stays.
Status stop_node(const std::string& cluster, const std::string& node);

// SIGKILL; returns when nothing of the node runs.
Status kill_node(const std::string& cluster, const std::string& node);

// Runs argv inside the node with this process's standard streams; the exit code (128 + signal).
Result<int> exec_in_node(const std::string& cluster, const std::string& node,
                         const std::vector<std::string>& argv);

}  // namespace keles::kind
