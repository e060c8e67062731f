#include "node/node_metrics.h"

#include <array>
#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/metrics.h"
#include "node/server/node_server.h"

namespace keles::node::node_metrics {
namespace {

constexpr const char* kKinds[] = {"container", "init_container", "ephemeral_container"};

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

// How many pods there are, and what they have been given besides.
void look_at_pods(const NodeView& view) {
  static metrics::Gauge& version =
      metrics::gauge("kubelet_cgroup_version", "cgroup version on the hosts.", {});
  static metrics::Gauge& desired = metrics::gauge(
      "kubelet_desired_pods",
      "The number of pods the kubelet is being instructed to run. static is true if the pod is not "
      "from the apiserver.",
      {"static"});
  static metrics::Gauge& active = metrics::gauge(
      "kubelet_active_pods",
      "The number of pods the kubelet considers active and which are being considered when "
      "admitting new pods. static is true if the pod is not from the apiserver.",
      {"static"});
  static metrics::Gauge& ephemeral =
      metrics::gauge("kubelet_managed_ephemeral_containers",
                     "Current number of ephemeral containers in pods managed by this kubelet.", {});
  version.set(path_exists(view.cgroup_mount() + "/cgroup.controllers") ? 2 : 1);
  std::map<std::string, std::pair<int, int>> by_source{{"", {}}, {"true", {}}};
  int debuggers = 0;
  for (const PodWorker* w : view.workers()) {
    const auto meta = w->pod()->metadata();
    const bool fixed = meta.annotations().contains("kubernetes.io/config.source") &&
                       meta.annotations().get("kubernetes.io/config.source") != "api";
    auto& [all, holding] = by_source[fixed ? "true" : ""];
    ++all;
    if (w->holds_room()) ++holding;
    debuggers += static_cast<int>(w->pod()->spec().ephemeral_containers().size());
  }
  for (const auto& [source, n] : by_source) {
    desired.with({source}).set(n.first);
    active.with({source}).set(n.second);
  }
  ephemeral.set(debuggers);
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
  look_at_pods(view);
  for (const auto& [state, n] : by_state) containers.with({state}).set(n);
}

void sandbox_started(const std::string& handler, Duration took, bool ok) {
  static metrics::Counter& pods =
      metrics::counter("kubelet_started_pods_total", "Cumulative number of pods started", {});
  static metrics::Counter& failed = metrics::counter(
      "kubelet_started_pods_errors_total", "Cumulative number of errors when starting pods", {});
  static metrics::Histogram& durations = metrics::histogram(
      "kubelet_run_podsandbox_duration_seconds",
      "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
      {"runtime_handler"}, usual_buckets());
  static metrics::Counter& errors = metrics::counter(
      "kubelet_run_podsandbox_errors_total",
      "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
      {"runtime_handler"});
  pods.add();
  durations.with({handler}).observe(seconds(took));
  if (ok) return;
  failed.add();
  errors.with({handler}).add();
}

void container_started(ContainerKind kind) {
  static metrics::Counter& m =
      metrics::counter("kubelet_started_containers_total",
                       "Cumulative number of containers started", {"container_type"});
  m.with({kKinds[static_cast<int>(kind)]}).add();
}

void container_not_started(ContainerKind kind, std::string_view why) {
  static metrics::Counter& m = metrics::counter(
      "kubelet_started_containers_errors_total",
      "Cumulative number of errors when starting containers", {"container_type", "code"});
  m.with({kKinds[static_cast<int>(kind)], std::string(why)}).add();
}

void status_changed(const Value& before, const Value& now) {
  static metrics::Counter& m = metrics::counter("kubelet_terminated_containers_total",
                                                "Cumulative number of container terminations.",
                                                {"container_type", "exit_code", "reason"});
  constexpr const char* kLists[] = {"containerStatuses", "initContainerStatuses",
                                    "ephemeralContainerStatuses"};
  for (size_t i = 0; i < std::size(kLists); ++i) {
    for (const Value& c : now[kLists[i]].items()) {
      const Value& ended = c["state"]["terminated"];
      if (ended.is_null()) continue;
      bool known = false;
      for (const Value& old : before[kLists[i]].items()) {
        known = known || (old["name"].as_string() == c["name"].as_string() &&
                          !old["state"]["terminated"].is_null());
      }
      if (known) continue;
      m.with({kKinds[i], std::to_string(ended["exitCode"].as_int()),
              std::string(ended["reason"].as_string())})
          .add();
    }
  }
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

void graceful_shutdown(WallTime began, WallTime ended) {
  static metrics::Gauge& start =
      metrics::gauge("kubelet_graceful_shutdown_start_time_seconds",
                     "Last graceful shutdown start time since unix epoch in seconds", {});
  static metrics::Gauge& end =
      metrics::gauge("kubelet_graceful_shutdown_end_time_seconds",
                     "Last graceful shutdown end time since unix epoch in seconds", {});
  start.set(static_cast<double>(began.unix_seconds()));
  end.set(static_cast<double>(ended.unix_seconds()));
}

}  // namespace keles::node::node_metrics
