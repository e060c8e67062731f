// What the commands do: clusters made, removed, started, stopped, filled with images, looked into.
// Blocking; each call is made from the command's thread.
#pragma once

#include <string>
#include <vector>

#include "base/ip.h"
#include "base/loop.h"
#include "base/status.h"
#include "client/kubeconfig.h"
#include "kind/cluster_config.h"
#include "kind/cluster_network.h"
#include "kind/node_spec.h"
#include "kind/progress.h"

namespace keles::kind {

struct CreateOptions {
  std::string kubeconfig;  // flag; "" = the default place
  Duration wait{0};        // how long to wait for every node to be Ready; 0: not at all
  bool retain = false;     // keep what there is when something fails
  bool quiet = false;
};

Status create_cluster(const ClusterConfig& config, const CreateOptions& options);

// Everything about the nodes that can be known before any of them exists: addresses in `subnet`
// (the first is the bridge's), programs with their flags, ports, archives. Touches nothing.
std::vector<NodeSpec> plan_nodes(const ClusterConfig& config, const NodeSubnets& subnets);

// Removes everything that bears the cluster's name, half-made or whole. The nodes it had.
Result<std::vector<std::string>> delete_cluster(const std::string& cluster,
                                                const std::string& kubeconfig_flag);

Status stop_nodes(const std::string& cluster, const std::vector<std::string>& nodes);
Status start_nodes(const std::string& cluster, const std::vector<std::string>& nodes);

// Imports an archive (OCI or docker) into containerd of each node.
Status load_archive(const std::string& cluster, const std::vector<std::string>& nodes,
                    const std::string& archive);

// The administrator's entry, for the kubeconfig commands.
Result<KubeconfigEntry> admin_entry(const std::string& cluster);

// Logs of every node into `directory`/NODE/.
Status export_logs(const std::string& cluster, const std::string& directory);

// The cluster that has this node; "" if none.
std::string cluster_of_node(const std::string& node);

}  // namespace keles::kind
