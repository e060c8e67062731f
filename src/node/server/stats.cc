// What runs here and what it uses: /stats/summary (k8s.io/kubelet/pkg/apis/stats/v1alpha1) and
// /metrics/cadvisor.
#include <sys/statvfs.h>

#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "node/node_status.h"
#include "node/pods/labels.h"
#include "node/server/node_server.h"

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

void filesystem(Json& j, const char* name, const std::string& path, const std::string& stamp,
                uint64_t used) {
  struct statvfs fs;
  if (statvfs(path.c_str(), &fs) != 0) return;
  j.open(name).text("time", stamp);
  j.number("availableBytes", fs.f_bavail * fs.f_frsize);
  j.number("capacityBytes", fs.f_blocks * fs.f_frsize);
  j.number("usedBytes", used ? used : (fs.f_blocks - fs.f_bfree) * fs.f_frsize);
  j.number("inodesFree", fs.f_ffree).number("inodes", fs.f_files);
  j.number("inodesUsed", fs.f_files - fs.f_ffree);
  j.close();
}

void cpu_and_memory(Json& j, const std::string& stamp, uint64_t cpu_ns, uint64_t nano_cores,
                    uint64_t usage, uint64_t working_set, uint64_t rss) {
  j.open("cpu").text("time", stamp).number("usageNanoCores", nano_cores);
  j.number("usageCoreNanoSeconds", cpu_ns).close();
  j.open("memory").text("time", stamp).number("usageBytes", usage);
  j.number("workingSetBytes", working_set).number("rssBytes", rss).close();
}

std::string label(const std::map<std::string, std::string>& m, const char* key) {
  auto it = m.find(key);
  return it == m.end() ? "" : it->second;
}

}  // namespace

Task<Result<std::string>> stats_summary(Context ctx, const NodeView* view, cri::Runtime* runtime) {
  TRY_ASSIGN_CO(stats, runtime->list_container_stats(ctx));
  std::string stamp = format_time(ctx.loop().wall_now());
  CgroupDriver::Usage node = view->node_usage();
  Json j;
  j.open("");
  j.open("node").text("nodeName", view->node_name());
  cpu_and_memory(j, stamp, node.cpu_ns, 0, node.memory_bytes, node.working_set_bytes,
                 node.rss_bytes);
  filesystem(j, "fs", view->root(), stamp, 0);
  j.open("runtime");
  filesystem(j, "imageFs", view->root(), stamp, 0);
  j.close().close();
  j.open("pods", '[');
  for (const PodWorker* w : view->workers()) {
    auto meta = w->pod()->metadata();
    CgroupDriver::Usage use = view->pod_usage(*w);
    j.open("").open("podRef").text("name", meta.name()).text("namespace", meta.namespace_());
    j.text("uid", w->uid()).close();
    Document now = w->current();
    j.text("startTime", api::core_v1::Pod(now.root).status().start_time());
    j.open("containers", '[');
    for (const cri::ContainerStats& s : stats) {
      if (label(s.labels, kPodUidLabel) != w->uid()) continue;
      j.open("").text("name", label(s.labels, kContainerNameLabel));
      cpu_and_memory(j, stamp, s.cpu_usage_ns, s.cpu_nano_cores, s.memory_usage_bytes,
                     s.memory_working_set_bytes, s.memory_rss_bytes);
      filesystem(j, "rootfs", view->root(), stamp, s.writable_used_bytes);
      j.close();
    }
    j.close(']');
    cpu_and_memory(j, stamp, use.cpu_ns, 0, use.memory_bytes, use.working_set_bytes, use.rss_bytes);
    j.close();
  }
  j.close(']').close();
  co_return j.take();
}

Task<Result<std::string>> container_metrics(Context ctx, const NodeView*, cri::Runtime* runtime) {
  TRY_ASSIGN_CO(stats, runtime->list_container_stats(ctx));
  std::string cpu =
      "# HELP container_cpu_usage_seconds_total Cumulative cpu time consumed in seconds.\n"
      "# TYPE container_cpu_usage_seconds_total counter\n";
  std::string memory =
      "# HELP container_memory_working_set_bytes Current working set in bytes.\n"
      "# TYPE container_memory_working_set_bytes gauge\n";
  for (const cri::ContainerStats& s : stats) {
    std::string labels = "{container=\"" + label(s.labels, kContainerNameLabel) +
                         "\",namespace=\"" + label(s.labels, kPodNamespaceLabel) + "\",pod=\"" +
                         label(s.labels, kPodNameLabel) + "\"} ";
    cpu += "container_cpu_usage_seconds_total" + labels +
           std::to_string(static_cast<double>(s.cpu_usage_ns) / 1e9) + "\n";
    memory += "container_memory_working_set_bytes" + labels +
              std::to_string(s.memory_working_set_bytes) + "\n";
  }
  co_return cpu + memory;
}

}  // namespace keles::node
