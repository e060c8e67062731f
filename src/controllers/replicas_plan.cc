// What is to be done about a number of equal pods, and which of them are worth the least.
#include <algorithm>
#include <charconv>
#include <map>

#include "controllers/ownership.h"
#include "controllers/replicas.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr int kBurst = 500;  // pods created or deleted in one reconcile

int phase_rank(std::string_view phase) {
  return phase == "Running" ? 2 : phase == "Pending" ? 0 : 1;
}

// What deletion is decided by; see rank_for_deletion.
struct Rank {
  bool assigned, ready;
  int phase;
  int64_t cost;
  int companions;  // related pods on the same node
  WallTime ready_since, created;
  int64_t restarts, sidecar_restarts;
  std::string uid;
};

// Ages fall into buckets that double, so that pods of about one age are chosen from evenly.
int64_t age_bucket(WallTime since, WallTime now) {
  int64_t ns = (now - since).count();
  int64_t bucket = ns <= 0 ? -1 : 0;
  for (; ns > 1; ns >>= 1) ++bucket;
  return bucket;
}

// Which of two different times goes first: one that is unknown, the younger by its bucket, or, of
// one bucket, either (by uid).
bool younger_first(WallTime a, WallTime b, const Rank& x, const Rank& y, WallTime now) {
  if (a == kNone || b == kNone) return a == kNone;
  int64_t p = age_bucket(a, now), q = age_bucket(b, now);
  return p != q ? p < q : x.uid < y.uid;
}

bool is_sidecar(const Pod& pod, std::string_view name) {
  for (Container c : pod.spec().init_containers()) {
    if (c.name() == name) return c.restart_policy() == "Always";
  }
  return false;
}

Rank rank_of(const Pod& pod, int companions) {
  Rank r;
  r.assigned = !pod.spec().node_name().empty();
  r.phase = phase_rank(pod.status().phase());
  r.ready = pod_is_ready(pod);
  std::string_view cost =
      pod.metadata().annotations().get("controller.kubernetes.io/pod-deletion-cost");
  r.cost = 0;
  std::from_chars(cost.data(), cost.data() + cost.size(), r.cost);
  r.companions = companions;
  r.ready_since = time_or_none(pod_condition(pod, "Ready").last_transition_time());
  r.restarts = r.sidecar_restarts = 0;
  for (auto c : pod.status().container_statuses()) {
    r.restarts = std::max<int64_t>(r.restarts, c.restart_count());
  }
  for (auto c : pod.status().init_container_statuses()) {
    if (!is_sidecar(pod, c.name())) continue;
    r.sidecar_restarts = std::max<int64_t>(r.sidecar_restarts, c.restart_count());
  }
  r.created = time_or_none(pod.metadata().creation_timestamp());
  r.uid = std::string(pod.metadata().uid());
  return r;
}

bool goes_first(const Rank& a, const Rank& b, WallTime now) {
  if (a.assigned != b.assigned) return !a.assigned;
  if (a.phase != b.phase) return a.phase < b.phase;
  if (a.ready != b.ready) return !a.ready;
  if (a.cost != b.cost) return a.cost < b.cost;
  if (a.companions != b.companions) return a.companions > b.companions;
  if (a.ready && b.ready && a.ready_since != b.ready_since) {
    return younger_first(a.ready_since, b.ready_since, a, b, now);
  }
  if (a.restarts != b.restarts) return a.restarts > b.restarts;
  if (a.sidecar_restarts != b.sidecar_restarts) return a.sidecar_restarts > b.sidecar_restarts;
  if (a.created != b.created) return younger_first(a.created, b.created, a, b, now);
  return a.uid < b.uid;
}

}  // namespace

void rank_for_deletion(std::vector<Ref<Pod>>& pods, const std::vector<Ref<Pod>>& related,
                       WallTime now) {
  std::map<std::string, int, std::less<>> on_node;
  for (const auto& p : related) {
    if (pod_is_active(*p)) ++on_node[std::string(p->spec().node_name())];
  }
  std::vector<std::pair<Rank, Ref<Pod>>> ranked;
  for (const auto& p : pods) {
    auto companions = on_node.find(p->spec().node_name());
    ranked.emplace_back(rank_of(*p, companions == on_node.end() ? 0 : companions->second), p);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [now](const auto& a, const auto& b) {
    return goes_first(a.first, b.first, now);
  });
  for (size_t i = 0; i < pods.size(); ++i) pods[i] = ranked[i].second;
}

ReplicasPlan plan_replicas(const Claimant& owner, int64_t wanted,
                           const std::vector<Ref<Pod>>& candidates, const RelatedPods& related,
                           WallTime now) {
  ReplicasPlan plan;
  std::vector<Ref<Pod>> active;
  for (const Ref<Pod>& pod : candidates) {
    if (pod_is_active(*pod)) {
      active.push_back(pod);
    } else if (!pod_has_finished(*pod) && is_controlled_by(pod->metadata(), owner.uid) &&
               owner.selector.matches(pod->metadata().labels())) {
      ++plan.terminating;
    }
  }
  plan.claims = plan_claims(owner, active);
  const std::vector<Ref<Pod>>& owned = plan.claims.owned;
  if (owner.dying) return plan;
  int64_t have = static_cast<int64_t>(owned.size());
  if (have < wanted) plan.create = static_cast<int>(std::min<int64_t>(wanted - have, kBurst));
  if (have > wanted) {
    plan.remove = owned;
    if (wanted > 0) rank_for_deletion(plan.remove, related(), now);
    plan.remove.resize(static_cast<size_t>(std::min<int64_t>(have - wanted, kBurst)));
  }
  return plan;
}

}  // namespace keles::controllers
