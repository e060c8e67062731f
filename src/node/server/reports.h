// The forms in which NodeFigures are told.
#pragma once

#include <string>

#include "node/server/figures.h"

namespace keles::node {

// volume_metrics.cc: kubelet_volume_stats_*, a part of /metrics.
std::string volume_metrics(const NodeFigures& figures);
// summary.cc: /stats/summary, a stats.k8s.io/v1alpha1 Summary. `all` false: of processors and
// memory only, and no network.
std::string stats_summary(const std::string& node_name, const NodeFigures& figures, bool all);
// cadvisor.cc: /metrics/cadvisor, under cAdvisor's names, for the node's cgroup, the pods' and
// their containers'.
std::string container_metrics(const NodeFigures& figures, int64_t cpus, int64_t memory_bytes);
// resource_metrics.cc
std::string resource_metrics(const NodeFigures& figures);

}  // namespace keles::node
