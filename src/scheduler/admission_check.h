// The filters that a node can judge alone: what the kubelet asks again before it takes a pod,
// however the pod came to be bound to it. Pure.
#pragma once

#include <string>
#include <vector>

#include "scheduler/types.h"

namespace keles::scheduler {

// One reason not to take a pod: a resource of which too little is free, or a filter's verdict.
struct AdmissionFailure {
  std::string plugin, reason;                     // filters; "" for resources
  std::string resource;                           // "cpu", ...; "" for filters
  int64_t requested = 0, used = 0, capacity = 0;  // CPU in millicores
};

// In upstream's order: resources, affinity, name, ports, taints that evict (NoExecute). `node`
// holds the pods that it has taken. Extended resources that the node does not have are passed over:
// they belong to the cluster or to a scheduler extension.
std::vector<AdmissionFailure> admission_check(const PodInfo& pod, const NodeInfo& node);

}  // namespace keles::scheduler
