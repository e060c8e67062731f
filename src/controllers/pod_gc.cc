#include "controllers/pod_gc.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;

PodGcPlan plan_pod_gc(const std::vector<Ref<Pod>>& pods, const std::vector<Ref<Node>>& nodes,
                      int finished_threshold) {
  PodGcPlan plan;
  std::set<std::string_view> names;
  for (const auto& n : nodes) names.insert(n->metadata().name());
  for (const auto& pod : pods) {
    std::string_view node = pod->spec().node_name();
    if (!node.empty() && !names.contains(node)) {
      plan.orphaned.push_back(pod);
    } else if (node.empty() && !pod->metadata().deletion_timestamp().empty()) {
      plan.unscheduled.push_back(pod);
    } else if (pod_has_finished(*pod)) {
      plan.finished.push_back(pod);
    }
  }
  int64_t excess = static_cast<int64_t>(plan.finished.size()) - finished_threshold;
  if (excess <= 0 || finished_threshold <= 0) {
    plan.finished.clear();
    return plan;
  }
  std::stable_sort(plan.finished.begin(), plan.finished.end(), [](const auto& a, const auto& b) {
    return a->metadata().creation_timestamp() < b->metadata().creation_timestamp();
  });
  plan.finished.resize(static_cast<size_t>(excess));
  return plan;
}

PodGcController::PodGcController(Deps deps)
    : Controller(deps, "pod_gc", "pod-garbage-collector", 1),
      nodes_(watch<Node>()),
      pods_(watch<Pod>()) {}

Task<Status> PodGcController::remove_pod(Context ctx, Ref<Pod> pod, bool orphaned) {
  std::string ns(pod->metadata().namespace_()), name(pod->metadata().name());
  if (orphaned && !pod_has_finished(*pod)) {
    Draft<PodEdit> d(*pod);
    auto status = d->edit_status();
    status.set_phase("Failed");
    if (!pod_condition(*pod, "DisruptionTarget")) {
      auto c = status.edit_conditions().add();
      c.set_type("DisruptionTarget");
      c.set_status("True");
      c.set_reason("DeletionByPodGC");
      c.set_message("PodGC: node no longer exists");
      c.set_last_transition_time(format_time(loop().wall_now()));
    }
    auto r = co_await client().update_status<Pod>(ctx, d.take());
    if (r.status().is(Reason::kNotFound)) co_return Status();
    if (!r.ok()) co_return r.status();
  }
  log::info("PodGC is force deleting Pod", {{"pod", ns + "/" + name}});
  DeleteOptions o;
  o.grace_period_seconds = 0;
  o.uid = std::string(pod->metadata().uid());
  Status s = co_await client().remove<Pod>(ctx, ns, name, o);
  if (s.is(Reason::kNotFound)) co_return Status();
  co_return s;
}

Task<ReconcileResult> PodGcController::reconcile(Context ctx, std::string) {
  PodGcPlan plan = plan_pod_gc(pods_.list(), nodes_.list(), options().terminated_pod_gc_threshold);
  Status first;
  auto keep_first = [&first](const Status& s) {
    if (first.ok()) first = s;
  };
  std::map<std::string, TimePoint> missing;
  for (const auto& pod : plan.orphaned) {
    std::string node(pod->spec().node_name());
    auto known = missing_since_.find(node);
    missing[node] = known == missing_since_.end() ? loop().now() : known->second;
  }
  missing_since_ = missing;
  std::map<std::string, bool> really_gone;  // a stale cache must not cost pods
  for (const auto& pod : plan.orphaned) {
    std::string node(pod->spec().node_name());
    if (loop().now() - missing[node] < options().pod_gc_quarantine) continue;
    if (!really_gone.contains(node)) {
      auto live = co_await client().get<Node>(ctx, "", node);
      really_gone[node] = live.status().is(Reason::kNotFound);
    }
    if (!really_gone[node]) continue;
    Status s = co_await remove_pod(ctx, pod, true);
    keep_first(s);
  }
  for (const auto& pod : plan.unscheduled) {
    Status s = co_await remove_pod(ctx, pod, false);
    keep_first(s);
  }
  for (const auto& pod : plan.finished) {
    Status s = co_await remove_pod(ctx, pod, false);
    keep_first(s);
  }
  if (!first.ok() && log::v(2)) log::info("Pod GC will try again", {{"err", first}});
  co_return ReconcileResult::after(options().pod_gc_period);
}

}  // namespace keles::controllers
