// What a control plane offers to machines that join it, as kubeadm sets it up: the cluster's
// network in kube-system/kubeadm-config, and what holders of bootstrap tokens and nodes may. What
// is there already stays as it is, but for the pool of load balancer addresses: that is the flag's.
#pragma once

#include "client/client.h"
#include "machines/discovery.h"

namespace keles::machines {

// Tries again until all is there, or ctx ends.
Task<Status> publish_cluster(Context ctx, Client* client, ClusterNetwork network);

}  // namespace keles::machines
