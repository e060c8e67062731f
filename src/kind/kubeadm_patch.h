// kubeadmConfigPatches of a kind configuration. Nodes of keles are not made by kubeadm; what such a
// patch asks for is understood where it has a counterpart, and named in a warning where it has
// none.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kind/cluster_config.h"

namespace keles::kind {

// Applies one patch (one YAML document or several, of the kinds InitConfiguration,
// JoinConfiguration, ClusterConfiguration, KubeletConfiguration) to those of `nodes` that it is
// for, or to the cluster. `field` names the patch in errors and warnings. kBadRequest: not YAML, or
// a value of a wrong shape.
Status apply_kubeadm_patch(std::string_view yaml, const std::string& field,
                           const std::vector<NodeConfig*>& nodes, ClusterConfig* cluster);

}  // namespace keles::kind
