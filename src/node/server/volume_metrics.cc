// The claims of this node's pods in /metrics: kubelet_volume_stats_*.
#include <set>
#include <utility>

#include "node/server/reports.h"
#include "node/stats/prometheus_text.h"

namespace keles::node {

std::string volume_metrics(const NodeFigures& figures) {
  PrometheusText text;
  using Fs = FileSystemStats;
  struct Figure {
    const char *name, *help;
    uint64_t Fs::*value;
  };
  constexpr Figure kFigures[] = {
      {"available_bytes", "Number of available bytes in the volume", &Fs::available},
      {"capacity_bytes", "Capacity in bytes of the volume", &Fs::capacity},
      {"inodes", "Maximum number of inodes in the volume", &Fs::inodes},
      {"inodes_free", "Number of free inodes in the volume", &Fs::inodes_free},
      {"inodes_used", "Number of used inodes in the volume", &Fs::inodes_used},
      {"used_bytes", "Number of used bytes in the volume", &Fs::used},
  };
  for (const Figure& figure : kFigures) {
    auto* family = text.family(std::string("kubelet_volume_stats_") + figure.name, "gauge",
                               std::string("[ALPHA] ") + figure.help);
    std::set<std::pair<std::string, std::string>> told;  // pods may share a claim
    for (const PodFigures& p : figures.pods) {
      for (const VolumeUsage& v : p.claimed) {
        if (v.claim.empty() || !told.insert({p.ns, v.claim}).second) continue;
        PrometheusText::add(
            family,
            PrometheusText::labels({{"namespace", p.ns}, {"persistentvolumeclaim", v.claim}}),
            static_cast<double>(v.fs.*figure.value));
      }
    }
  }
  return text.text();
}

}  // namespace keles::node
