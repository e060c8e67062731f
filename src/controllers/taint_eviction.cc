#include "controllers/taint_eviction.h"

#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "client/pod_condition.h"
#include "controllers/ownership.h"
#include "machinery/time.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

bool tolerates(const Toleration& t, const Taint& taint) {
  if (!t.effect().empty() && t.effect() != taint.effect()) return false;
  if (!t.key().empty() && t.key() != taint.key()) return false;
  std::string_view op = t.operator_();
  if (op == "Exists") return true;
  return (op.empty() || op == "Equal") && t.value() == taint.value();
}

bool has_no_execute(const Node& node) {
  for (Taint t : node.spec().taints()) {
    if (t.effect() == "NoExecute") return true;
  }
  return false;
}

void count_deletion(Duration late) {
  static auto& deleted =
      metrics::counter("taint_eviction_controller_pod_deletions_total",
                       "Total number of Pods deleted by TaintEvictionController since its start.");
  static auto& took = metrics::histogram(
      "taint_eviction_controller_pod_deletion_duration_seconds",
      "Latency, in seconds, between the time when a taint effect has been activated for the Pod "
      "and its deletion via TaintEvictionController.",
      {}, {0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240});
  deleted.add();
  took.observe(std::chrono::duration<double>(std::max(late, Duration(0))).count());
}

}  // namespace

std::optional<Duration> plan_stay(const Pod& pod, const Node& node) {
  std::optional<Duration> stay;
  for (Taint taint : node.spec().taints()) {
    if (taint.effect() != "NoExecute") continue;
    bool tolerated = false;
    for (Toleration t : pod.spec().tolerations()) {
      if (!tolerates(t, taint)) continue;
      tolerated = true;
      if (!t.has_toleration_seconds()) continue;
      Duration d = std::chrono::seconds(std::max<int64_t>(0, t.toleration_seconds()));
      stay = stay ? std::min(*stay, d) : d;
    }
    if (!tolerated) return Duration(0);
  }
  return stay;
}

TaintEvictionController::TaintEvictionController(Deps deps)
    : Controller(deps, "taint_eviction", "taint-eviction-controller", 8),
      nodes_(watch<Node>()),
      pods_(watch<Pod>()) {
  index_by_node(pods_.base());
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    if (!now) {
      since_.erase(std::string(before->metadata().uid()));
      return;
    }
    if (now->spec().node_name().empty()) return;
    auto node = nodes_.get("", now->spec().node_name());
    if (node && has_no_execute(*node)) {
      queue().add(std::string(now->metadata().namespace_()) + "/" +
                  std::string(now->metadata().name()));
    }
  });
  nodes_.on_change([this](const Ref<Node>& before, const Ref<Node>& now) {
    bool was = before && has_no_execute(*before), is = now && has_no_execute(*now);
    if (!now || (!was && !is)) return;
    if (before && before->spec().taints().value().equals(now->spec().taints().value())) return;
    for (const auto& pod : pods_.by_index(kNodeIndex, now->metadata().name())) {
      queue().add(std::string(pod->metadata().namespace_()) + "/" +
                  std::string(pod->metadata().name()));
    }
  });
}

Task<ReconcileResult> TaintEvictionController::reconcile(Context ctx, std::string key) {
  auto parts = split_key(key);
  Ref<Pod> pod = pods_.get(parts.first, parts.second);
  if (!pod || !pod->metadata().deletion_timestamp().empty()) co_return Status();
  std::string uid(pod->metadata().uid());
  Ref<Node> node = nodes_.get("", pod->spec().node_name());
  std::optional<Duration> stay = node ? plan_stay(*pod, *node) : std::nullopt;
  if (!stay) {
    if (since_.erase(uid)) {
      events().normal(reference_to(pod), "TaintManagerEviction",
                      "Cancelling deletion of Pod " + key);
    }
    co_return Status();
  }
  TimePoint since = since_.emplace(uid, loop().now()).first->second;
  if (*stay > Duration(0) && loop().now() - since < *stay) {
    co_return ReconcileResult::after(since + *stay - loop().now() + 1ms);
  }
  events().normal(reference_to(pod), "TaintManagerEviction", "Marking for deletion Pod " + key);
  PodConditionWrite disrupted{kDisruptionTarget, "True", "DeletionByTaintManager",
                              "Taint manager: deleting due to NoExecute taint"};
  std::optional<Document> patch = pod_condition_patch(*pod, disrupted, loop().wall_now());
  if (patch) {
    Status marked =
        co_await patch_pod_status(ctx, &client(), parts.first, parts.second, std::move(*patch));
    if (!marked.ok()) co_return marked;
  }
  DeleteOptions o;
  o.uid = uid;
  Status s = co_await client().remove<Pod>(ctx, parts.first, parts.second, o);
  if (s.is(Reason::kNotFound)) co_return Status();
  if (s.ok()) count_deletion(loop().now() - since - *stay);
  co_return s;
}

}  // namespace keles::controllers
