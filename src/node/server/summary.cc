// /stats/summary (k8s.io/kubelet/pkg/apis/stats/v1alpha1). A pointer of upstream's that is not set
// is absent here.
#include <algorithm>
#include <cstdio>

#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "node/server/reports.h"

namespace keles::node {
namespace {

// Builds JSON text; names are literals.
class Json {
 public:
  Json& open(const char* name, char bracket = '{') {
    key(name);
    out_ += bracket;
    fresh_ = true;
    return *this;
  }
  Json& close(char bracket = '}') {
    out_ += bracket;
    fresh_ = false;
    return *this;
  }
  Json& number(const char* name, uint64_t v) {
    key(name);
    out_ += std::to_string(v);
    return *this;
  }
  Json& decimal(const char* name, double v) {
    char text[40];
    std::snprintf(text, sizeof text, "%.2f", v);
    key(name);
    out_ += text;
    return *this;
  }
  Json& text(const char* name, std::string_view v) {
    key(name);
    write_json_string(out_, v);
    return *this;
  }
  std::string take() { return std::move(out_); }

 private:
  void key(const char* name) {
    if (!fresh_) out_ += ',';
    fresh_ = false;
    if (name && *name) {
      write_json_string(out_, name);
      out_ += ':';
    }
  }
  std::string out_;
  bool fresh_ = true;
};

void pressure(Json& j, const std::optional<StallPressure>& p) {
  if (!p) return;
  j.open("psi");
  for (auto [name, line] : {std::pair("full", &p->full), std::pair("some", &p->some)}) {
    j.open(name).number("total", line->total_us).decimal("avg10", line->avg10);
    j.decimal("avg60", line->avg60).decimal("avg300", line->avg300).close();
  }
  j.close();
}

class Report {
 public:
  Report(const NodeFigures& f, bool all) : f_(f), all_(all), stamp_(format_time(f.at)) {}

  std::string write(const std::string& node_name) {
    j_.open("").open("node").text("nodeName", node_name);
    system_containers();
    j_.text("startTime", f_.booted ? format_time(*f_.booted) : "");
    use(f_.node, f_.swap_total);
    if (all_) {
      network(f_.interfaces);
      if (f_.root) file_system("fs", *f_.root, f_.root->used, f_.root->inodes_used);
      runtime();
      limits();
    }
    j_.close();
    j_.open("pods", '[');
    for (const PodFigures& p : f_.pods) {
      if (p.runs()) pod(p);
    }
    j_.close(']').close();
    return j_.take();
  }

 private:
  void use(const Use& u, uint64_t swap_total = 0) {
    const CgroupStats& s = u.stats;
    if (!s.known) return;
    j_.open("cpu").text("time", stamp_);
    if (u.nano_cores) j_.number("usageNanoCores", *u.nano_cores);
    j_.number("usageCoreNanoSeconds", s.cpu_ns);
    pressure(j_, s.cpu_pressure);
    j_.close().open("memory").text("time", stamp_);
    if (s.memory_limit) {
      j_.number("availableBytes", s.memory_limit - std::min(s.memory_limit, s.working_set));
    }
    j_.number("usageBytes", s.memory).number("workingSetBytes", s.working_set);
    j_.number("rssBytes", s.rss).number("pageFaults", s.page_faults);
    j_.number("majorPageFaults", s.major_page_faults);
    pressure(j_, s.memory_pressure);
    j_.close();
    if (s.io_pressure) {
      j_.open("io").text("time", stamp_);
      pressure(j_, s.io_pressure);
      j_.close();
    }
    if (!s.has_swap) return;
    const uint64_t most = swap_total ? swap_total : s.swap_limit;
    j_.open("swap").text("time", stamp_);
    j_.number("swapAvailableBytes", most - std::min(most, s.swap)).number("swapUsageBytes", s.swap);
    j_.close();
  }

  void interface_fields(const InterfaceStats& i) {
    j_.text("name", i.name).number("rxBytes", i.rx_bytes).number("rxErrors", i.rx_errors);
    j_.number("txBytes", i.tx_bytes).number("txErrors", i.tx_errors);
  }
  void network(const std::vector<InterfaceStats>& all) {
    if (all.empty()) return;
    j_.open("network").text("time", stamp_);
    const auto main = std::find_if(all.begin(), all.end(),
                                   [](const InterfaceStats& i) { return i.name == "eth0"; });
    if (main != all.end()) {
      interface_fields(*main);
    } else {
      j_.text("name", "");
    }
    j_.open("interfaces", '[');
    for (const InterfaceStats& i : all) {
      j_.open("");
      interface_fields(i);
      j_.close();
    }
    j_.close(']').close();
  }

  // Without the bracket that ends it.
  void open_file_system(const char* name, const FileSystemStats& fs, uint64_t used,
                        uint64_t inodes_used) {
    j_.open(name).text("time", stamp_).number("availableBytes", fs.available);
    j_.number("capacityBytes", fs.capacity).number("usedBytes", used);
    j_.number("inodesFree", fs.inodes_free).number("inodes", fs.inodes);
    j_.number("inodesUsed", inodes_used);
  }
  void file_system(const char* name, const FileSystemStats& fs, uint64_t used,
                   uint64_t inodes_used) {
    open_file_system(name, fs, used, inodes_used);
    j_.close();
  }

  void runtime() {
    if (!f_.images) return;
    j_.open("runtime");
    file_system("imageFs", *f_.images, f_.image_bytes, f_.image_inodes);
    if (f_.layers) file_system("containerFs", *f_.layers, f_.layer_bytes, f_.layer_inodes);
    j_.close();
  }
  void limits() {
    if (!f_.processes) return;
    j_.open("rlimit").text("time", stamp_).number("maxpid", f_.processes->max);
    j_.number("curproc", f_.processes->running).close();
  }

  void system_containers() {
    j_.open("systemContainers", '[');
    for (auto [name, u] : {std::pair("kubelet", &f_.kubelet), std::pair("pods", &f_.all_pods)}) {
      if (!u->stats.known) continue;
      j_.open("").text("name", name).text("startTime", f_.booted ? format_time(*f_.booted) : "");
      use(*u);
      j_.close();
    }
    j_.close(']');
  }

  void container(const ContainerFigures& c) {
    j_.open("").text("name", c.name).text("startTime", format_time(WallTime{c.started_ns}));
    use(c.use);
    if (all_) {
      if (f_.layers) file_system("rootfs", *f_.layers, c.root_bytes, c.root_inodes);
      if (f_.root) file_system("logs", *f_.root, c.logs.bytes, c.logs.inodes);
    }
    j_.close();
  }

  void pod(const PodFigures& p) {
    j_.open("").open("podRef").text("name", p.name).text("namespace", p.ns);
    j_.text("uid", p.uid).close().text("startTime", p.start_time);
    j_.open("containers", '[');
    for (const ContainerFigures& c : p.containers) container(c);
    j_.close(']');
    use(p.use);
    if (all_) storage(p);
    j_.close();
  }

  // A pod's share of the node's own disk: writable layers, logs and what it brings along.
  void storage(const PodFigures& p) {
    network(p.interfaces);
    DirectoryUse local;
    for (const ContainerFigures& c : p.containers) {
      local.bytes += c.root_bytes + c.logs.bytes;
      local.inodes += c.root_inodes + c.logs.inodes;
    }
    const bool any = !p.volumes.empty() || !p.claimed.empty();
    if (any) j_.open("volume", '[');
    for (const VolumeFigures& v : p.volumes) {
      if (v.fs) {
        open_file_system("", *v.fs, v.use.bytes, v.use.inodes);
        j_.text("name", v.name).close();
      }
      if (!v.local) continue;
      local.bytes += v.use.bytes;
      local.inodes += v.use.inodes;
    }
    for (const VolumeUsage& v : p.claimed) {
      open_file_system("", v.fs, v.fs.used, v.fs.inodes_used);
      j_.text("name", v.volume);
      if (!v.claim.empty()) j_.open("pvcRef").text("name", v.claim).text("namespace", p.ns).close();
      j_.close();
    }
    if (any) j_.close(']');
    if (f_.root) file_system("ephemeral-storage", *f_.root, local.bytes, local.inodes);
    j_.open("process_stats").number("process_count", p.processes).close();
  }

  const NodeFigures& f_;
  bool all_;
  std::string stamp_;
  Json j_;
};

}  // namespace

std::string stats_summary(const std::string& node_name, const NodeFigures& figures, bool all) {
  return Report(figures, all).write(node_name);
}

}  // namespace keles::node
