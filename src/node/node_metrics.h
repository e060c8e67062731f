// What the kubelet tells of itself in Prometheus text, under upstream's names
// (pkg/kubelet/metrics). Any thread, but for count_running().
#pragma once

#include <string_view>

#include "base/loop.h"
#include "base/status.h"

namespace keles::node {

class NodeView;

namespace node_metrics {

// kubelet_node_name, kubelet_running_pods and kubelet_running_containers, as they are now.
void count_running(const NodeView& view);
// A round of a pod's worker: "create" its first, "update" after a change of the pod, "sync".
void worker_round(std::string_view operation, Duration took);
// From when the kubelet saw the pod to when all of it ran.
void pod_started(Duration took);
// When the serving certificate ends; the time left is told.
void serving_certificate_ends(WallTime end, WallTime now);
void serving_certificate_not_renewed();

}  // namespace node_metrics
}  // namespace keles::node
