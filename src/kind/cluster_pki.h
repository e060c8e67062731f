// Certificates of a new cluster: its CA, the administrator, one kubelet per node.
#pragma once

#include <string>

#include "base/status.h"
#include "client/kubeconfig.h"
#include "kind/node_spec.h"

namespace keles::kind {

// Inside a node; the kubelet's files are where client/node_identity.h puts them.
constexpr char kServerData[] = "/var/lib/keles";
constexpr char kProxyKubeconfig[] = "/etc/kubernetes/kube-proxy.conf";
constexpr char kStorageKubeconfig[] = "/etc/kubernetes/csi-local.conf";

// A CA for the cluster, put where the API server of `control_plane` takes it from, and the
// administrator's certificate (system:masters); what the user's kubeconfig gets.
Result<KubeconfigEntry> make_cluster_identity(const NodeSpec& control_plane,
                                              const std::string& server_url);

// The kubelet's kubeconfig (system:node:NAME of system:nodes), its serving certificate, the proxy's
// kubeconfig (system:kube-proxy) and the CA, in the node's files.
Status write_node_identity(const NodeSpec& control_plane, const NodeSpec& node);

// What make_cluster_identity() left behind.
Result<KubeconfigEntry> load_admin_entry(const std::string& cluster);

}  // namespace keles::kind
