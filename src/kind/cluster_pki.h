// Certificates and keys of a new cluster: what its control planes share, the administrator, one
// kubelet per node.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "client/kubeconfig.h"
#include "kind/node_spec.h"

namespace keles::kind {

// Inside a node; the kubelet's files are where client/node_identity.h puts them.
constexpr char kServerData[] = "/var/lib/keles";
constexpr char kProxyKubeconfig[] = "/etc/kubernetes/kube-proxy.conf";
constexpr char kStorageKubeconfig[] = "/etc/kubernetes/csi-local.conf";

// What the control planes of a cluster (`nodes`, all of them) share, put where their servers take
// it from: the CA, the CA of the front proxy, the keys that sign service accounts' tokens, and
// where they share an etcd its CA with a certificate for each. And the administrator's certificate
// (system:masters); what the user's kubeconfig gets.
Result<KubeconfigEntry> make_cluster_identity(const std::vector<NodeSpec>& nodes,
                                              const std::string& server_url);

// The kubelet's kubeconfig (system:node:NAME of system:nodes), its serving certificate, the proxy's
// kubeconfig (system:kube-proxy) and the CA, in the node's files; of a load balancer the CA.
Status write_node_identity(const std::vector<NodeSpec>& nodes, const NodeSpec& node);

// What make_cluster_identity() left behind.
Result<KubeconfigEntry> load_admin_entry(const std::string& cluster);

}  // namespace keles::kind
