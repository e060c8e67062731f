// What a machine that is a node runs, each a process of its own that is started again when it ends:
// a container runtime, unless one is there, and the kubelet with proxy and pod network.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "machines/discovery.h"

namespace keles::machines {

struct NodeParts {
  NodeParts() = default;
  std::string program;    // this binary
  std::string directory;  // what is this node's own: "/var/lib/keles/agent"
  std::string name, ip;
  std::string runtime;  // its endpoint; "": containerd's, found or started
  std::string kubeconfig, ca_file;
  std::string bootstrap_kubeconfig;        // "": there is an identity
  std::string certificate_file, key_file;  // to serve with; "": asked for
  std::string proxy_kubeconfig;            // "": the kubelet's
  ClusterNetwork network;
  std::vector<std::string> labels, taints;
  std::string load_balancer_pool;  // which of it this node may announce; "": nothing
};

// After "keles"; `runtime`: its endpoint.
std::vector<std::string> kubelet_arguments(const NodeParts& parts, const std::string& runtime);

// The files with which the kubelet is started again when they change.
std::vector<std::string> read_at_start(const NodeParts& parts);

// Until ctx ends; the kubelet ends before the runtime, and pods run on.
Task<Status> run_node_parts(Context ctx, NodeParts parts);

}  // namespace keles::machines
