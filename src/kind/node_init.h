// `keles kind-node-init NODE.CONF FD [LISTENER...]`: process 1 of a node. Waits on FD (a socket to
// its maker) for the network to be there, builds the node's root, starts the services, keeps them
// running, reaps, and ends them on SIGTERM. With process 1 the kernel ends everything else in the
// node.
#pragma once

#include <string>
#include <vector>

namespace keles::kind {

// Returns the exit code.
int run_node_init(const std::vector<std::string>& args);

}  // namespace keles::kind
