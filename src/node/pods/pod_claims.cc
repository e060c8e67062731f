// PodWorker's part that deals with what the node's managers give: ResourceClaims before anything of
// the pod runs and after all of it has stopped, CPUs and devices with each container.
#include <algorithm>

#include "base/log.h"
#include "node/managers/container_managers.h"
#include "node/pods/pod_worker.h"

namespace keles::node {

void apply(const ContainerExtras& extras, cri::ContainerConfig& config) {
  config.resources.cpuset_cpus = extras.cpuset_cpus;
  config.resources.cpuset_mems = extras.cpuset_mems;
  if (extras.exclusive_cpus && config.resources.cpu_quota_us > 0)
    config.resources.cpu_quota_us = -1;
  // What the spec says of a variable stands.
  for (const auto& [name, value] : extras.env) {
    const bool there = std::any_of(config.env.begin(), config.env.end(),
                                   [&](const auto& e) { return e.first == name; });
    if (!there) config.env.emplace_back(name, value);
  }
  config.mounts.insert(config.mounts.end(), extras.mounts.begin(), extras.mounts.end());
  config.devices.insert(config.devices.end(), extras.devices.begin(), extras.devices.end());
  for (const auto& [key, value] : extras.annotations) config.annotations.emplace(key, value);
  config.cdi_devices = extras.cdi_devices;
}

Task<Status> PodWorker::prepare_claims(Context ctx) {
  Status s;
  if (s_.managers) {
    s = co_await s_.managers->prepare(ctx, pod_);
  } else if (!pod_->spec().resource_claims().empty()) {
    s = Status::unavailable("this node has no drivers of dynamic resources");
    if (s_.prepare_devices) s = co_await s_.prepare_devices(ctx, pod_);
  }
  if (s.ok() || ctx.done()) {
    claims_pause_ = {};
    co_return s;
  }
  event("", "Warning", "FailedPrepareDynamicResources",
        "Failed to prepare dynamic resources: " + s.message());
  try_again(ctx, &claims_pause_, 500ms, 30s);
  co_return s;
}

// False: a driver did not let go of them yet; it is asked again.
Task<bool> PodWorker::release_claims(Context ctx) {
  if (!s_.managers || !s_.managers->holds_claims(uid_)) co_return true;
  Status s = co_await s_.managers->unprepare(ctx, pod_);
  if (s.ok()) {
    claims_pause_ = {};
    co_return true;
  }
  if (!ctx.done()) log::warn("Cannot give up the pod's claims", {{"pod", key_}, {"error", s}});
  try_again(ctx, &claims_pause_, 500ms, 30s);
  co_return false;
}

}  // namespace keles::node
