// What `keles server` does beside its control plane: it lets machines join, and is a node itself.
#pragma once

#include <string>
#include <vector>

#include "keles/control_plane.h"

namespace keles {

struct ServerNode {
  ServerNode() = default;
  bool join = false, node = false;
  std::string name, runtime;
  std::vector<std::string> ignored;  // of the preflight checks
};
void add_server_node_flags(Flags& f, ServerNode& n);

// Sets ControlPlaneOptions::beside. Looks at the machine first, where it is to be a node.
Status set_beside(ControlPlaneOptions* f, const ServerNode& n);

}  // namespace keles
