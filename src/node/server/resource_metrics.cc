// /metrics/resource (KEP-1916): the processors' time and the memory of the node, its pods and their
// containers, each with the time at which it was read. What autoscalers and `kubectl top` go by.
#include <array>
#include <charconv>

#include "machinery/time.h"
#include "node/pods/labels.h"
#include "node/server/node_server.h"

namespace keles::node {
namespace {

struct FamilyText {
  const char *name, *type, *help;
  std::string series = {};
};

enum FamilyIndex : size_t {
  kContainerCpu,
  kContainerMemory,
  kContainerStart,
  kNodeCpu,
  kNodeMemory,
  kPodCpu,
  kPodMemory,
  kScrapeError,
  kFamilies
};

std::array<FamilyText, kFamilies> families() {
  return {{{"container_cpu_usage_seconds_total", "counter",
            "Cumulative cpu time consumed by the container in core-seconds"},
           {"container_memory_working_set_bytes", "gauge",
            "Current working set of the container in bytes"},
           {"container_start_time_seconds", "gauge",
            "Start time of the container since unix epoch in seconds"},
           {"node_cpu_usage_seconds_total", "counter",
            "Cumulative cpu time consumed by the node in core-seconds"},
           {"node_memory_working_set_bytes", "gauge", "Current working set of the node in bytes"},
           {"pod_cpu_usage_seconds_total", "counter",
            "Cumulative cpu time consumed by the pod in core-seconds"},
           {"pod_memory_working_set_bytes", "gauge", "Current working set of the pod in bytes"},
           {"resource_scrape_error", "gauge",
            "1 if there was an error while getting container metrics, 0 otherwise"}}};
}

// `at_ms` 0: without a time of its own.
void add(FamilyText& f, const std::string& labels, double value, int64_t at_ms) {
  char text[40];
  auto end = std::to_chars(text, text + sizeof text, value).ptr;
  f.series.append(f.name).append(labels).append(" ").append(text, end);
  if (at_ms) f.series.append(" ").append(std::to_string(at_ms));
  f.series += '\n';
}

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

// When the container runs since, as the pod's status has it; 0 when it does not tell.
int64_t started_ns(const Value& status, std::string_view container) {
  for (std::string_view list : {"containerStatuses", "initContainerStatuses"}) {
    for (const Value& c : status[list].items()) {
      if (c["name"].as_string() != container) continue;
      auto at = parse_time(c["state"]["running"]["startedAt"].as_string());
      return at.ok() ? at->ns : 0;
    }
  }
  return 0;
}

std::string label(const std::map<std::string, std::string>& m, const char* key) {
  auto it = m.find(key);
  return it == m.end() ? "" : it->second;
}

}  // namespace

Task<Result<std::string>> resource_metrics(Context ctx, const NodeView* view,
                                           cri::Runtime* runtime) {
  auto stats = co_await runtime->list_container_stats(ctx);
  std::array<FamilyText, kFamilies> all = families();
  add(all[kScrapeError], "", stats.ok() ? 0 : 1, 0);
  const int64_t now_ms = ctx.loop().wall_now().ns / 1'000'000;
  if (stats.ok()) {
    const CgroupDriver::Usage node = view->node_usage();
    add(all[kNodeCpu], "", seconds(node.cpu_ns), now_ms);
    add(all[kNodeMemory], "", static_cast<double>(node.working_set_bytes), now_ms);
    for (const PodWorker* w : view->workers()) {
      auto meta = w->pod()->metadata();
      const std::string pod = "namespace=\"" + std::string(meta.namespace_()) + "\",pod=\"" +
                              std::string(meta.name()) + "\"} ";
      Document now = w->current();
      bool runs = false;
      for (const cri::ContainerStats& s : *stats) {
        if (label(s.labels, kPodUidLabel) != w->uid()) continue;
        runs = true;
        const std::string name = label(s.labels, kContainerNameLabel);
        const std::string labels = "{container=\"" + name + "\"," + pod.substr(0, pod.size() - 1);
        const int64_t at_ms = s.cpu_time_ns ? s.cpu_time_ns / 1'000'000 : now_ms;
        add(all[kContainerCpu], labels, seconds(s.cpu_usage_ns), at_ms);
        add(all[kContainerMemory], labels, static_cast<double>(s.memory_working_set_bytes), at_ms);
        if (const int64_t since = started_ns(now.root["status"], name)) {
          add(all[kContainerStart], labels, static_cast<double>(since) / 1e9, 0);
        }
      }
      if (!runs) continue;
      const CgroupDriver::Usage use = view->pod_usage(*w);
      const std::string labels = "{" + pod.substr(0, pod.size() - 1);
      add(all[kPodCpu], labels, seconds(use.cpu_ns), now_ms);
      add(all[kPodMemory], labels, static_cast<double>(use.working_set_bytes), now_ms);
    }
  }
  std::string out;
  for (const FamilyText& f : all) {
    if (f.series.empty()) continue;
    out.append("# HELP ").append(f.name).append(" [STABLE] ").append(f.help).append("\n# TYPE ");
    out.append(f.name).append(" ").append(f.type).append("\n").append(f.series);
  }
  co_return out;
}

}  // namespace keles::node
