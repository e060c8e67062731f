#include "node/eviction/manager.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "node/pods/container_config.h"
#include "node/pods/labels.h"

namespace keles::node {

using api::core_v1::Pod;

namespace {

// Looking at a pod's files takes at most this part of the time.
constexpr int kRestPerWalk = 50;

std::string label(const cri::ContainerStats& s, const char* name) {
  auto it = s.labels.find(name);
  return it == s.labels.end() ? std::string() : it->second;
}

// Where a pod's local storage lies.
struct PodPlaces {
  std::string directory, logs;
  std::vector<std::pair<std::string, std::string>> volumes;  // name, path
  std::vector<std::string> containers;
};

PodPlaces places_of(const Pod& pod, const EvictionOptions& o) {
  PodPlaces out;
  out.directory = o.root + "/pods/" + std::string(pod.metadata().uid());
  out.logs = pod_log_directory(o.logs, pod);
  const std::string volumes = out.directory + "/volumes/kubernetes.io~";
  for (auto v : pod.spec().volumes()) {
    std::string name(v.name());
    if (v.empty_dir() && v.empty_dir().medium().empty())
      out.volumes.emplace_back(name, volumes + "empty-dir/" + name);
    if (v.config_map()) out.volumes.emplace_back(name, volumes + "configmap/" + name);
  }
  return out;
}

// Fills in what the files of a pod take. Blocking.
void walk(NodeMeter& meter, const PodPlaces& places, PodUse& use) {
  for (const auto& [name, path] : places.volumes) use.volumes[name] = meter.disk_use(path);
  for (ContainerUse& c : use.containers) c.logs = meter.disk_use(places.logs + "/" + c.name);
  struct stat st {};
  if (lstat((places.directory + "/etc-hosts").c_str(), &st) == 0)
    use.other = {static_cast<uint64_t>(st.st_blocks) * 512, 1};
}

void count_eviction(const std::string& signal) {
  static metrics::Counter& m =
      metrics::counter("kubelet_evictions", "Cumulative number of pod evictions by eviction signal",
                       {"eviction_signal"});
  m.with({signal}).add();
}

}  // namespace

EvictionManager::EvictionManager(EvictionOptions options, cri::Runtime& runtime, EvictionHost& host,
                                 std::unique_ptr<NodeMeter> meter)
    : options_(std::move(options)),
      runtime_(runtime),
      host_(host),
      meter_(std::move(meter)),
      watch_(with_container_fs(options_.thresholds, {}), options_.transition_period) {
  places_.root = options_.root;
  places_.allocatable_memory_bytes = options_.allocatable_memory_bytes;
}

void EvictionManager::pod_ended(const std::string& uid) {
  if (ending_.erase(uid)) changed_.set();
}

Task<void> EvictionManager::run(Context ctx) {
  TaskGroup walking(ctx.loop());
  if (options_.local_storage) walking.spawn(watch_limits(ctx));
  while (!ctx.done() && !watch_.thresholds().empty()) {
    co_await round(ctx);
    // After an eviction the next look is at what is left without the pod.
    bool evicted = !ending_.empty();
    while (!ending_.empty() && !ctx.done() && ctx.loop().now() < ending_until_) {
      changed_.reset();
      (void)co_await changed_.wait(ctx.with_timeout(ending_until_ - ctx.loop().now()));
    }
    ending_.clear();
    if (!evicted) (void)co_await ctx.sleep(options_.period);
  }
  co_await walking.join();
}

// A pod's files may take minutes to look at: nothing else waits for that.
Task<void> EvictionManager::watch_limits(Context ctx) {
  while (!ctx.done()) {
    if (!places_known_) co_await find_places(ctx);
    Pods pods = host_.active_pods();
    co_await evict_for_limits(ctx, std::move(pods));
    (void)co_await ctx.sleep(options_.period);
  }
}

Task<void> EvictionManager::round(Context ctx) {
  if (!places_known_) co_await find_places(ctx);
  Observations seen = co_await observe(ctx);
  std::set<Pressure> before = watch_.pressures();
  std::vector<Threshold> crossed = watch_.observe(seen, ctx.loop().now());
  if (watch_.pressures() != before) host_.pressures_changed(watch_.pressures());
  if (!ending_.empty() || crossed.empty() || ctx.done()) co_return;
  co_await relieve(ctx, std::move(crossed), std::move(seen));
}

// Where the runtime keeps what it has: asked until it answers.
Task<void> EvictionManager::find_places(Context ctx) {
  auto info = co_await runtime_.image_fs_info(ctx.with_timeout(10s));
  if (!info.ok()) co_return;
  if (!info->images.empty()) places_.images = info->images.front().mountpoint;
  if (!info->containers.empty()) places_.containers = info->containers.front().mountpoint;
  std::function<DiskLayout()> look = [meter = meter_, r = places_] { return meter->layout(r); };
  layout_ = co_await run_blocking(&ctx.loop(), std::move(look));
  watch_.set_thresholds(with_container_fs(options_.thresholds, layout_));
  places_known_ = true;
}

Task<Observations> EvictionManager::observe(Context ctx) {
  MeterRequest r = places_;
  r.node_working_set_bytes = host_.usage_of_node().working_set_bytes;
  r.pods_working_set_bytes = host_.usage_of_pods().working_set_bytes;
  std::function<Observations()> look = [meter = meter_, r] { return meter->observe(r); };
  co_return co_await run_blocking(&ctx.loop(), std::move(look));
}

// With `files`, what lies on disk too: a walk through all of it.
Task<EvictionManager::Uses> EvictionManager::measure(Context ctx, Pods pods, bool files) {
  Uses uses;
  auto stats = co_await runtime_.list_container_stats(ctx.with_timeout(30s));
  std::map<std::string, PodPlaces> places;
  for (const Ref<Pod>& p : pods) {
    std::string uid(p->metadata().uid());
    places[uid] = places_of(*p, options_);
    CgroupDriver::Usage now = host_.usage_of(*p);
    uses[uid].working_set_bytes = now.working_set_bytes;
    uses[uid].processes = now.processes;
  }
  for (size_t i = 0; stats.ok() && i < stats->size(); ++i) {
    const cri::ContainerStats& s = (*stats)[i];
    auto use = uses.find(label(s, kPodUidLabel));
    if (use == uses.end()) continue;
    ContainerUse c;
    c.name = label(s, kContainerNameLabel);
    c.working_set_bytes = s.memory_working_set_bytes;
    c.writable = {s.writable_used_bytes, s.writable_inodes};
    use->second.containers.push_back(std::move(c));
  }
  if (!files) co_return uses;
  std::function<Uses()> look = [meter = meter_, uses, places] {
    Uses out = uses;
    for (auto& [uid, use] : out) walk(*meter, places.at(uid), use);
    return out;
  };
  co_return co_await run_blocking(&ctx.loop(), std::move(look));
}

// Pods with limits on local storage.
Task<void> EvictionManager::evict_for_limits(Context ctx, Pods pods) {
  const TimePoint began = ctx.loop().now();
  Pods looked_at;
  std::map<std::string, TimePoint> due;
  for (const Ref<Pod>& p : pods) {
    if (!has_storage_limits(*p)) continue;
    std::string uid(p->metadata().uid());
    auto before = due_.find(uid);
    due[uid] = before == due_.end() ? began : before->second;
    if (due[uid] <= began) looked_at.push_back(p);
  }
  due_ = std::move(due);
  if (looked_at.empty()) co_return;
  Uses uses = co_await measure(ctx, looked_at, true);
  const TimePoint now = ctx.loop().now();
  for (const Ref<Pod>& p : looked_at) {
    std::string uid(p->metadata().uid());
    due_[uid] = now + (now - began) * kRestPerWalk;
    auto why = storage_excess(*p, uses[uid], layout_);
    if (why && !ctx.done()) (void)evict(p, *why, now);
  }
}

Task<void> EvictionManager::relieve(Context ctx, std::vector<Threshold> crossed,
                                    Observations seen) {
  const Threshold cause = crossed.front();
  const std::string resource(resource_of(cause.signal));
  log::warn("The node runs short", {{"resource", resource}, {"signal", signal_name(cause.signal)}});
  host_.node_event("Warning", "EvictionThresholdMet", "Attempting to reclaim " + resource);
  Reclaim first = reclaim_first(cause.signal, layout_);
  if (first.any()) {
    Status s = co_await host_.reclaim(ctx, first);
    if (!s.ok() && !ctx.done()) log::warn("Cannot reclaim", {{"error", s}});
    Observations after = co_await observe(ctx);
    if (watch_.relieved(after)) co_return;
  }
  Pods pods = host_.active_pods();
  if (pods.empty() || ctx.done()) co_return;
  const bool files = cause.signal != Signal::kMemoryAvailable &&
                     cause.signal != Signal::kAllocatableMemory &&
                     cause.signal != Signal::kPidAvailable;
  Uses uses = co_await measure(ctx, pods, files);
  if (!ending_.empty() || ctx.done()) co_return;  // one over its limits went meanwhile
  std::vector<Candidate> candidates;
  for (const Ref<Pod>& p : pods) {
    auto use = uses.find(std::string(p->metadata().uid()));
    candidates.push_back({&*p, use == uses.end() ? nullptr : &use->second});
  }
  for (const Candidate& c : rank(candidates, cause.signal, layout_)) {
    Eviction why = pressure_eviction(c, cause, crossed, seen, options_.max_pod_grace_seconds);
    for (const Ref<Pod>& p : pods)
      if (&*p == c.pod && evict(p, why, ctx.loop().now())) co_return;
  }
  log::warn("No pod of the node can be evicted", {{"resource", resource}});
}

bool EvictionManager::evict(const Ref<Pod>& pod, const Eviction& why, TimePoint now) {
  if (is_critical(*pod)) return false;
  const std::string uid(pod->metadata().uid());
  ending_.insert(uid);
  if (!host_.evict(pod, why)) {
    ending_.erase(uid);
    return false;
  }
  count_eviction(why.signal);
  ending_until_ = std::max(ending_until_, now + patience(why));
  return true;
}

}  // namespace keles::node
