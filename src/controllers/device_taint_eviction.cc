#include "controllers/device_taint_eviction.h"

#include <algorithm>

#include "base/metrics.h"
#include "client/pod_condition.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::resource_v1;

namespace {

constexpr std::string_view kNoExecute = "NoExecute";
constexpr const char* kPoolIndex = "pool";

std::string pool_key(std::string_view driver, std::string_view pool) {
  return std::string(driver) + "/" + std::string(pool);
}

bool tolerates(const DeviceToleration& t, const DeviceTaint& taint) {
  if (t.effect() != kNoExecute) return false;
  if (!t.key().empty() && t.key() != taint.key()) return false;
  if (t.operator_() == "Exists") return true;
  return (t.operator_().empty() || t.operator_() == "Equal") &&
         static_cast<const View&>(t).value()["value"].as_string() ==
             static_cast<const View&>(taint).value()["value"].as_string();
}

// When a taint drives out who has the device; nothing: never.
std::optional<WallTime> driven_out(const DeviceTaint& taint,
                                   const DeviceRequestAllocationResult& device, WallTime now) {
  auto added = parse_time(taint.time_added());
  WallTime when = added.ok() ? *added : now;
  std::optional<int64_t> seconds;
  for (DeviceToleration t : device.tolerations()) {
    if (!tolerates(t, taint)) continue;
    if (!t.has_toleration_seconds()) return std::nullopt;
    const int64_t one = std::clamp<int64_t>(t.toleration_seconds(), 0, INT32_MAX);
    seconds = std::min(seconds.value_or(one), one);
  }
  return when + std::chrono::seconds(seconds.value_or(0));
}

bool drives_out(const ResourceSlice& slice) {
  for (Device d : slice.spec().devices())
    for (DeviceTaint t : d.taints())
      if (t.effect() == kNoExecute) return true;
  return false;
}

void count_deletion(Duration late) {
  static auto& deleted = metrics::counter(
      "device_taint_eviction_controller_pod_deletions_total",
      "Total number of Pods deleted by DeviceTaintEvictionController since its start.");
  static auto& took = metrics::histogram(
      "device_taint_eviction_controller_pod_deletion_duration_seconds",
      "Latency, in seconds, between the time when a device taint effect has been activated and a "
      "Pod's deletion via DeviceTaintEvictionController.",
      {}, {0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240});
  deleted.add();
  took.observe(std::chrono::duration<double>(std::max(late, Duration(0))).count());
}

// The claim of one of the pod's entries, "" while there is none.
std::string claim_name(const api::core_v1::Pod& pod, const api::core_v1::PodResourceClaim& entry) {
  if (entry.has_resource_claim_name()) return std::string(entry.resource_claim_name());
  for (auto status : pod.status().resource_claim_statuses())
    if (status.name() == entry.name()) return std::string(status.resource_claim_name());
  return "";
}

bool is_reserved_for(const ResourceClaim& claim, std::string_view uid) {
  for (auto user : claim.status().reserved_for())
    if (user.uid() == uid) return true;
  return false;
}

}  // namespace

std::optional<WallTime> plan_claim_eviction(const ResourceClaim& claim,
                                            const TaintsOfDevice& taints_of, WallTime now) {
  std::optional<WallTime> first;
  for (DeviceRequestAllocationResult r : claim.status().allocation().devices().results()) {
    taints_of(r.driver(), r.pool(), r.device(), [&](const DeviceTaint& taint) {
      if (taint.effect() != kNoExecute) return;
      const std::optional<WallTime> when = driven_out(taint, r, now);
      if (when && (!first || *when < *first)) first = when;
    });
  }
  return first;
}

DeviceTaintEvictionController::DeviceTaintEvictionController(Deps deps)
    : Controller(deps, "device_taint_eviction", "device-taint-eviction-controller", 8),
      pods_(watch<Pod>()),
      claims_(watch<Claim>()),
      slices_(watch<Slice>()) {
  slices_.base().add_index(kPoolIndex, [](const ObjectPtr& o) {
    const Ref<Slice> s = read<Slice>(o);
    return std::vector<std::string>{pool_key(s->spec().driver(), s->spec().pool().name())};
  });
  slices_.on_change(
      [this](const Ref<Slice>& before, const Ref<Slice>& now) { slice_changed(before, now); });
  claims_.on_change([this](const Ref<Claim>& before, const Ref<Claim>& now) {
    if (before) queue_users(*before);
    if (now) queue_users(*now);
  });
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    if (!now) {
      pending_.erase(std::string(before->metadata().uid()));
      return;
    }
    if (now->spec().resource_claims().empty() || now->spec().node_name().empty()) return;
    if (before && before->spec().node_name() == now->spec().node_name() &&
        before->status().value()["resourceClaimStatuses"].equals(
            now->status().value()["resourceClaimStatuses"]))
      return;
    queue().add(std::string(now->metadata().namespace_()) + "/" +
                std::string(now->metadata().name()));
  });
}

// Taints are rare: all claims are looked through when a slice with some comes, changes or goes.
void DeviceTaintEvictionController::slice_changed(const Ref<Slice>& before, const Ref<Slice>& now) {
  if (!(before && drives_out(*before)) && !(now && drives_out(*now))) return;
  const auto spec = (now ? now : before)->spec();
  for (const Ref<Claim>& claim : claims_.list()) {
    for (auto r : claim->status().allocation().devices().results()) {
      if (r.driver() != spec.driver() || r.pool() != spec.pool().name()) continue;
      queue_users(*claim);
      break;
    }
  }
}

void DeviceTaintEvictionController::queue_users(const Claim& claim) {
  for (auto user : claim.status().reserved_for()) {
    if (user.resource() != "pods" || !user.api_group().empty()) continue;
    queue().add(std::string(claim.metadata().namespace_()) + "/" + std::string(user.name()));
  }
}

void DeviceTaintEvictionController::taints_of(std::string_view driver, std::string_view pool,
                                              std::string_view device, const EachTaint& fn) const {
  const std::vector<Ref<Slice>> all = slices_.by_index(kPoolIndex, pool_key(driver, pool));
  int64_t newest = -1;
  for (const Ref<Slice>& s : all) newest = std::max(newest, s->spec().pool().generation());
  for (const Ref<Slice>& s : all) {
    if (s->spec().pool().generation() != newest) continue;
    for (Device d : s->spec().devices()) {
      if (d.name() != device) continue;
      for (DeviceTaint t : d.taints()) fn(t);
    }
  }
}

std::optional<WallTime> DeviceTaintEvictionController::plan(const Pod& pod) {
  std::optional<WallTime> first;
  if (pod.spec().node_name().empty()) return first;
  const std::string ns(pod.metadata().namespace_());
  for (auto entry : pod.spec().resource_claims()) {
    const std::string name = claim_name(pod, entry);
    Ref<Claim> claim = name.empty() ? Ref<Claim>() : claims_.get(ns, name);
    if (!claim || !claim->status().has_allocation() ||
        !is_reserved_for(*claim, pod.metadata().uid()))
      continue;
    if (!entry.has_resource_claim_name() &&
        !is_controlled_by(claim->metadata(), pod.metadata().uid()))
      continue;
    auto taints = [this](std::string_view d, std::string_view p, std::string_view n,
                         const EachTaint& fn) { taints_of(d, p, n, fn); };
    const auto when = plan_claim_eviction(*claim, taints, loop().wall_now());
    if (when && (!first || *when < *first)) first = when;
  }
  return first;
}

Task<ReconcileResult> DeviceTaintEvictionController::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Pod> pod = pods_.get(parts.first, parts.second);
  if (!pod || !pod->metadata().deletion_timestamp().empty()) co_return Status();
  const std::string uid(pod->metadata().uid());
  const std::optional<WallTime> when = plan(*pod);
  if (!when) {
    if (pending_.erase(uid))
      events().normal(reference_to(pod), "DeviceTaintManagerEviction", "Cancelling deletion");
    co_return Status();
  }
  pending_.insert(uid);
  const WallTime now = loop().wall_now();
  if (*when > now) {
    const Duration left = std::chrono::duration_cast<Duration>(*when - now);
    co_return ReconcileResult::after(left + 1ms);
  }
  Status s = co_await evict(ctx, pod, *when);
  co_return s;
}

Task<Status> DeviceTaintEvictionController::evict(Context ctx, Ref<Pod> pod, WallTime when) {
  const std::string ns(pod->metadata().namespace_()), name(pod->metadata().name());
  events().normal(reference_to(pod), "DeviceTaintManagerEviction", "Marking for deletion");
  PodConditionWrite disrupted{kDisruptionTarget, "True", "DeletionByDeviceTaintManager",
                              "Device Taint manager: deleting due to NoExecute taint"};
  std::optional<Document> patch = pod_condition_patch(*pod, disrupted, loop().wall_now());
  if (patch) {
    Status marked = co_await patch_pod_status(ctx, &client(), ns, name, std::move(*patch));
    if (!marked.ok()) co_return marked;
  }
  DeleteOptions o;
  o.uid = std::string(pod->metadata().uid());
  Status s = co_await client().remove<Pod>(ctx, ns, name, o);
  if (s.is(Reason::kNotFound)) co_return Status();
  if (s.ok()) count_deletion(std::chrono::duration_cast<Duration>(loop().wall_now() - when));
  co_return s;
}

}  // namespace keles::controllers
