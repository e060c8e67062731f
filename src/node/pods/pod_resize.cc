// PodWorker's part that changes the resources of a pod that runs.
#include <algorithm>

#include "base/log.h"
#include "node/pods/containers.h"
#include "node/pods/pod_worker.h"

namespace keles::node {

using api::core_v1::Pod;
using cri::ContainerState;

namespace {

// The more of both, limit by limit; no limit (0) is the most.
int64_t more(int64_t a, int64_t b) { return a == 0 || b == 0 ? 0 : std::max(a, b); }

CgroupLimits wider(const CgroupLimits& a, const CgroupLimits& b) {
  CgroupLimits out;
  out.cpu_shares = std::max(a.cpu_shares, b.cpu_shares);
  out.cpu_quota_us = more(a.cpu_quota_us, b.cpu_quota_us);
  out.memory_limit_bytes = more(a.memory_limit_bytes, b.memory_limit_bytes);
  out.pids_limit = more(a.pids_limit, b.pids_limit);
  out.huge_pages = b.huge_pages;  // never change
  return out;
}

}  // namespace

void PodWorker::take_allocation(Allocation a) {
  allocation_ = std::move(a);
  allocated_ = allocation_.applied_to(pod_);
}

// Of containers that an earlier agent made: what it reported that they have.
void PodWorker::seed_resources() {
  for (const cri::Container& c : actual_.containers) {
    if (const ResourceTexts* given = allocation_.container(c.name))
      actual_resources_[c.id] = *given;
    for (auto list :
         {pod_->status().container_statuses(), pod_->status().init_container_statuses()})
      for (auto s : list)
        if (s.name() == c.name && s.resources() && s.container_id().ends_with(c.id))
          actual_resources_[c.id] = resource_texts(s.resources());
  }
}

// Of the pod's own cgroup.
CgroupLimits PodWorker::own_limits() const {
  CgroupLimits out = pod_limits(*allocated_);
  out.pids_limit = s_.pod_pids_limit;
  if (s_.managers && s_.managers->exclusive_cpus(uid_)) out.cpu_quota_us = 0;
  return out;
}

bool PodWorker::wants_resize() const {
  bool differs = allocated_.document() != pod_.document();
  return differs && holds_room() && !deleting() && !ends_early();
}

void PodWorker::allocate() {
  take_allocation(Allocation::wanted(*pod_));
  resize_ = {};
  resize_.in_progress = true;
  resize_.generation = pod_->metadata().generation();
  event("", "Normal", "ResizeStarted",
        resize_message("Pod resize started", *allocated_, resize_.generation));
  wake();
}

void PodWorker::defer(std::string why, bool infeasible) {
  int64_t generation = pod_->metadata().generation();
  const std::string reason = infeasible ? "Infeasible" : "Deferred";
  bool news = resize_.pending_reason != reason || resize_.pending_generation != generation;
  resize_.pending_reason = reason;
  resize_.pending_message = why;
  resize_.pending_generation = generation;
  if (!news) return;
  event("", "Warning", "Resize" + reason,
        resize_message("Pod resize " + reason, *pod_, generation, why));
  wake();
}

Task<void> PodWorker::resize(Context ctx) {
  if (wants_resize()) {
    s_.retry_resizes();
  } else if (!resize_.pending_reason.empty()) {  // taken back
    resize_.pending_reason.clear();
    resize_.pending_message.clear();
  }
  std::erase_if(actual_resources_, [this](const auto& entry) {
    return std::none_of(actual_.containers.begin(), actual_.containers.end(),
                        [&](const cri::Container& c) { return c.id == entry.first; });
  });
  std::vector<ResizeStep> steps =
      resize_steps(*allocated_, actual_, actual_resources_, actual_whole_);
  bool same_whole = given({}, actual_whole_) == given({}, allocation_.whole());
  if (steps.empty() && same_whole) {
    if (!resize_.in_progress) co_return;
    resize_.in_progress = false;
    resize_.error.clear();
    event("", "Normal", "ResizeCompleted",
          resize_message("Pod resize completed", *allocated_, resize_.generation));
    co_return;
  }
  if (!resize_.in_progress) resize_.generation = pod_->metadata().generation();
  resize_.in_progress = true;
  publish();
  Status s = co_await carry_out_resize(ctx, std::move(steps));
  if (ctx.done()) co_return;
  wake_at(ctx.loop().wall_now() + (s.ok() ? Duration(1ms) : Duration(10s)));
  if (s.ok()) {
    resize_.error.clear();
    co_return;
  }
  log::warn("Cannot resize the pod", {{"pod", key_}, {"error", s}});
  if (resize_.error == s.message()) co_return;
  resize_.error = s.message();
  event("", "Warning", "ResizeError",
        resize_message("Pod resize error", *allocated_, resize_.generation, s.message()));
}

// The pod's own cgroup is never narrower than what its containers have.
Task<Status> PodWorker::carry_out_resize(Context ctx, std::vector<ResizeStep> steps) {
  Ref<Pod> pod = allocated_;  // an update may replace it while we wait
  Allocation allocation = allocation_;
  CgroupLimits to = own_limits();
  TRY_CO(check_memory(ctx, steps, to.memory_limit_bytes));
  Qos qos = qos_of(*pod);
  cgroup_limits_ = wider(cgroup_limits_, to);
  Status s = co_await s_.host->set_cgroup(ctx, qos, uid_, cgroup_limits_);
  if (!s.ok()) co_return s;
  for (const ResizeStep& step : steps) {
    if (step.restart) {
      std::string message = "Container " + step.name + " resize requires restart";
      co_await kill(ctx, step.id, step.name, message, grace_seconds());
      actual_resources_.erase(step.id);
      continue;
    }
    FoundContainer found = find_container(*pod, step.name);
    cri::Resources r =
        container_resources(*pod, found.container, s_.memory_bytes, s_.page_units, s_.swap);
    s = co_await s_.runtime->update_resources(ctx, step.id, r);
    if (!s.ok()) co_return s;
    actual_resources_[step.id] = resource_texts(found.container.resources());
  }
  s = co_await s_.host->set_cgroup(ctx, qos, uid_, to);
  if (!s.ok()) co_return s;
  cgroup_limits_ = to;
  actual_whole_ = allocation.whole();
  co_return Status();
}

// A limit below what is in use would kill.
Task<Status> PodWorker::check_memory(Context ctx, std::vector<ResizeStep> steps,
                                     int64_t pod_limit) {
  auto shrinks = [](int64_t now, int64_t to) { return to != 0 && (now == 0 || to < now); };
  bool whole = shrinks(cgroup_limits_.memory_limit_bytes, pod_limit);
  std::map<std::string, const ResizeStep*> smaller;
  for (const ResizeStep& s : steps)
    if (!s.restart && shrinks(s.now.memory_limit, s.to.memory_limit)) smaller[s.id] = &s;
  if (!whole && smaller.empty()) co_return Status();
  std::string why;
  auto add = [&why](const std::string& what, int64_t limit, uint64_t used) {
    why += (why.empty() ? "" : ", ") + ("attempting to set " + what) + " memory limit (" +
           std::to_string(limit) + ") below current usage (" + std::to_string(used) + ")";
  };
  const Qos qos = qos_of(*pod_);
  CgroupDriver::Usage usage = co_await s_.host->cgroup_usage(ctx, qos, uid_);
  const uint64_t used = usage.memory_bytes;
  if (whole && used >= static_cast<uint64_t>(pod_limit)) add("pod", pod_limit, used);
  if (!smaller.empty()) {
    TRY_ASSIGN_CO(stats, s_.runtime->list_container_stats(ctx));
    for (const cri::ContainerStats& c : stats) {
      auto step = smaller.find(c.id);
      if (step == smaller.end()) continue;
      int64_t limit = step->second->to.memory_limit;
      if (c.memory_usage_bytes >= static_cast<uint64_t>(limit))
        add("container \"" + step->second->name + "\"", limit, c.memory_usage_bytes);
    }
  }
  co_return why.empty() ? Status() : Status(Reason::kUnknown, why);
}

}  // namespace keles::node
