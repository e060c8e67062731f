#include "node/node_metrics.h"

#include <array>
#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "node/server/node_server.h"

namespace keles::node::node_metrics {
namespace {

double seconds(Duration d) { return static_cast<double>(d.count()) / 1e9; }

const std::vector<double>& usual_buckets() {
  static const std::vector<double> b{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
  return b;
}

// When the client's and the serving certificate end; 0: not known.
std::array<std::atomic<int64_t>, 2>& ends() {
  static std::array<std::atomic<int64_t>, 2> at{};
  return at;
}

}  // namespace

void look(const NodeView& view, WallTime now) {
  static metrics::Gauge& client_ttl =
      metrics::gauge("kubelet_certificate_manager_client_ttl_seconds",
                     "Gauge of the TTL (time-to-live) of the Kubelet's client certificate. The "
                     "value is in seconds "
                     "until certificate expiry (negative if already expired).",
                     {});
  static metrics::Gauge& server_ttl = metrics::gauge(
      "kubelet_certificate_manager_server_ttl_seconds",
      "Gauge of the shortest TTL (time-to-live) of the Kubelet's serving certificate. The value is "
      "in seconds until certificate expiry (negative if already expired).",
      {});
  if (const int64_t end = ends()[0]) client_ttl.set(seconds(WallTime{end} - now));
  if (const int64_t end = ends()[1]) server_ttl.set(seconds(WallTime{end} - now));
  static metrics::Gauge& name =
      metrics::gauge("kubelet_node_name", "The node's name. The count is always 1.", {"node"});
  static metrics::Gauge& pods =
      metrics::gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", {});
  static metrics::Gauge& containers = metrics::gauge(
      "kubelet_running_containers", "Number of containers currently running", {"container_state"});
  name.with({view.node_name()}).set(1);
  int ready = 0;
  std::map<std::string, int> by_state{
      {"created", 0}, {"exited", 0}, {"running", 0}, {"unknown", 0}};
  for (const PodWorker* w : view.workers()) {
    if (w->actual().ready_sandbox()) ++ready;
    for (const cri::Container& c : w->actual().containers) {
      const char* state = c.state == cri::ContainerState::kRunning   ? "running"
                          : c.state == cri::ContainerState::kExited  ? "exited"
                          : c.state == cri::ContainerState::kCreated ? "created"
                                                                     : "unknown";
      ++by_state[state];
    }
  }
  pods.set(ready);
  for (const auto& [state, n] : by_state) containers.with({state}).set(n);
}

void worker_round(std::string_view operation, Duration took) {
  static metrics::Histogram& m = metrics::histogram(
      "kubelet_pod_worker_duration_seconds",
      "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or "
      "sync",
      {"operation_type"}, usual_buckets());
  m.with({std::string(operation)}).observe(seconds(took));
}

void pod_started(Duration took) {
  static metrics::Histogram& m = metrics::histogram(
      "kubelet_pod_start_duration_seconds",
      "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
      {}, {.5,  1,   2,   3,   4,   5,   6,   8,   10,   20,   30,   45,  60,
           120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600});
  m.observe(seconds(took));
}

void certificate_ends(bool serving, WallTime end) { ends()[serving ? 1 : 0] = end.ns; }

void certificate_not_renewed(bool serving) {
  static metrics::Counter& client =
      metrics::counter("kubelet_certificate_manager_client_expiration_renew_errors",
                       "Counter of certificate renewal errors.", {});
  static metrics::Counter& server = metrics::counter("kubelet_server_expiration_renew_errors",
                                                     "Counter of certificate renewal errors.", {});
  (serving ? server : client).add();
}

}  // namespace keles::node::node_metrics
