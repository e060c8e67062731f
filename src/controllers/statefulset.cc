#include "controllers/statefulset.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "controllers/ownership.h"

namespace keles::controllers {

using namespace api::apps_v1;
using namespace api::core_v1;

namespace {

std::string pod_name(const StatefulSet& set, int64_t ordinal) {
  return std::string(set.metadata().name()) + "-" + std::to_string(ordinal);
}

std::string claim_name(const StatefulSet& set, const PersistentVolumeClaim& claim,
                       int64_t ordinal) {
  return std::string(claim.metadata().name()) + "-" + pod_name(set, ordinal);
}

std::string revision_of(const Pod& pod) {
  return std::string(pod.metadata().labels().get(kRevisionHashLabel));
}

bool is_leaving(const Pod& pod) { return !pod.metadata().deletion_timestamp().empty(); }

}  // namespace

int64_t ordinal_of(std::string_view set, std::string_view pod) {
  if (pod.size() <= set.size() + 1 || !pod.starts_with(set) || pod[set.size()] != '-') return -1;
  std::string_view digits = pod.substr(set.size() + 1);
  int64_t n = -1;
  auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  return error == std::errc() && at == digits.data() + digits.size() ? n : -1;
}

StatefulSetPlan plan_stateful_set(const StatefulSet& set, const std::vector<Ref<Pod>>& pods,
                                  const std::string& current_revision,
                                  const std::string& update_revision, WallTime now) {
  StatefulSetPlan plan;
  int64_t wanted = set.spec().has_replicas() ? set.spec().replicas() : 1;
  int64_t start = set.spec().ordinals().start();
  bool parallel = set.spec().pod_management_policy() == "Parallel";
  std::map<int64_t, Ref<Pod>> by_ordinal;
  for (const auto& p : pods) {
    int64_t n = ordinal_of(set.metadata().name(), p->metadata().name());
    if (n >= 0) by_ordinal[n] = p;
  }
  auto serves = [&](const Ref<Pod>& p) {
    return p && !is_leaving(*p) && pod_is_available(*p, set.spec().min_ready_seconds(), now);
  };
  for (const auto& [n, p] : by_ordinal) {
    ++plan.replicas;
    plan.ready += pod_is_ready(*p) ? 1 : 0;
    plan.available += serves(p) ? 1 : 0;
    if (is_leaving(*p)) continue;
    plan.current += revision_of(*p) == current_revision ? 1 : 0;
    plan.updated += revision_of(*p) == update_revision ? 1 : 0;
  }
  // Upwards: every number has its pod, each only after those before it serve.
  bool held = false;
  for (int64_t n = start; n < start + wanted && !held; ++n) {
    Ref<Pod> p = by_ordinal.contains(n) ? by_ordinal[n] : Ref<Pod>();
    if (!p) {
      plan.create.push_back(n);
    } else if (pod_has_finished(*p) && !is_leaving(*p)) {
      plan.remove.push_back(p);
    } else if (serves(p)) {
      continue;
    }
    held = !parallel;
  }
  // Downwards: what is beyond the size goes, the highest first, one at a time; and none but the
  // lowest that does not serve may go while it does not.
  bool shrinking = false;
  Ref<Pod> first_unavailable;
  auto condemned = [&](int64_t n) { return n < start || n >= start + wanted; };
  for (const auto& [n, p] : by_ordinal) {
    if (condemned(n) && !serves(p) && !first_unavailable) first_unavailable = p;
  }
  for (auto it = by_ordinal.rbegin(); it != by_ordinal.rend(); ++it) {
    if (!condemned(it->first)) continue;
    const Ref<Pod>& p = it->second;
    shrinking = true;
    if (held && !parallel) break;
    bool waits =
        !parallel && !serves(p) && p->metadata().uid() != first_unavailable->metadata().uid();
    if (!is_leaving(*p) && !waits) plan.remove.push_back(p);
    if (!parallel) break;
  }
  if (held || shrinking || set.spec().update_strategy().type() == "OnDelete") return plan;
  // Old ones are replaced from the highest down to the partition, one at a time.
  int64_t partition = set.spec().update_strategy().rolling_update().partition();
  for (int64_t n = start + wanted - 1; n >= start + partition; --n) {
    auto it = by_ordinal.find(n);
    if (it == by_ordinal.end()) break;
    if (revision_of(*it->second) != update_revision) {
      if (!is_leaving(*it->second)) plan.remove.push_back(it->second);
      break;
    }
    if (!serves(it->second)) break;
  }
  return plan;
}

Draft<PodEdit> stateful_pod(const StatefulSet& set, int64_t ordinal, const std::string& revision) {
  auto pod = pod_from_template(set.spec().template_(), kind_of<StatefulSet>(), set.metadata());
  std::string name = pod_name(set, ordinal);
  auto meta = pod->edit_metadata();
  meta.set_name(name);
  meta.clear_generate_name();
  meta.edit_labels().set("statefulset.kubernetes.io/pod-name", name);
  meta.edit_labels().set("apps.kubernetes.io/pod-index", std::to_string(ordinal));
  meta.edit_labels().set(kRevisionHashLabel, revision);
  auto spec = pod->edit_spec();
  spec.set_hostname(name);
  if (!set.spec().service_name().empty()) spec.set_subdomain(set.spec().service_name());
  for (PersistentVolumeClaim claim : set.spec().volume_claim_templates()) {
    auto volumes = spec.edit_volumes();
    for (size_t i = 0; i < volumes.size();) {
      if (volumes[i].name() == claim.metadata().name()) {
        volumes.erase_at(i);
      } else {
        ++i;
      }
    }
    auto v = volumes.add();
    v.set_name(claim.metadata().name());
    v.edit_persistent_volume_claim().set_claim_name(claim_name(set, claim, ordinal));
  }
  return pod;
}

StatefulSetController::StatefulSetController(Deps deps)
    : ControllerFor(deps, "statefulset", "statefulset-controller", 5),
      pods_(owns<Pod>()),
      claims_(watch<Claim>()),
      revisions_(owns<ControllerRevision>()) {
  // Whoever's a pod was that has gone: its name is free again.
  pods_.base().add_handler({nullptr, nullptr, [this](const ObjectPtr& last) {
                              std::string_view name = last->name();
                              name = name.substr(0, std::min(name.rfind('-'), name.size()));
                              auto waiting = objects().base().get(last->namespace_(), name);
                              if (waiting) queue().add(waiting->key());
                            }});
}

Task<Status> StatefulSetController::make_claims(Context ctx, Ref<StatefulSet> set,
                                                int64_t ordinal) {
  std::string ns(set->metadata().namespace_());
  for (PersistentVolumeClaim claim : set->spec().volume_claim_templates()) {
    std::string name = claim_name(*set, claim, ordinal);
    if (claims_.get(ns, name)) continue;
    Draft<PersistentVolumeClaimEdit> d(claim);
    d->clear_status();
    d->edit_metadata().set_namespace_(ns);
    d->edit_metadata().set_name(name);
    for (auto [k, v] : set->spec().selector().match_labels()) {
      d->edit_metadata().edit_labels().set(k, v);
    }
    auto r = co_await client().create<Claim>(ctx, d.take());
    if (!r.ok()) co_return r.status();  // one that our cache does not have yet may be gone before
    events().normal(reference_to(set), "SuccessfulCreate",
                    "create Claim " + name + " Pod " + pod_name(*set, ordinal) +
                        " in StatefulSet " + std::string(set->metadata().name()) + " success");
  }
  co_return Status();
}

Task<Status> StatefulSetController::create_pod(Context ctx, Ref<StatefulSet> set, int64_t ordinal,
                                               std::string revision) {
  TRY_CO(make_claims(ctx, set, ordinal));
  Document body = stateful_pod(*set, ordinal, revision).take();
  std::string what =
      " Pod " + pod_name(*set, ordinal) + " in StatefulSet " + std::string(set->metadata().name());
  auto r = co_await client().create<Pod>(ctx, std::move(body));
  if (r.ok()) {
    events().normal(reference_to(set), "SuccessfulCreate", "create" + what + " successful");
  } else if (!r.status().is(Reason::kAlreadyExists)) {
    events().warning(reference_to(set), "FailedCreate",
                     "create" + what + " failed error: " + r.status().message());
  }
  // By us and not seen yet, or a stranger's: tried again until our cache knows of it, for it may be
  // gone before we see it.
  co_return r.status();
}

Task<Status> StatefulSetController::remove_pod(Context ctx, Ref<StatefulSet> set, Ref<Pod> pod) {
  DeleteOptions o;
  o.uid = std::string(pod->metadata().uid());
  std::string name(pod->metadata().name());
  Status s = co_await remove_once(ctx, &client(), &kind_of<Pod>(),
                                  std::string(pod->metadata().namespace_()), name, o);
  if (s.ok()) {
    events().normal(reference_to(set), "SuccessfulDelete",
                    "delete Pod " + name + " in StatefulSet " +
                        std::string(set->metadata().name()) + " successful");
  }
  co_return s;
}

Task<Status> StatefulSetController::update_status(Context ctx, Ref<StatefulSet> set,
                                                  const StatefulSetPlan* plan, std::string current,
                                                  std::string update) {
  auto old = set->status();
  bool same = old.observed_generation() == set->metadata().generation() &&
              old.replicas() == plan->replicas && old.ready_replicas() == plan->ready &&
              old.available_replicas() == plan->available &&
              old.current_replicas() == plan->current && old.updated_replicas() == plan->updated &&
              old.current_revision() == current && old.update_revision() == update;
  if (same) co_return Status();
  Draft<StatefulSetEdit> d(*set);
  auto s = d->edit_status();
  s.set_observed_generation(set->metadata().generation());
  s.set_replicas(plan->replicas);
  s.set_ready_replicas(plan->ready);
  s.set_available_replicas(plan->available);
  s.set_current_replicas(plan->current);
  s.set_updated_replicas(plan->updated);
  s.set_current_revision(current);
  s.set_update_revision(update);
  co_return co_await write_status(ctx, d.take());
}

// The set with the template that it had then; as it is when that is not known any more.
Ref<StatefulSet> StatefulSetController::at_revision(const Ref<StatefulSet>& set,
                                                    const std::string& revision) const {
  auto r = revisions_.get(set->metadata().namespace_(), revision);
  if (!r || !r->data()["spec"]["template"].is_map()) return set;
  Draft<StatefulSetEdit> d(*set);
  d->edit_spec().set_template_(PodTemplateSpec(r->data()["spec"]["template"]));
  Document doc = d.take();
  doc.root.find("spec")->find("template")->erase("$patch");
  return Ref<StatefulSet>(std::make_shared<const Document>(std::move(doc)));
}

Task<ReconcileResult> StatefulSetController::reconcile(Context ctx, std::string key) {
  Ref<StatefulSet> set = find(key);
  if (!set) co_return Status();
  Claimant claims_as = claimant(*set);
  std::string_view set_name = set->metadata().name();
  auto claimed = plan_claims<Pod>(
      claims_as, candidates(pods_, claims_as),
      [set_name](const Pod& p) { return ordinal_of(set_name, p.metadata().name()) >= 0; });
  auto revisions = plan_claims(claims_as, candidates(revisions_, claims_as));
  auto settled = co_await settle_claims(ctx, &client(), claims_as, &claimed, &revisions);
  if (!settled.ok() || !*settled) co_return settled.status();
  const std::vector<Ref<Pod>>& pods = claimed.owned;
  std::string current(set->status().current_revision());
  std::vector<std::string> in_use{current};
  for (const auto& p : pods) in_use.push_back(revision_of(*p));
  const RevisionOwner owner = revision_owner(*set, kHashLabel);
  RevisionPlan history = plan_revisions(owner, revisions.owned, in_use);
  bool dying = claims_as.dying;
  if (dying) {  // only its status is kept
    history.create.reset();
    history.update.reset();
    history.remove.clear();
  }
  Status recorded = co_await write_revisions(ctx, &client(), &owner, &history);
  if (!recorded.ok()) co_return recorded;
  if (current.empty()) current = history.name;
  WallTime now = loop().wall_now();
  StatefulSetPlan plan = plan_stateful_set(*set, pods, current, history.name, now);
  int64_t wanted = set->spec().has_replicas() ? set->spec().replicas() : 1;
  bool rolled_out = plan.updated == wanted && plan.replicas == wanted && plan.ready == wanted;
  if (rolled_out && current != history.name) {
    current = history.name;
    plan.current = plan.updated;
  }
  if (dying) {
    plan.create.clear();
    plan.remove.clear();
  }
  Status done;
  for (const auto& p : plan.remove) {
    Status s = co_await remove_pod(ctx, set, p);
    if (done.ok()) done = s;
  }
  for (int64_t n : plan.create) {
    // Below the partition a pod is made anew as it was.
    int64_t partition =
        set->spec().ordinals().start() + set->spec().update_strategy().rolling_update().partition();
    bool as_it_was = n < partition && current != history.name;
    Ref<StatefulSet> from = as_it_was ? at_revision(set, current) : set;
    std::string revision = as_it_was ? current : history.name;
    Status s = co_await create_pod(ctx, from, n, revision);
    if (done.ok()) done = s;
  }
  Status s = co_await update_status(ctx, set, &plan, current, history.name);
  if (!done.ok()) co_return done;
  if (!s.ok()) co_return s;
  co_return ReconcileResult::after(
      until_next_available(pods, set->spec().min_ready_seconds(), now));
}

}  // namespace keles::controllers
