// What is to be done about a number of equal pods, and which of them are worth the least.
#include <algorithm>
#include <charconv>

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
  int companions;  // pods of the set on the same node
  int64_t ready_bucket, restarts, created_bucket;
  std::string uid;
};

// Ages fall into buckets that double, so that pods of about one age are chosen from evenly.
int64_t age_bucket(std::string_view since, WallTime now) {
  WallTime t = time_or_none(since);
  if (t == kNone) return -1;
  int64_t ns = (now - t).count();
  int64_t bucket = 0;
  for (; ns > 1; ns >>= 1) ++bucket;
  return bucket;
}

Rank rank_of(const Pod& pod, int companions, WallTime now) {
  Rank r;
  r.assigned = !pod.spec().node_name().empty();
  r.phase = phase_rank(pod.status().phase());
  r.ready = pod_is_ready(pod);
  std::string_view cost =
      pod.metadata().annotations().get("controller.kubernetes.io/pod-deletion-cost");
  r.cost = 0;
  std::from_chars(cost.data(), cost.data() + cost.size(), r.cost);
  r.companions = companions;
  r.ready_bucket =
      r.ready ? age_bucket(pod_condition(pod, "Ready").last_transition_time(), now) : -1;
  r.restarts = 0;
  for (auto c : pod.status().container_statuses()) {
    r.restarts = std::max<int64_t>(r.restarts, c.restart_count());
  }
  r.created_bucket = age_bucket(pod.metadata().creation_timestamp(), now);
  r.uid = std::string(pod.metadata().uid());
  return r;
}

bool goes_first(const Rank& a, const Rank& b) {
  if (a.assigned != b.assigned) return !a.assigned;
  if (a.phase != b.phase) return a.phase < b.phase;
  if (a.ready != b.ready) return !a.ready;
  if (a.cost != b.cost) return a.cost < b.cost;
  if (a.companions != b.companions) return a.companions > b.companions;
  if (a.ready && b.ready && a.ready_bucket != b.ready_bucket)
    return a.ready_bucket < b.ready_bucket;
  if (a.restarts != b.restarts) return a.restarts > b.restarts;
  if (a.created_bucket != b.created_bucket) return a.created_bucket < b.created_bucket;
  return a.uid < b.uid;
}

}  // namespace

void rank_for_deletion(std::vector<Ref<Pod>>& pods, WallTime now) {
  std::map<std::string, int, std::less<>> on_node;
  for (const auto& p : pods) ++on_node[std::string(p->spec().node_name())];
  std::vector<std::pair<Rank, Ref<Pod>>> ranked;
  for (const auto& p : pods) {
    ranked.emplace_back(rank_of(*p, on_node.find(p->spec().node_name())->second, now), p);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return goes_first(a.first, b.first); });
  for (size_t i = 0; i < pods.size(); ++i) pods[i] = ranked[i].second;
}

ReplicasPlan plan_replicas(const Claimant& owner, int64_t wanted,
                           const std::vector<Ref<Pod>>& candidates, WallTime now) {
  ReplicasPlan plan;
  std::vector<Ref<Pod>> active;
  for (const Ref<Pod>& pod : candidates) {
    if (pod_is_active(*pod)) active.push_back(pod);
  }
  plan.claims = plan_claims(owner, active);
  const std::vector<Ref<Pod>>& owned = plan.claims.owned;
  if (owner.dying) return plan;
  int64_t have = static_cast<int64_t>(owned.size());
  if (have < wanted) plan.create = static_cast<int>(std::min<int64_t>(wanted - have, kBurst));
  if (have > wanted) {
    plan.remove = owned;
    rank_for_deletion(plan.remove, now);
    plan.remove.resize(static_cast<size_t>(std::min<int64_t>(have - wanted, kBurst)));
  }
  return plan;
}

}  // namespace keles::controllers
