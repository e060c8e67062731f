#include "controllers/storage/ephemeral.h"

#include "base/metrics.h"
#include "controllers/storage/pod_claims.h"
#include "machinery/volumes/claim_rules.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

Document claim_for(const Pod& pod, const Volume& volume, const std::string& name) {
  const auto from = volume.ephemeral().volume_claim_template();
  Draft<PersistentVolumeClaimEdit> claim;
  auto meta = claim->edit_metadata();
  meta.set_name(name);
  meta.set_namespace_(pod.metadata().namespace_());
  if (from.metadata().has_annotations()) meta.set_annotations(from.metadata().annotations());
  if (from.metadata().has_labels()) meta.set_labels(from.metadata().labels());
  auto owner = meta.edit_owner_references().add();
  owner.set_api_version("v1");
  owner.set_kind("Pod");
  owner.set_name(pod.metadata().name());
  owner.set_uid(pod.metadata().uid());
  owner.set_controller(true);
  owner.set_block_owner_deletion(true);
  claim->set_spec(from.spec());
  return claim.take();
}

}  // namespace

std::vector<EphemeralClaim> plan_ephemeral(
    const Pod& pod, const std::function<Ref<PersistentVolumeClaim>(std::string_view)>& find) {
  std::vector<EphemeralClaim> out;
  if (!pod.metadata().deletion_timestamp().empty()) return out;
  for (Volume v : pod.spec().volumes()) {
    if (!v.has_ephemeral()) continue;
    EphemeralClaim e;
    e.volume = v.name();
    e.claim = volumes::claim_name(pod, v);
    if (const auto there = find(e.claim)) {
      e.conflict = volumes::check_made_for(pod, *there);
      if (e.conflict.ok()) continue;
    } else {
      e.make = claim_for(pod, v, e.claim);
    }
    out.push_back(std::move(e));
  }
  return out;
}

EphemeralVolumes::EphemeralVolumes(Deps deps)
    : Controller(deps, "ephemeral_volume", "ephemeral_volume", 5),
      pods_(watch<Pod>()),
      claims_(watch<PersistentVolumeClaim>()) {
  index_pods_by_claim(pods_);
  pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) {
    if (!before) pod_came(now);
  });
  claims_.on_change(
      [this](const Ref<PersistentVolumeClaim>& before, const Ref<PersistentVolumeClaim>& now) {
        if (now) return;
        const auto meta = before->metadata();
        for (const Ref<Pod>& pod : pods_of_claim(pods_, meta.namespace_(), meta.name()))
          pod_came(pod);
      });
}

void EphemeralVolumes::pod_came(const Ref<Pod>& pod) {
  if (!pod->metadata().deletion_timestamp().empty()) return;
  for (Volume v : pod->spec().volumes()) {
    if (!v.has_ephemeral()) continue;
    queue().add(std::string(pod->metadata().namespace_()) + "/" +
                std::string(pod->metadata().name()));
    return;
  }
}

Task<ReconcileResult> EphemeralVolumes::reconcile(Context ctx, std::string key) {
  static metrics::Counter& attempts =
      metrics::counter("ephemeral_volume_controller_create_total",
                       "Number of PersistentVolumeClaim creation requests");
  static metrics::Counter& failures =
      metrics::counter("ephemeral_volume_controller_create_failures_total",
                       "Number of PersistentVolumeClaim creation requests");
  const auto [ns, name] = split_key(key);
  const Ref<Pod> pod = pods_.get(ns, name);
  if (!pod) co_return Status();
  const std::string in = ns;
  std::vector<EphemeralClaim> plan =
      plan_ephemeral(*pod, [&](std::string_view claim) { return claims_.get(in, claim); });
  for (EphemeralClaim& e : plan) {
    Status s = e.conflict;
    if (e.make) {
      attempts.add();
      auto made = co_await client().create<PersistentVolumeClaim>(ctx, std::move(*e.make));
      s = made.status();
      if (s.ok()) continue;
      failures.add();
      s = s.with_prefix("create PVC " + e.claim);
    }
    events().warning(reference_to(pod), "FailedBinding",
                     "ephemeral volume " + e.volume + ": " + s.message());
    co_return s;
  }
  co_return Status();
}

}  // namespace keles::controllers
