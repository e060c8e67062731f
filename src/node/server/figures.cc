#include "node/server/figures.h"

#include <algorithm>
#include <mutex>

#include "base/file.h"
#include "node/pods/container_config.h"
#include "node/server/node_server.h"

namespace keles::node {
namespace {

constexpr size_t kMaxSamples = 10'000, kMaxDirectories = 10'000;
// A rate is that of at least so long: cAdvisor looks as often.
constexpr Duration kRateTime = 10s, kFirstRateTime = 1s;
// So long the size of a directory holds (upstream: volumeStatsAggPeriod).
constexpr Duration kDirectoryTime = 60s;
constexpr Duration kDriverTime = 10s;  // for the volumes of a pod
constexpr size_t kMaxProcesses = 100'000;

// The plug-in directory of volumes that a pod brings along; "" of others.
std::string_view plugin_of(const api::core_v1::Volume& v) {
  if (v.empty_dir()) return "kubernetes.io~empty-dir";
  if (v.config_map()) return "kubernetes.io~configmap";
  if (v.secret()) return "kubernetes.io~secret";
  if (v.projected()) return "kubernetes.io~projected";
  if (v.downward_api()) return "kubernetes.io~downward-api";
  return "";
}

PodFigures outline_pod(const NodeView& view, const PodWorker& w) {
  PodFigures p;
  const Ref<api::core_v1::Pod> pod = w.pod();
  p.name = pod->metadata().name();
  p.ns = pod->metadata().namespace_();
  p.uid = w.uid();
  const Document now = w.current();
  p.start_time = now.root["status"]["startTime"].as_string();
  p.use.cgroup = view.pod_cgroup(w);
  if (const cri::Sandbox* s = w.actual().ready_sandbox()) p.sandbox_id = s->id;
  const std::string logs = pod_log_directory(view.logs(), *pod);
  for (const cri::Container& c : w.actual().containers) {
    if (c.state != cri::ContainerState::kRunning) continue;
    ContainerFigures f;
    f.name = c.name;
    f.id = c.id;
    f.image = c.image;
    f.log_directory = logs + "/" + c.name;
    f.started_ns = c.started_at_ns;
    p.containers.push_back(std::move(f));
  }
  for (const api::core_v1::Volume& v : pod->spec().volumes()) {
    const std::string_view plugin = plugin_of(v);
    if (plugin.empty()) continue;
    VolumeFigures f;
    f.name = v.name();
    f.directory = view.root() + "/pods/" + p.uid + "/volumes/" + std::string(plugin) + "/" + f.name;
    f.local = v.empty_dir().medium() != "Memory" && !v.secret();
    p.volumes.push_back(std::move(f));
  }
  return p;
}

void read(const std::string& mount, Use* use) {
  if (!use->cgroup.empty()) use->stats = read_cgroup_stats(mount, use->cgroup);
}

}  // namespace

// Sizes of directories, remembered. Any thread.
class Gatherer::Directories {
 public:
  DirectoryUse of(const std::string& path, TimePoint now) {
    {
      std::lock_guard lock(mutex_);
      auto it = known_.find(path);
      if (it != known_.end() && now - it->second.at < kDirectoryTime) return it->second.use;
    }
    const DirectoryUse use = directory_use(path);
    std::lock_guard lock(mutex_);
    if (known_.size() >= kMaxDirectories) known_.clear();
    known_[path] = {use, now};
    return use;
  }

 private:
  struct Known {
    DirectoryUse use;
    TimePoint at;
  };
  std::mutex mutex_;
  std::map<std::string, Known> known_;
};

Gatherer::Gatherer(NodeView* view, cri::Runtime* runtime)
    : view_(view), runtime_(runtime), directories_(std::make_shared<Directories>()) {}
Gatherer::~Gatherer() = default;

std::shared_ptr<NodeFigures> Gatherer::outline(WallTime now, Depth depth) const {
  auto f = std::make_shared<NodeFigures>();
  f->at = now;
  f->node.cgroup = "/";
  f->all_pods.cgroup = view_->pods_cgroup();
  for (const PodWorker* w : view_->workers()) {
    f->pods.push_back(outline_pod(*view_, *w));
    if (depth != Depth::kAll) f->pods.back().volumes.clear();
  }
  return f;
}

void Gatherer::rate(Use* use, TimePoint now) {
  if (!use->stats.known) return;
  if (samples_.size() >= kMaxSamples) samples_.clear();
  auto [it, fresh] = samples_.try_emplace(use->cgroup, Sample{use->stats.cpu_ns, now, {}});
  Sample& s = it->second;
  if (use->stats.cpu_ns < s.cpu_ns) s = {use->stats.cpu_ns, now, {}};  // another of that name
  const Duration passed = now - s.at;
  if (!fresh && passed >= (s.rate ? kRateTime : kFirstRateTime)) {
    const double used = static_cast<double>(use->stats.cpu_ns - s.cpu_ns);
    s.rate = static_cast<uint64_t>(used / (static_cast<double>(passed.count()) / 1e9));
    s.cpu_ns = use->stats.cpu_ns;
    s.at = now;
  }
  use->nano_cores = s.rate;
}

// Writable layers; and of containers without a cgroup of their own here (a virtual machine's) all.
Task<void> Gatherer::ask_runtime(Context ctx, std::shared_ptr<NodeFigures> f, Depth depth) {
  bool needed = depth == Depth::kAll;
  for (const PodFigures& p : f->pods) {
    for (const ContainerFigures& c : p.containers) needed = needed || !c.use.stats.known;
  }
  if (!needed || !runtime_) co_return;
  auto stats = co_await runtime_->list_container_stats(ctx);
  if (!stats.ok()) {
    f->runtime = stats.status();
    co_return;
  }
  std::map<std::string, const cri::ContainerStats*> by_id;
  for (const cri::ContainerStats& s : *stats) by_id[s.id] = &s;
  for (PodFigures& p : f->pods) {
    for (ContainerFigures& c : p.containers) {
      auto it = by_id.find(c.id);
      if (it == by_id.end()) continue;
      const cri::ContainerStats& s = *it->second;
      c.root_bytes = s.writable_used_bytes;
      c.root_inodes = s.writable_inodes;
      if (c.use.stats.known) continue;
      c.use.stats.known = true;
      c.use.stats.cpu_ns = s.cpu_usage_ns;
      c.use.stats.memory = s.memory_usage_bytes;
      c.use.stats.working_set = s.memory_working_set_bytes;
      c.use.stats.rss = s.memory_rss_bytes;
      c.use.stats.page_faults = s.page_faults;
      c.use.stats.major_page_faults = s.major_page_faults;
      if (s.cpu_nano_cores) c.use.nano_cores = s.cpu_nano_cores;
    }
  }
  if (depth != Depth::kAll) co_return;
  auto told = co_await runtime_->image_fs_info(ctx);
  if (!told.ok() || told->images.empty()) co_return;
  const cri::FilesystemUsage images = told->images.front();
  const cri::FilesystemUsage layers = told->containers.empty() ? images : told->containers.front();
  f->image_bytes = images.used_bytes;
  f->image_inodes = images.inodes;
  f->layer_bytes = layers.used_bytes;
  f->layer_inodes = layers.inodes;
  std::function<bool()> look = [f, images, layers] {
    f->images = read_file_system(images.mountpoint);
    f->layers = read_file_system(layers.mountpoint);
    return true;
  };
  (void)co_await run_blocking(&ctx.loop(), std::move(look));
}

Task<std::shared_ptr<NodeFigures>> Gatherer::gather(Context ctx, Depth depth) {
  auto f = outline(ctx.loop().wall_now(), depth);
  const std::string mount = view_->cgroup_mount(), root = view_->root();
  const TimePoint now = ctx.loop().now();
  auto directories = directories_;
  std::function<bool()> look = [f, mount, root, now, depth, directories] {
    f->kubelet.cgroup = own_cgroup(mount);
    if (f->kubelet.cgroup == "/") f->kubelet.cgroup.clear();  // that is the node
    for (Use* use : {&f->node, &f->all_pods, &f->kubelet}) read(mount, use);
    for (PodFigures& p : f->pods) {
      read(mount, &p.use);
      for (ContainerFigures& c : p.containers) {
        c.use.cgroup = container_cgroup(mount, p.use.cgroup, c.id);
        read(mount, &c.use);
      }
    }
    if (depth == Depth::kCpuAndMemory) return true;
    f->interfaces = read_interfaces(0);
    f->processes = read_process_limits();
    f->booted = read_boot_time();
    f->swap_total = swap_total_bytes();
    for (PodFigures& p : f->pods) {
      const std::vector<int> pids = cgroup_processes_below(mount, p.use.cgroup, kMaxProcesses);
      p.processes = pids.size();
      if (!pids.empty()) p.interfaces = read_interfaces(pids.front());
      for (ContainerFigures& c : p.containers) {
        if (c.use.cgroup.empty()) continue;
        c.use.stats.processes = cgroup_processes_below(mount, c.use.cgroup, kMaxProcesses).size();
      }
    }
    if (depth != Depth::kAll) return true;
    f->root = read_file_system(root);
    for (PodFigures& p : f->pods) {
      for (ContainerFigures& c : p.containers) c.logs = directories->of(c.log_directory, now);
      for (VolumeFigures& v : p.volumes) {
        v.use = directories->of(v.directory, now);
        v.fs = read_file_system(v.directory);
      }
    }
    return true;
  };
  (void)co_await run_blocking(&ctx.loop(), std::move(look));
  for (Use* use : {&f->node, &f->all_pods, &f->kubelet}) rate(use, now);
  for (PodFigures& p : f->pods) {
    rate(&p.use, now);
    for (ContainerFigures& c : p.containers) rate(&c.use, now);
  }
  co_await ask_runtime(ctx, f, depth);
  if (depth == Depth::kAll) co_await ask_volumes(ctx, f);
  co_return f;
}

Task<std::shared_ptr<NodeFigures>> Gatherer::gather_claims(Context ctx) {
  auto f = outline(ctx.loop().wall_now(), Depth::kCpuAndMemory);
  co_await ask_volumes(ctx, f);
  co_return f;
}

// Drivers are asked as seldom as directories are walked.
Task<void> Gatherer::ask_volumes(Context ctx, std::shared_ptr<NodeFigures> f) {
  if (claims_.size() >= kMaxDirectories) claims_.clear();
  for (PodFigures& p : f->pods) {
    const TimePoint now = ctx.loop().now();
    auto known = claims_.find(p.uid);
    if (known == claims_.end() || now - known->second.at >= kDirectoryTime) {
      Context bounded = ctx.with_timeout(kDriverTime);
      Claims fresh;
      fresh.usage = co_await view_->volume_usage(bounded, p.uid);
      fresh.at = now;
      known = claims_.insert_or_assign(p.uid, std::move(fresh)).first;
    }
    p.claimed = known->second.usage;
  }
}

}  // namespace keles::node
