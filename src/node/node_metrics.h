// What the kubelet tells of itself in Prometheus text, under upstream's names
// (pkg/kubelet/metrics). Any thread, but for look().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/value.h"

namespace keles::node {

class NodeView;

namespace node_metrics {

// What is looked at when it is asked for: kubelet_node_name, kubelet_running_pods,
// kubelet_running_containers, and how long the certificates still hold.
void look(const NodeView& view, WallTime now);
// A round of a pod's worker: "create" its first, "update" after a change of the pod, "sync".
void worker_round(std::string_view operation, Duration took);
// From when the kubelet saw the pod to when all of it ran.
void pod_started(Duration took);
// A sandbox was asked for: it took so long, with which of the runtime's handlers.
void sandbox_started(const std::string& handler, Duration took, bool ok);
// A container is started; then, if it did not come to it, why ("RunContainerError"). `role`: as
// pods/containers.h has them.
enum class ContainerKind : uint8_t { kMain, kInit, kEphemeral };
void container_started(ContainerKind kind);
void container_not_started(ContainerKind kind, std::string_view why);
// Counts the containers that have ended by `now`, a pod's status, and had not by `before`.
void status_changed(const Value& before, const Value& now);
// When the certificate that is served with (or shown to the API server) ends; the time left is
// told.
void certificate_ends(bool serving, WallTime end);
void certificate_not_renewed(bool serving);
// When the node's last graceful shutdown began and ended; 0: there was none, or it has not.
void graceful_shutdown(WallTime began, WallTime ended);

}  // namespace node_metrics
}  // namespace keles::node
