// Volumes changed to another VolumeAttributesClass (upstream: external-resizer's modify
// controller).
#include "base/log.h"
#include "csi/sidecar.h"
#include "machinery/time.h"

namespace keles::csi {

using namespace api::core_v1;

namespace {

constexpr int kConflicts = 5;
constexpr std::string_view kModifying = "ModifyingVolume", kModifyError = "ModifyVolumeError";

void drop_condition(PersistentVolumeClaimStatusEdit status, const PersistentVolumeClaim& claim) {
  auto conditions = status.edit_conditions();
  for (size_t i = claim.status().conditions().size(); i-- > 0;) {
    const std::string_view type = claim.status().conditions()[i].type();
    if (type == kModifying || type == kModifyError) conditions.erase_at(i);
  }
}

}  // namespace

void describe_modification(PersistentVolumeClaimStatusEdit status,
                           const PersistentVolumeClaim& claim, const Modification& m) {
  drop_condition(status, claim);
  if (m.state == "Done") {
    status.set_current_volume_attributes_class_name(m.target);
    status.clear_modify_volume_status();
    return;
  }
  auto modify = status.edit_modify_volume_status();
  modify.set_target_volume_attributes_class_name(m.target);
  modify.set_status(m.state);
  if (m.why.empty() && m.state != "InProgress") return;
  auto c = status.edit_conditions().add();
  c.set_type(m.why.empty() ? kModifying : kModifyError);
  c.set_status("True");
  c.set_last_transition_time(m.now);
  c.set_message(m.why.empty() ? "ModifyVolume operation in progress."
                              : "ModifyVolume failed with error. Waiting for retry.");
}

bool is_to_be_modified(const PersistentVolumeClaim& claim, const PersistentVolume& volume) {
  const std::string_view target = claim.spec().volume_attributes_class_name();
  if (target.empty() || claim.status().phase() != "Bound" ||
      volume.spec().claim_ref().uid() != claim.metadata().uid())
    return false;
  const auto under_way = claim.status().modify_volume_status();
  // Only another class, or a class of other parameters, changes that.
  if (under_way && under_way.status() == "Infeasible" &&
      under_way.target_volume_attributes_class_name() == target)
    return false;
  return under_way || claim.status().current_volume_attributes_class_name() != target;
}

Task<Status> Sidecar::tell_modified(Context ctx, Ref<Claim> claim, Modification m) {
  const std::string ns(claim->metadata().namespace_()), name(claim->metadata().name());
  const std::string uid(claim->metadata().uid());
  m.now = format_time(loop().wall_now());
  Status s;
  for (int i = 0; i < kConflicts; ++i) {
    Draft<PersistentVolumeClaimEdit> next(*claim);
    describe_modification(next->edit_status(), *claim, m);
    auto r = co_await client().update_status<Claim>(ctx, next.take());
    s = r.status();
    if (!s.is(Reason::kConflict)) break;
    auto newer = co_await client().get<Claim>(ctx, ns, name);
    if (!newer.ok()) co_return newer.status();
    claim = *newer;
    if (claim->metadata().uid() != uid) co_return Status();
  }
  co_return s;
}

Task<Status> Sidecar::modify(Context ctx, Ref<Claim> claim, Ref<Volume> volume) {
  if (!is_to_be_modified(*claim, *volume) || !has("MODIFY_VOLUME")) co_return Status();
  if (!options_.node.empty()) {
    auto here = topology(options_.node);
    if (!here || !lies_at(*volume, *here)) co_return Status();
  }
  const std::string ns(claim->metadata().namespace_()), its_name(claim->metadata().name());
  Modification m;
  m.target = claim->spec().volume_attributes_class_name();
  const Ref<Attributes> attributes = attributes_.get("", m.target);
  std::string missing;
  if (!attributes) {
    missing = "VAC " + m.target + " does not exist.";
  } else if (attributes->driver_name() != options_.driver) {
    missing = "VAC " + m.target + " is for the driver " + std::string(attributes->driver_name()) +
              ", not for " + options_.driver + ".";
  }
  if (!missing.empty()) {
    events().warning(reference_to(claim), "VolumeModifyFailed", missing);
    m.state = "Pending";
    Status told = co_await tell_modified(ctx, claim, m);
    co_return told;  // its coming is heard of
  }
  const std::string what =
      "volume " + std::string(volume->metadata().name()) + " with vac " + m.target;
  events().normal(reference_to(claim), "VolumeModify", "external resizer is modifying " + what);
  m.state = "InProgress";
  Status s = co_await tell_modified(ctx, claim, m);
  if (!s.ok()) co_return s;
  const auto ref = volume->spec().csi().controller_expand_secret_ref();
  SecretName name;
  name.name = ref.name();
  name.ns = ref.namespace_();
  auto secrets = co_await secret(ctx, name);
  if (!secrets.ok()) co_return secrets.status();
  Draft<v1::ControllerModifyVolumeRequestEdit> q;
  q->set_volume_id(volume->spec().csi().volume_handle());
  fill(q->edit_secrets(), *secrets);
  for (auto [key, value] : attributes->parameters()) q->edit_mutable_parameters().set(key, value);
  auto got = co_await call<v1::ControllerModifyVolumeResponse>(
      ctx, options_.socket, "Controller/ControllerModifyVolume", &q);
  if (!got.ok()) {
    events().warning(reference_to(claim), "VolumeModifyFailed", got.status().message());
    m.why = got.status().message();
    if (is_infeasible(got.status())) m.state = "Infeasible";
    auto newest = co_await client().get<Claim>(ctx, ns, its_name);
    if (newest.ok()) s = co_await tell_modified(ctx, *newest, m);
    co_return m.state == "Infeasible" ? s : got.status();
  }
  Draft<PersistentVolumeEdit> changed(*volume);
  changed->edit_spec().set_volume_attributes_class_name(m.target);
  auto r = co_await client().update<Volume>(ctx, changed.take());
  if (!r.ok()) co_return r.status();
  auto newest = co_await client().get<Claim>(ctx, ns, its_name);
  if (!newest.ok()) co_return newest.status();
  m.state = "Done";
  s = co_await tell_modified(ctx, *newest, m);
  if (s.ok()) {
    events().normal(reference_to(claim), "VolumeModifySuccessful",
                    "external resizer modified " + what + " successfully");
  }
  co_return s;
}

}  // namespace keles::csi
