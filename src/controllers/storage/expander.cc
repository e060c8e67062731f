#include "controllers/storage/expander.h"

#include "machinery/quantity.h"
#include "machinery/volumes/claim_rules.h"
#include "machinery/volumes/plugins.h"

namespace keles::controllers {

using namespace api::core_v1;

namespace {

constexpr std::string_view kResizer = "volume.kubernetes.io/storage-resizer";

Quantity asked(const PersistentVolumeClaim& c) {
  return Quantity::parse_or_zero(c.spec().resources().requests().get("storage"));
}

Quantity had(const PersistentVolumeClaim& c) {
  return Quantity::parse_or_zero(c.status().capacity().get("storage"));
}

}  // namespace

ExpandPlan plan_expand(const PersistentVolumeClaim& claim, const PersistentVolume& volume) {
  ExpandPlan p;
  const auto ref = volume.spec().claim_ref();
  const auto meta = claim.metadata();
  if (!ref || ref.namespace_() != meta.namespace_() || ref.uid() != meta.uid()) {
    p.error = Status(Reason::kInvalid, "persistent Volume is not bound to PVC being updated : " +
                                           std::string(meta.namespace_()) + "/" +
                                           std::string(meta.name()));
    return p;
  }
  if (asked(claim) <= had(claim) &&
      !volume.metadata().annotations().contains(volumes::kPreResizeCapacity)) {
    return p;
  }
  p.wanted = true;
  p.event = "waiting for an external controller to expand this PVC";
  const std::string successor(volumes::csi_successor(volume));
  if (successor.empty()) return p;
  p.event = "CSI migration enabled for " + std::string(volumes::source_plugin(volume)) +
            "; waiting for external resizer to expand the pvc";
  if (meta.annotations().get(kResizer) != successor) p.resizer = successor;
  return p;
}

VolumeExpander::VolumeExpander(Deps deps)
    : Controller(deps, "volume_expand", "volume_expand", 10),
      claims_(watch<PersistentVolumeClaim>()) {
  claims_.on_change(
      [this](const Ref<PersistentVolumeClaim>& before, const Ref<PersistentVolumeClaim>& now) {
        if (!now || now->status().phase() != "Bound") return;
        if (before && asked(*now) <= asked(*before) && had(*now) <= had(*before)) return;
        if (asked(*now) <= had(*now)) return;
        queue().add(std::string(now->metadata().namespace_()) + "/" +
                    std::string(now->metadata().name()));
      });
}

Task<ReconcileResult> VolumeExpander::reconcile(Context ctx, std::string key) {
  const auto [ns, name] = split_key(key);
  const Ref<PersistentVolumeClaim> claim = claims_.get(ns, name);
  if (!claim || claim->spec().volume_name().empty()) co_return Status();
  const std::string of(claim->spec().volume_name());
  auto volume = co_await client().get<PersistentVolume>(ctx, "", of);
  if (!volume.ok()) co_return volume.status().with_prefix("failed to get PV \"" + of + "\"");
  const ExpandPlan plan = plan_expand(*claim, **volume);
  if (!plan.error.ok() || !plan.wanted) co_return plan.error;
  events().normal(reference_to(claim), "ExternalExpanding", plan.event);
  if (plan.resizer.empty()) co_return Status();
  Draft<PersistentVolumeClaimEdit> next(*claim);
  next->edit_metadata().edit_annotations().set(kResizer, plan.resizer);
  auto r = co_await client().update<PersistentVolumeClaim>(ctx, next.take());
  if (!r.ok()) {
    events().warning(
        reference_to(claim), "ExternalExpanding",
        "error setting resizer annotation to pvc " + key + ", with error " + r.status().message());
  }
  co_return r.status();
}

}  // namespace keles::controllers
