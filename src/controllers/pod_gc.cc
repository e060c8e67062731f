#include "controllers/pod_gc.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "base/metrics.h"
#include "client/pod_condition.h"
#include "controllers/options.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

// Why a pod is removed, as the metrics have it.
constexpr std::string_view kOrphaned = "orphaned", kTerminated = "terminated",
                           kUnscheduled = "unscheduled", kOutOfService = "out-of-service";

// Index of pods that end, and its values.
constexpr std::string_view kEndIndex = "end", kLeaving = "leaving", kFinished = "finished";

bool is_leaving(const Pod& pod) { return !pod.metadata().deletion_timestamp().empty(); }

// An administrator has said that the machine is off for good.
bool is_out_of_service(const Node& node) {
  bool ready = false, given_up = false;
  for (NodeCondition c : node.status().conditions()) {
    ready = ready || (c.type() == "Ready" && c.status() == "True");
  }
  for (Taint t : node.spec().taints()) {
    given_up = given_up || t.key() == "node.kubernetes.io/out-of-service";
  }
  return given_up && !ready;
}

}  // namespace

PodGcPlan plan_pod_gc(const std::vector<Ref<Pod>>& pods, const FindNode& find_node,
                      int finished_threshold) {
  PodGcPlan plan;
  enum class State : uint8_t { kThere, kGivenUp, kAbsent };
  std::map<std::string_view, State> seen;
  auto state_of = [&](std::string_view name) {
    auto [it, fresh] = seen.try_emplace(name, State::kAbsent);
    if (!fresh) return it->second;
    if (Ref<Node> node = find_node(name))
      it->second = is_out_of_service(*node) ? State::kGivenUp : State::kThere;
    return it->second;
  };
  for (const auto& pod : pods) {
    std::string_view node = pod->spec().node_name();
    bool leaving = is_leaving(*pod);
    if (!node.empty() && state_of(node) == State::kAbsent) {
      plan.orphaned.push_back(pod);
    } else if (leaving && (node.empty() || state_of(node) == State::kGivenUp)) {
      plan.unserved.push_back(pod);
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
    bool evicted = a->status().reason() == "Evicted";
    if (evicted != (b->status().reason() == "Evicted")) return evicted;
    return a->metadata().creation_timestamp() < b->metadata().creation_timestamp();
  });
  plan.finished.resize(static_cast<size_t>(excess));
  return plan;
}

PodGcController::PodGcController(Deps deps)
    : Controller(deps, "pod_gc", "pod-garbage-collector", 1),
      nodes_(watch<Node>()),
      pods_(watch<Pod>()) {
  index_by_node(pods_.base());
  pods_.base().add_index(std::string(kEndIndex), [](const ObjectPtr& o) {
    auto pod = read<Pod>(o);
    std::vector<std::string> out;
    if (is_leaving(*pod)) out.emplace_back(kLeaving);
    if (pod_has_finished(*pod)) out.emplace_back(kFinished);  // also of those that leave
    return out;
  });
}

// Those that may be due, of very many that are not: nothing else is read.
std::vector<Ref<Pod>> PodGcController::candidates() const {
  std::vector<Ref<Pod>> out = pods_.by_index(kEndIndex, kLeaving);
  size_t finished = 0;
  for (const auto& [value, count] : pods_.base().index_values(kEndIndex)) {
    if (value == kFinished) finished = count;
  }
  const int threshold = options().terminated_pod_gc_threshold;
  const bool too_many = threshold > 0 && finished > static_cast<size_t>(threshold);
  if (too_many) {
    for (auto& pod : pods_.by_index(kEndIndex, kFinished)) {
      if (!is_leaving(*pod)) out.push_back(std::move(pod));
    }
  }
  for (const auto& [node, count] : pods_.base().index_values(kNodeIndex)) {
    if (nodes_.base().get("", node)) continue;
    for (auto& pod : pods_.by_index(kNodeIndex, node)) {
      if (!is_leaving(*pod) && !(too_many && pod_has_finished(*pod))) out.push_back(std::move(pod));
    }
  }
  return out;
}

Task<Status> PodGcController::remove_pod(Context ctx, Ref<Pod> pod, std::string_view reason) {
  const std::vector<std::string> labels{std::string(pod->metadata().namespace_()),
                                        std::string(reason)};
  Status s = co_await end_pod(ctx, pod, reason == kOrphaned);
  static auto& done = metrics::counter(
      "pod_gc_collector_force_delete_pods_total",
      "Number of pods that are being forcefully deleted since the Pod GC Controller started.",
      {"namespace", "reason"});
  static auto& failed =
      metrics::counter("pod_gc_collector_force_delete_pod_errors_total",
                       "Number of errors encountered when forcefully deleting the pods since the "
                       "Pod GC Controller started.",
                       {"namespace", "reason"});
  done.with(labels).add();
  if (!s.ok()) failed.with(labels).add();
  co_return s;
}

Task<Status> PodGcController::end_pod(Context ctx, Ref<Pod> pod, bool orphaned) {
  std::string ns(pod->metadata().namespace_()), name(pod->metadata().name());
  if (!pod_has_finished(*pod)) {  // no agent is left that would say so
    PodConditionWrite disrupted{kDisruptionTarget, "True", "DeletionByPodGC",
                                "PodGC: node no longer exists"};
    std::optional<Document> patch;
    if (orphaned) patch = pod_condition_patch(*pod, disrupted, loop().wall_now());
    if (!patch) {
      Draft<PodEdit> d;
      d->edit_metadata().set_uid(pod->metadata().uid());
      patch = d.take();
    }
    Value* status = patch->root.find("status");
    if (!status) status = &patch->root.set(patch->arena, "status", Value::map());
    status->set(patch->arena, "phase", Value::string("Failed"));
    int64_t generation = pod->metadata().generation();
    if (generation > 0) status->set(patch->arena, "observedGeneration", Value(generation));
    Status s = co_await patch_pod_status(ctx, &client(), ns, name, std::move(*patch));
    if (!s.ok()) co_return s;
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
  PodGcPlan plan = plan_pod_gc(
      candidates(), [this](std::string_view name) { return nodes_.get("", name); },
      options().terminated_pod_gc_threshold);
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
    Status s = co_await remove_pod(ctx, pod, kOrphaned);
    keep_first(s);
  }
  for (const auto& pod : plan.unserved) {
    const bool nowhere = pod->spec().node_name().empty();
    const std::string_view reason = nowhere ? kUnscheduled : kOutOfService;
    Status s = co_await remove_pod(ctx, pod, reason);
    keep_first(s);
  }
  for (const auto& pod : plan.finished) {
    Status s = co_await remove_pod(ctx, pod, kTerminated);
    keep_first(s);
  }
  if (!first.ok() && log::v(2)) log::info("Pod GC will try again", {{"err", first}});
  co_return ReconcileResult::after(options().pod_gc_period);
}

}  // namespace keles::controllers
