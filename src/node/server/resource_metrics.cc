// /metrics/resource (KEP-1916): the processors' time and the memory of the node, its pods and their
// containers, each with the time at which it was read. What autoscalers and `kubectl top` go by.
#include "node/server/reports.h"
#include "node/stats/prometheus_text.h"

namespace keles::node {
namespace {

using Family = PrometheusText::Family;

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }
double number(uint64_t n) { return static_cast<double>(n); }

// Of one of: node, pod, container.
struct Of {
  Family *cpu, *memory, *swap;
  void add(const CgroupStats& s, const std::string& labels, int64_t at_ms) const {
    PrometheusText::add(cpu, labels, seconds(s.cpu_ns), at_ms);
    PrometheusText::add(memory, labels, number(s.working_set), at_ms);
    if (s.has_swap) PrometheusText::add(swap, labels, number(s.swap), at_ms);
  }
};

Of families(PrometheusText& text, const std::string& what) {
  const std::string stable = "[STABLE] ";
  return {text.family(what + "_cpu_usage_seconds_total", "counter",
                      stable + "Cumulative cpu time consumed by the " + what + " in core-seconds"),
          text.family(what + "_memory_working_set_bytes", "gauge",
                      stable + "Current working set of the " + what + " in bytes"),
          text.family(what + "_swap_usage_bytes", "gauge",
                      "[ALPHA] Current amount of the " + what +
                          " swap usage in bytes. Reported only on non-windows systems")};
}

}  // namespace

std::string resource_metrics(const NodeFigures& figures) {
  PrometheusText text;
  const Of containers = families(text, "container");
  Family* limits = text.family("container_swap_limit_bytes", "gauge",
                               "[ALPHA] Current amount of the container swap limit in bytes. "
                               "Reported only on non-windows systems");
  Family* starts = text.family("container_start_time_seconds", "gauge",
                               "[STABLE] Start time of the container since unix epoch in seconds");
  const Of node = families(text, "node");
  const Of pods = families(text, "pod");
  Family* fault = text.family("resource_scrape_error", "gauge",
                              "[STABLE] 1 if there was an error while getting container metrics, 0 "
                              "otherwise");
  const int64_t now_ms = figures.at.ns / 1'000'000;
  if (figures.node.stats.known) node.add(figures.node.stats, "", now_ms);
  for (const PodFigures& p : figures.pods) {
    if (!p.runs()) continue;
    for (const ContainerFigures& c : p.containers) {
      if (!c.use.stats.known) continue;
      const std::string labels =
          PrometheusText::labels({{"container", c.name}, {"namespace", p.ns}, {"pod", p.name}});
      containers.add(c.use.stats, labels, now_ms);
      if (c.use.stats.swap_limit) {
        PrometheusText::add(limits, labels, number(c.use.stats.swap_limit), now_ms);
      }
      if (c.started_ns) {
        PrometheusText::add(starts, labels, static_cast<double>(c.started_ns) / 1e9);
      }
    }
    if (!p.use.stats.known) continue;
    pods.add(p.use.stats, PrometheusText::labels({{"namespace", p.ns}, {"pod", p.name}}), now_ms);
  }
  PrometheusText::add(fault, "", figures.runtime.ok() ? 0 : 1);
  return text.text();
}

}  // namespace keles::node
