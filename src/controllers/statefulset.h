// StatefulSet controller: pods with a number, a name and volumes of their own, made and replaced in
// order (upstream: pkg/controller/statefulset). Whether their claims outlive them is KEP 1847, how
// many may be away during an update KEP 961.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "controllers/kit.h"
#include "controllers/revisions.h"

namespace keles::controllers {

// What its plan needs to see.
struct StatefulSetView {
  const api::apps_v1::StatefulSet& set;
  const std::vector<Ref<api::core_v1::Pod>>& pods;  // those that it controls
  // Names of the revision of its template, and of the one that its pods have had so far.
  std::string current_revision, update_revision;
  // The claim of that name, empty when there is none.
  std::function<Ref<api::core_v1::PersistentVolumeClaim>(const std::string& name)> claim;
  WallTime now;
};

struct StatefulSetPlan {
  struct Create {
    int64_t ordinal = 0;
    bool as_it_was = false;  // of the current revision, not of the update's
  };
  struct Owners {  // of a claim
    Draft<api::core_v1::PersistentVolumeClaimEdit> claim;
    bool conflict = false;  // another controller has it: it is let go of
  };
  // In this order.
  std::vector<Create> create;                       // with the claims that are missing
  std::vector<Ref<api::core_v1::Pod>> lack_claims;  // pods that wait: their claims are made anew
  std::vector<Draft<api::core_v1::PodEdit>> mend;   // whose labels or volumes are not the set's
  std::vector<Owners> owners;
  std::vector<Ref<api::core_v1::Pod>> remove;  // finished, beyond the size, or out of date
  int64_t replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
  int64_t away = 0, may_be_away = 0;  // of a rolling update; the latter 0 when there is none
  bool rolled_out = false;            // the update's revision is the current one now
};

StatefulSetPlan plan_stateful_set(const StatefulSetView& view);

// Whom the claim of a pod is to belong to by the set's retention policy; nothing when it does
// already, or is to be left alone.
std::optional<StatefulSetPlan::Owners> plan_claim_owners(
    const api::apps_v1::StatefulSet& set, const api::core_v1::Pod& pod,
    const api::core_v1::PersistentVolumeClaim& claim);

// -1 when the name is not "SET-NUMBER".
int64_t ordinal_of(std::string_view set, std::string_view pod);
// What "TEMPLATE-SET-NUMBER" may mean: each of its dashes may be the one before the set's name.
std::vector<std::pair<std::string_view, std::string_view>> claim_name_readings(
    std::string_view claim);
bool has_claim_template(const api::apps_v1::StatefulSet& set, std::string_view name);
std::string stateful_claim_name(const api::apps_v1::StatefulSet& set,
                                const api::core_v1::PersistentVolumeClaim& from, int64_t ordinal);
Draft<api::core_v1::PersistentVolumeClaimEdit> stateful_claim(
    const api::apps_v1::StatefulSet& set, const api::core_v1::PersistentVolumeClaim& from,
    int64_t ordinal);
Draft<api::core_v1::PodEdit> stateful_pod(const api::apps_v1::StatefulSet& set, int64_t ordinal,
                                          const std::string& revision);

// The set with the template that it had then.
Ref<api::apps_v1::StatefulSet> stateful_set_as_of(const Ref<api::apps_v1::StatefulSet>& set,
                                                  const api::apps_v1::ControllerRevision& revision);

class StatefulSetController final : public ControllerFor<api::apps_v1::StatefulSet> {
 public:
  explicit StatefulSetController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using StatefulSet = api::apps_v1::StatefulSet;
  using Pod = api::core_v1::Pod;
  using PersistentVolumeClaim = api::core_v1::PersistentVolumeClaim;
  Task<Status> make_claims(Context ctx, Ref<StatefulSet> set, int64_t ordinal);
  Task<Status> create_pod(Context ctx, Ref<StatefulSet> set, Ref<StatefulSet> from, int64_t ordinal,
                          std::string revision);
  Task<Status> mend_pod(Context ctx, Ref<StatefulSet> set, Document pod);
  Task<Status> write_owners(Context ctx, Ref<StatefulSet> set, StatefulSetPlan* plan);
  Task<Status> remove_pod(Context ctx, Ref<StatefulSet> set, Ref<Pod> pod);
  Task<Status> carry_out(Context ctx, Ref<StatefulSet> set, StatefulSetPlan* plan,
                         std::string current, std::string update);
  Task<Status> update_status(Context ctx, Ref<StatefulSet> set, const StatefulSetPlan* plan,
                             std::string current, std::string update);
  void tell(const Ref<StatefulSet>& set, std::string_view verb, std::string_view pod,
            const Status& outcome);

  Keys sets_of_claim(std::string_view ns, std::string_view claim) const;

  Informer<Pod> pods_;
  Informer<PersistentVolumeClaim> claims_;
  Informer<api::apps_v1::ControllerRevision> revisions_;
};

}  // namespace keles::controllers
