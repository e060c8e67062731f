#include "node/probes/probe_metrics.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "node/stats/prometheus_text.h"

namespace keles::node {
namespace {

std::string shortest(double v) {
  char text[40];
  return std::string(text, std::to_chars(text, text + sizeof text, v).ptr);
}

}  // namespace

void ProbeMetrics::observe(const Of& of, bool success, Duration took) {
  Counts& c = counts_[of];
  if (!success) {
    ++c.failed;
    return;
  }
  ++c.successful;
  const double s = static_cast<double>(took.count()) / 1e9;
  c.seconds += s;
  ++c.took[static_cast<size_t>(std::lower_bound(kBounds.begin(), kBounds.end(), s) -
                               kBounds.begin())];
}

void ProbeMetrics::forget(std::string_view uid) {
  std::erase_if(counts_, [uid](const auto& e) { return e.first.uid == uid; });
}

void ProbeMetrics::Counts::add(const Counts& other) {
  successful += other.successful;
  seconds += other.seconds;
  for (size_t i = 0; i < took.size(); ++i) took[i] += other.took[i];
}

std::string ProbeMetrics::histogram(const Of& of, const Counts& c) {
  if (!c.successful) return "";
  const std::string name = "prober_probe_duration_seconds";
  const std::string who = PrometheusText::labels({{"container", of.container},
                                                  {"namespace", of.ns},
                                                  {"pod", of.pod},
                                                  {"probe_type", of.type}});
  uint64_t below = 0;
  std::string series;
  for (size_t i = 0; i < c.took.size(); ++i) {
    below += c.took[i];
    const std::string bound = i < kBounds.size() ? shortest(kBounds[i]) : "+Inf";
    series += name + "_bucket{" + who + ",le=\"" + bound + "\"} " + std::to_string(below) + "\n";
  }
  series += name + "_sum{" + who + "} " + shortest(c.seconds) + "\n";
  return series + name + "_count{" + who + "} " + std::to_string(c.successful) + "\n";
}

std::string ProbeMetrics::text(double process_start_seconds) const {
  PrometheusText text;
  auto* started = text.family("process_start_time_seconds", "gauge",
                              "[ALPHA] Start time of the process since unix epoch in seconds.");
  auto* durations = text.family("prober_probe_duration_seconds", "histogram",
                                "[ALPHA] Duration in seconds for a probe response.");
  auto* totals = text.family("prober_probe_total", "counter",
                             "[BETA] Cumulative number of a liveness, readiness or startup probe "
                             "for a container by result.");
  PrometheusText::add(started, "", process_start_seconds);
  Counts both;
  for (auto it = counts_.begin(); it != counts_.end(); ++it) {
    const auto& [of, c] = *it;
    for (auto [result, n] : {std::pair("failed", c.failed), {"successful", c.successful}}) {
      if (!n) continue;
      const std::string labels = PrometheusText::labels({{"container", of.container},
                                                         {"namespace", of.ns},
                                                         {"pod", of.pod},
                                                         {"pod_uid", of.uid},
                                                         {"probe_type", of.type},
                                                         {"result", result}});
      PrometheusText::add(totals, labels, static_cast<double>(n));
    }
    // Times are told without the uid: of two pods of one name together.
    both.add(c);
    const auto next = std::next(it);
    if (next != counts_.end() && next->first.same_but_uid(of)) continue;
    durations->series += histogram(of, both);
    both = Counts();
  }
  return text.text();
}

}  // namespace keles::node
