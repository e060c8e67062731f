// Builds a node's file system view in a fresh mount namespace and moves into it: the node's own
// directory as root; the host's /usr (read-only) and /dev; own /proc, /sys, cgroup, /run, /tmp.
// Called once by the node's init, as process 1 of its namespaces, inside its cgroup namespace.
#pragma once

#include "base/status.h"
#include "kind/node_spec.h"

namespace keles::kind {

Status enter_node_root(const NodeSpec& spec);

// The host's side: directories and /etc files of a new node in spec.rootfs. `hosts` is the content
// of /etc/hosts, the same in every node.
Status prepare_rootfs(const NodeSpec& spec, const std::string& hosts);

}  // namespace keles::kind
