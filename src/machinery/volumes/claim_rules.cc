#include "machinery/volumes/claim_rules.h"

#include "machinery/quantity.h"

namespace keles::volumes {

using namespace api::core_v1;
using api::storage_v1::StorageClass;

namespace {

constexpr std::string_view kOldClass = "volume.beta.kubernetes.io/storage-class";

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

template <class T>
std::string_view class_text(const T& object) {
  auto annotations = object.metadata().annotations();
  if (annotations.contains(kOldClass)) return annotations.get(kOldClass);
  return object.spec().storage_class_name();
}

}  // namespace

std::string_view class_of(const PersistentVolumeClaim& claim) { return class_text(claim); }
std::string_view class_of(const PersistentVolume& volume) { return class_text(volume); }

bool has_class(const PersistentVolumeClaim& claim) {
  return claim.metadata().annotations().contains(kOldClass) ||
         claim.spec().has_storage_class_name();
}

bool is_fully_bound(const PersistentVolumeClaim& claim) {
  return !claim.spec().volume_name().empty() &&
         claim.metadata().annotations().contains(kBindCompleted);
}

bool is_bound_to(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  if (!volume.spec().has_claim_ref()) return false;
  const ObjectReference ref = volume.spec().claim_ref();
  const auto meta = claim.metadata();
  return ref.name() == meta.name() && ref.namespace_() == meta.namespace_() &&
         (ref.uid().empty() || ref.uid() == meta.uid());
}

std::optional<Document> volume_bound_to(const PersistentVolume& volume,
                                        const PersistentVolumeClaim& claim) {
  const auto meta = claim.metadata();
  const ObjectReference ref = volume.spec().claim_ref();
  const bool names_it =
      ref.name() == meta.name() && ref.namespace_() == meta.namespace_() && ref.uid() == meta.uid();
  const bool by_us =
      !is_bound_to(volume, claim) && !volume.metadata().annotations().contains(kBoundByController);
  if (names_it && !by_us) return std::nullopt;
  Draft<PersistentVolumeEdit> next(volume);
  if (!names_it) {
    auto spec = next->edit_spec();
    spec.clear_claim_ref();
    auto to = spec.edit_claim_ref();
    to.set_kind("PersistentVolumeClaim");
    to.set_namespace_(meta.namespace_());
    to.set_name(meta.name());
    to.set_uid(meta.uid());
    to.set_api_version("v1");
    to.set_resource_version(meta.resource_version());
  }
  if (by_us) next->edit_metadata().edit_annotations().set(kBoundByController, "yes");
  return next.take();
}

bool is_block(const PersistentVolumeClaim& claim) { return claim.spec().volume_mode() == "Block"; }
bool is_block(const PersistentVolume& volume) { return volume.spec().volume_mode() == "Block"; }

bool waits_for_consumer(const StorageClass& c) {
  return c.volume_binding_mode() == "WaitForFirstConsumer";
}

Status check_satisfies(const PersistentVolume& volume, const PersistentVolumeClaim& claim) {
  auto no = [](std::string why) { return Status(Reason::kInvalid, std::move(why)); };
  const auto spec = volume.spec();
  const auto asked = claim.spec();
  if (!volume.metadata().deletion_timestamp().empty())
    return no("the volume is marked for deletion " + quoted(volume.metadata().name()));
  const auto size = Quantity::parse_or_zero(spec.capacity().get("storage"));
  const auto wanted = Quantity::parse_or_zero(asked.resources().requests().get("storage"));
  if (size.value() < wanted.value()) return no("requested PV is too small");
  if (class_of(volume) != class_of(claim)) return no("storageClassName does not match");
  if (spec.volume_attributes_class_name() != asked.volume_attributes_class_name())
    return no("volumeAttributesClassName does not match");
  if (is_block(volume) != is_block(claim)) return no("incompatible volumeMode");
  for (std::string_view mode : asked.access_modes()) {
    bool has = false;
    for (std::string_view m : spec.access_modes()) has = has || m == mode;
    if (!has) return no("incompatible accessMode");
  }
  return {};
}

bool is_default_class(const StorageClass& c) {
  auto annotations = c.metadata().annotations();
  return annotations.get("storageclass.kubernetes.io/is-default-class") == "true" ||
         annotations.get("storageclass.beta.kubernetes.io/is-default-class") == "true";
}

Ref<StorageClass> default_class(const std::vector<Ref<StorageClass>>& all) {
  Ref<StorageClass> best;
  for (const Ref<StorageClass>& c : all) {
    if (!is_default_class(*c)) continue;
    // Times of one form: their texts are in their order.
    const auto meta = c->metadata();
    const bool newer = !best || meta.creation_timestamp() > best->metadata().creation_timestamp();
    const bool as_new = best && meta.creation_timestamp() == best->metadata().creation_timestamp();
    if (newer || (as_new && meta.name() < best->metadata().name())) best = c;
  }
  return best;
}

std::string claim_name(const Pod& pod, const Volume& volume) {
  if (volume.has_persistent_volume_claim())
    return std::string(volume.persistent_volume_claim().claim_name());
  if (!volume.has_ephemeral()) return "";
  return std::string(pod.metadata().name()) + "-" + std::string(volume.name());
}

std::vector<std::string> claim_names(const Pod& pod) {
  std::vector<std::string> out;
  for (Volume v : pod.spec().volumes()) {
    std::string name = claim_name(pod, v);
    if (!name.empty()) out.push_back(std::move(name));
  }
  return out;
}

Status check_made_for(const Pod& pod, const PersistentVolumeClaim& claim) {
  for (auto owner : claim.metadata().owner_references()) {
    if (owner.controller() && owner.uid() == pod.metadata().uid()) return {};
  }
  auto full = [](const api::meta_v1::ObjectMeta& m) {
    return std::string(m.namespace_()) + "/" + std::string(m.name());
  };
  return Status(Reason::kInvalid, "PVC " + full(claim.metadata()) + " was not created for pod " +
                                      full(pod.metadata()) + " (pod is not owner)");
}

bool is_terminated(const Pod& pod) {
  const auto status = pod.status();
  if (status.phase() == "Failed" || status.phase() == "Succeeded") return true;
  if (pod.metadata().deletion_timestamp().empty()) return false;
  for (ContainerStatus c : status.container_statuses()) {
    if (!c.state().has_terminated() && !c.state().has_waiting()) return false;
  }
  return true;
}

}  // namespace keles::volumes
