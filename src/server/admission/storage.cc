// DefaultStorageClass, PersistentVolumeClaimResize and StorageObjectInUseProtection.
#include <algorithm>

#include "machinery/quantity.h"
#include "server/admission/plugins.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "store/unreadable.h"

namespace keles::admission {
namespace {

constexpr std::string_view kOldClass = "volume.beta.kubernetes.io/storage-class";

bool is_claim(const Attributes& a) {
  return a.subresource.empty() && a.is("", "PersistentVolumeClaim");
}

// A claim may ask for "no class" too: then it has one, "".
bool has_class(const Value& claim) {
  return registry::metadata(claim)["annotations"].find(kOldClass) ||
         !claim["spec"]["storageClassName"].is_null();
}

std::string_view class_of(const Value& claim) {
  const Value* old = registry::metadata(claim)["annotations"].find(kOldClass);
  return (old ? *old : claim["spec"]["storageClassName"]).as_string();
}

// The finalizer that keeps the object as long as it is in use; "" for those that have none.
std::string_view protection_of(const Attributes& a) {
  if (a.is("", "PersistentVolume")) return "kubernetes.io/pv-protection";
  if (a.is("", "PersistentVolumeClaim")) return "kubernetes.io/pvc-protection";
  if (a.is("storage.k8s.io", "VolumeAttributesClass")) return "kubernetes.io/vac-protection";
  return "";
}

Quantity storage_of(const Value& claim) {
  return Quantity::parse_or_zero(claim["spec"]["resources"]["requests"]["storage"].as_string());
}

}  // namespace

Result<ObjectPtr> newest_default(const Attributes& a, const KindDesc& kind,
                                 std::initializer_list<std::string_view> annotations) {
  ObjectPtr best;
  auto age = [](const ObjectPtr& o) {
    return registry::meta(o->metadata()->root, "creationTimestamp");
  };
  auto look = [&](std::string_view, const ObjectPtr& o) {
    DocumentPtr tree = o->metadata();
    const Value& said = registry::metadata(tree->root)["annotations"];
    const bool is_default =
        std::any_of(annotations.begin(), annotations.end(),
                    [&](std::string_view name) { return said[name].as_string() == "true"; });
    if (is_default && (!best || std::string(age(o)) > std::string(age(best)))) best = o;
    return true;
  };
  TRY(scan_whole(*a.state, registry::kind_prefix(kind), look));
  return best;
}

Status default_storage_class(const Attributes& a, Document& claim, const Value*) {
  if (a.operation != Operation::kCreate || !is_claim(a) || has_class(claim.root)) return {};
  static const KindDesc* const kind = find_kind("storage.k8s.io", "v1", "StorageClass");
  auto found = newest_default(a, *kind,
                              {"storageclass.kubernetes.io/is-default-class",
                               "storageclass.beta.kubernetes.io/is-default-class"});
  if (!found.ok()) return refuse(a, found.status().message());
  if (!*found) return {};
  registry::set_text(claim, registry::edit_map(claim, claim.root, "spec"), "storageClassName",
                     (*found)->name());
  return {};
}

Status claim_resize(const Attributes& a, const Value* claim, const Value* before) {
  if (a.operation != Operation::kUpdate || !is_claim(a) || !claim || !before) return {};
  if (storage_of(*claim) <= storage_of(*before)) return {};
  if ((*before)["status"]["phase"].as_string() != "Bound") {
    return refuse(a, "Only bound persistent volume claims can be expanded");
  }
  const std::string name(class_of(*claim));
  ObjectPtr found = name.empty() || name != class_of(*before)
                        ? nullptr
                        : find(a, "storage.k8s.io", "v1", "StorageClass", "", name);
  if (found && found->tree()->root["allowVolumeExpansion"].as_bool()) return {};
  return refuse(a,
                "only dynamically provisioned pvc can be resized and the storageclass that "
                "provisions the pvc must support resize");
}

Status storage_protection(const Attributes& a, Document& object, const Value*) {
  if (a.operation != Operation::kCreate || !a.subresource.empty()) return {};
  const std::string_view finalizer = protection_of(a);
  if (finalizer.empty()) return {};
  std::vector<std::string> names = registry::finalizers(object.root);
  if (std::find(names.begin(), names.end(), finalizer) != names.end()) return {};
  names.emplace_back(finalizer);
  registry::set_finalizers(object, names);
  return {};
}

}  // namespace keles::admission
