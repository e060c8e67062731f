// /metrics/cadvisor: what cAdvisor tells of cgroups, under its names: of the node ("/"), all pods,
// each pod, and each container. Families that need what the kernel does not count for a cgroup as
// such (block devices, TCP's states) are not there.
#include "node/server/reports.h"
#include "node/stats/prometheus_text.h"

namespace keles::node {
namespace {

using Family = PrometheusText::Family;

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }
double micros(uint64_t us) { return static_cast<double>(us) / 1e6; }
double number(uint64_t n) { return static_cast<double>(n); }

// One value of a cgroup.
struct Value {
  const char *name, *type, *help;
  double (*of)(const CgroupStats&);
  // Whether there is one; null: always.
  bool (*there)(const CgroupStats&) = nullptr;
  bool told = false;  // by runtimes, too
};

bool has_quota(const CgroupStats& s) { return s.cpu_quota_us > 0; }
bool has_swap(const CgroupStats& s) { return s.has_swap; }

constexpr const char* kCounter = "counter";
constexpr const char* kGauge = "gauge";

constexpr Value kValues[] = {
    {"container_cpu_user_seconds_total", kCounter, "Cumulative user cpu time consumed in seconds.",
     [](const CgroupStats& s) { return seconds(s.cpu_user_ns); }},
    {"container_cpu_system_seconds_total", kCounter,
     "Cumulative system cpu time consumed in seconds.",
     [](const CgroupStats& s) { return seconds(s.cpu_system_ns); }},
    {"container_cpu_cfs_periods_total", kCounter, "Number of elapsed enforcement period intervals.",
     [](const CgroupStats& s) { return number(s.cpu_periods); }, has_quota},
    {"container_cpu_cfs_throttled_periods_total", kCounter, "Number of throttled period intervals.",
     [](const CgroupStats& s) { return number(s.throttled_periods); }, has_quota},
    {"container_cpu_cfs_throttled_seconds_total", kCounter,
     "Total time duration the container has been throttled.",
     [](const CgroupStats& s) { return seconds(s.throttled_ns); }, has_quota},
    {"container_memory_cache", kGauge, "Number of bytes of page cache memory.",
     [](const CgroupStats& s) { return number(s.cache); }},
    {"container_memory_rss", kGauge, "Size of RSS in bytes.",
     [](const CgroupStats& s) { return number(s.rss); }, nullptr, true},
    {"container_memory_kernel_usage", kGauge, "Size of kernel memory allocated in bytes.",
     [](const CgroupStats& s) { return number(s.kernel); }},
    {"container_memory_mapped_file", kGauge, "Size of memory mapped files in bytes.",
     [](const CgroupStats& s) { return number(s.mapped_file); }},
    {"container_memory_swap", kGauge, "Container swap usage in bytes.",
     [](const CgroupStats& s) { return number(s.swap); }, has_swap},
    {"container_memory_failcnt", kCounter, "Number of memory usage hits limits",
     [](const CgroupStats& s) { return number(s.memory_failures); }},
    {"container_memory_usage_bytes", kGauge,
     "Current memory usage in bytes, including all memory regardless of when it was accessed",
     [](const CgroupStats& s) { return number(s.memory); }, nullptr, true},
    {"container_memory_max_usage_bytes", kGauge, "Maximum memory usage recorded in bytes",
     [](const CgroupStats& s) { return number(s.max_memory); }},
    {"container_memory_working_set_bytes", kGauge, "Current working set in bytes.",
     [](const CgroupStats& s) { return number(s.working_set); }, nullptr, true},
    {"container_memory_total_active_file_bytes", kGauge, "Current total active file in bytes.",
     [](const CgroupStats& s) { return number(s.active_file); }},
    {"container_memory_total_inactive_file_bytes", kGauge, "Current total inactive file in bytes.",
     [](const CgroupStats& s) { return number(s.inactive_file); }},
    {"container_oom_events_total", kCounter,
     "Count of out of memory events observed for the container",
     [](const CgroupStats& s) { return number(s.oom_kills); }},
    {"container_processes", kGauge, "Number of processes running inside the container.",
     [](const CgroupStats& s) { return number(s.processes); },
     [](const CgroupStats& s) { return s.processes > 0; }},
    {"container_threads", kGauge, "Number of threads running inside the container",
     [](const CgroupStats& s) { return number(s.threads); }},
    {"container_threads_max", kGauge,
     "Maximum number of threads allowed inside the container, infinity if value is zero",
     [](const CgroupStats& s) { return number(s.max_threads); }},
    {"container_spec_cpu_period", kGauge, "CPU period of the container.",
     [](const CgroupStats& s) { return number(s.cpu_period_us); }},
    {"container_spec_cpu_quota", kGauge, "CPU quota of the container.",
     [](const CgroupStats& s) { return static_cast<double>(s.cpu_quota_us); }, has_quota},
    {"container_spec_cpu_shares", kGauge, "CPU share of the container.",
     [](const CgroupStats& s) { return number(s.cpu_shares); }},
    {"container_spec_memory_limit_bytes", kGauge, "Memory limit for the container.",
     [](const CgroupStats& s) { return number(s.memory_limit); }},
    {"container_spec_memory_swap_limit_bytes", kGauge, "Memory swap limit for the container.",
     [](const CgroupStats& s) { return number(s.swap_limit); }},
};

// One of a cgroup's pressures: tasks wait (some) or nothing goes on (full).
struct Stall {
  const char *name, *help;
  std::optional<StallPressure> CgroupStats::*of;
  bool full;
};
const Stall kStalls[] = {
    {"container_pressure_cpu_stalled_seconds_total",
     "Total time duration no tasks in the container could make progress due to CPU congestion.",
     &CgroupStats::cpu_pressure, true},
    {"container_pressure_cpu_waiting_seconds_total",
     "Total time duration tasks in the container have waited due to CPU congestion.",
     &CgroupStats::cpu_pressure, false},
    {"container_pressure_memory_stalled_seconds_total",
     "Total time duration no tasks in the container could make progress due to memory congestion.",
     &CgroupStats::memory_pressure, true},
    {"container_pressure_memory_waiting_seconds_total",
     "Total time duration tasks in the container have waited due to memory congestion.",
     &CgroupStats::memory_pressure, false},
    {"container_pressure_io_stalled_seconds_total",
     "Total time duration no tasks in the container could make progress due to IO congestion.",
     &CgroupStats::io_pressure, true},
    {"container_pressure_io_waiting_seconds_total",
     "Total time duration tasks in the container have waited due to IO congestion.",
     &CgroupStats::io_pressure, false},
};

struct Direction {
  const char *name, *help;
  uint64_t InterfaceStats::*of;
};
constexpr Direction kDirections[] = {
    {"container_network_receive_bytes_total", "Cumulative count of bytes received",
     &InterfaceStats::rx_bytes},
    {"container_network_receive_packets_total", "Cumulative count of packets received",
     &InterfaceStats::rx_packets},
    {"container_network_receive_packets_dropped_total",
     "Cumulative count of packets dropped while receiving", &InterfaceStats::rx_dropped},
    {"container_network_receive_errors_total",
     "Cumulative count of errors encountered while receiving", &InterfaceStats::rx_errors},
    {"container_network_transmit_bytes_total", "Cumulative count of bytes transmitted",
     &InterfaceStats::tx_bytes},
    {"container_network_transmit_packets_total", "Cumulative count of packets transmitted",
     &InterfaceStats::tx_packets},
    {"container_network_transmit_packets_dropped_total",
     "Cumulative count of packets dropped while transmitting", &InterfaceStats::tx_dropped},
    {"container_network_transmit_errors_total",
     "Cumulative count of errors encountered while transmitting", &InterfaceStats::tx_errors},
};

// Who a series is about.
struct About {
  std::string container, id, image, name, ns, pod;
  std::string labels() const {
    return PrometheusText::labels({{"container", container},
                                   {"id", id},
                                   {"image", image},
                                   {"name", name},
                                   {"namespace", ns},
                                   {"pod", pod}});
  }
  std::string labels(std::string_view more, std::string_view value) const {
    return labels() + "," + PrometheusText::labels({{more, value}});
  }
};

class Exposition {
 public:
  explicit Exposition(const NodeFigures& f) : at_ms_(f.at.ns / 1'000'000) {
    usage_ = text_.family("container_cpu_usage_seconds_total", kCounter,
                          "Cumulative cpu time consumed in seconds.");
    for (const Value& v : kValues) values_.push_back(text_.family(v.name, v.type, v.help));
    faults_ = text_.family("container_memory_failures_total", kCounter,
                           "Cumulative count of memory allocation failures.");
    for (const Stall& s : kStalls) stalls_.push_back(text_.family(s.name, kCounter, s.help));
    for (const Direction& d : kDirections) {
      directions_.push_back(text_.family(d.name, kCounter, d.help));
    }
    fs_ = text_.family("container_fs_usage_bytes", kGauge,
                       "Number of bytes that are consumed by the container on this filesystem.");
    seen_ = text_.family("container_last_seen", kGauge,
                         "Last time a container was seen by the exporter");
    starts_ = text_.family("container_start_time_seconds", kGauge,
                           "Start time of the container since unix epoch in seconds.");
    error_ = text_.family("container_scrape_error", kGauge,
                          "1 if there was an error while getting container metrics, 0 otherwise");
    cores_ = text_.family("machine_cpu_cores", kGauge, "Number of logical CPU cores.");
    memory_ =
        text_.family("machine_memory_bytes", kGauge, "Amount of memory installed on the machine.");
    swap_ = text_.family("machine_swap_bytes", kGauge,
                         "Amount of swap memory available on the machine.");
  }

  // `told` by the runtime alone: of a container that has no cgroup here.
  void cgroup(const About& about, const CgroupStats& s, bool told = false) {
    if (!s.known) return;
    const std::string labels = about.labels();
    put(usage_, about.labels("cpu", "total"), seconds(s.cpu_ns));
    for (size_t i = 0; i < values_.size(); ++i) {
      if (kValues[i].there && !kValues[i].there(s)) continue;
      if (told && !kValues[i].told) continue;
      put(values_[i], labels, kValues[i].of(s));
    }
    for (size_t i = 0; i < stalls_.size(); ++i) {
      const std::optional<StallPressure>& p = s.*kStalls[i].of;
      if (!p) continue;
      put(stalls_[i], labels, micros(kStalls[i].full ? p->full.total_us : p->some.total_us));
    }
    for (auto [type, n] :
         {std::pair("pgfault", s.page_faults), std::pair("pgmajfault", s.major_page_faults)}) {
      put(faults_,
          labels + "," + PrometheusText::labels({{"failure_type", type}, {"scope", "hierarchy"}}),
          number(n));
    }
    put(seen_, labels, static_cast<double>(at_ms_ / 1000));
  }
  void interfaces(const About& about, const std::vector<InterfaceStats>& all) {
    for (const InterfaceStats& i : all) {
      const std::string labels = about.labels("interface", i.name);
      for (size_t d = 0; d < directions_.size(); ++d) {
        put(directions_[d], labels, number(i.*kDirections[d].of));
      }
    }
  }
  void container(const About& about, const ContainerFigures& c) {
    cgroup(about, c.use.stats, c.use.cgroup.empty());
    put(fs_, about.labels("device", ""), number(c.root_bytes + c.logs.bytes));
    put(starts_, about.labels(), static_cast<double>(c.started_ns / 1'000'000'000));
  }
  std::string finish(const NodeFigures& f, int64_t cpus, int64_t memory_bytes) {
    PrometheusText::add(error_, "", f.runtime.ok() ? 0 : 1);
    PrometheusText::add(cores_, "", static_cast<double>(cpus));
    PrometheusText::add(memory_, "", static_cast<double>(memory_bytes));
    PrometheusText::add(swap_, "", number(f.swap_total));
    return text_.text();
  }

 private:
  void put(Family* f, const std::string& labels, double value) {
    PrometheusText::add(f, labels, value, at_ms_);
  }
  int64_t at_ms_;
  PrometheusText text_;
  Family *usage_, *faults_, *fs_, *seen_, *starts_, *error_, *cores_, *memory_, *swap_;
  std::vector<Family*> values_, stalls_, directions_;
};

}  // namespace

std::string container_metrics(const NodeFigures& figures, int64_t cpus, int64_t memory_bytes) {
  Exposition out(figures);
  About node;
  node.id = "/";
  out.cgroup(node, figures.node.stats);
  out.interfaces(node, figures.interfaces);
  About all;
  all.id = figures.all_pods.cgroup;
  out.cgroup(all, figures.all_pods.stats);
  for (const PodFigures& p : figures.pods) {
    if (!p.runs()) continue;
    About pod;
    pod.id = p.use.cgroup;
    pod.ns = p.ns;
    pod.pod = p.name;
    out.cgroup(pod, p.use.stats);
    // As cAdvisor tells of the network: by the sandbox, which has it.
    About sandbox = pod;
    sandbox.name = p.sandbox_id;
    sandbox.id = p.use.cgroup + "/" + p.sandbox_id;
    out.interfaces(sandbox, p.interfaces);
    for (const ContainerFigures& c : p.containers) {
      About about = pod;
      about.container = c.name;
      about.id = c.use.cgroup;
      about.image = c.image;
      about.name = c.id;
      out.container(about, c);
    }
  }
  return out.finish(figures, cpus, memory_bytes);
}

}  // namespace keles::node
