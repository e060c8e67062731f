#include "server/registry/claim_validation.h"

#include "server/registry/checks.h"

namespace keles::registry {
namespace {

namespace core = api::core_v1;

void check_access_modes(FieldErrors& e, const FieldPath& p, const List<std::string_view>& modes) {
  static const Words kModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                               "ReadWriteOncePod"};
  bool alone = false, others = false;
  for (std::string_view mode : modes) {
    check_known(e, p, mode, kModes);
    (mode == "ReadWriteOncePod" ? alone : others) |= is_one_of(mode, kModes);
  }
  if (alone && others) {
    field::forbidden(e, p, "may not use ReadWriteOncePod with other access modes");
  }
}

void check_source(FieldErrors& e, const FieldPath& p, const Value& source,
                  const ClaimOptions& options) {
  const std::string_view kind = source["kind"].as_string(), group = source["apiGroup"].as_string();
  if (source["name"].as_string().empty()) field::required(e, p["name"]);
  if (kind.empty()) field::required(e, p["kind"]);
  if (group.empty() && kind != "PersistentVolumeClaim") {
    field::invalid(e, p, kind,
                   "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
  }
  if (!group.empty() && !options.invalid_source_groups) {
    field::invalid_each(e, p["apiGroup"], group, check_dns1123_subdomain(group));
  }
  if (std::string_view ns = source["namespace"].as_string(); !ns.empty()) {
    field::invalid_each(e, p["namespace"], ns, check_dns1123_label(ns));
  }
}

void check_sources(FieldErrors& e, const FieldPath& p, const Value& spec,
                   const ClaimOptions& options) {
  const Value &source = spec["dataSource"], &ref = spec["dataSourceRef"];
  if (!source.is_null()) check_source(e, p["dataSource"], source, options);
  if (!ref.is_null()) check_source(e, p["dataSourceRef"], ref, options);
  if (source.is_null() || ref.is_null()) return;
  if (!ref["namespace"].as_string().empty()) {
    invalid_as(e, p, "{}", "may not be specified when dataSourceRef.namespace is specified");
  } else if (!source["apiGroup"].equals(ref["apiGroup"]) || !source["kind"].equals(ref["kind"]) ||
             !source["name"].equals(ref["name"])) {
    invalid_as(e, p, "{}", "must match dataSourceRef");
  }
}

void check_class(FieldErrors& e, const FieldPath& p, std::string_view name) {
  if (!name.empty()) field::invalid_each(e, p, name, check_dns1123_subdomain(name));
}

}  // namespace

void validate_claim_spec(FieldErrors& e, const FieldPath& p,
                         const core::PersistentVolumeClaimSpec& spec, const ClaimOptions& options) {
  if (spec.access_modes().empty()) {
    field::required(e, p["accessModes"], "at least 1 access mode is required");
  }
  if (spec.has_selector() && !options.invalid_selector_values) {
    validate_label_selector(e, p["selector"], spec.selector().value());
  }
  check_access_modes(e, p["accessModes"], spec.access_modes());
  const FieldPath storage = p["resources"].key("storage");
  const Value& amount = spec.resources().value()["requests"]["storage"];
  if (amount.is_null()) {
    field::required(e, storage);
  } else {
    positive_quantity(e, storage, amount.as_string());
  }
  check_class(e, p["storageClassName"], spec.storage_class_name());
  described(e, p, spec, "volumeMode");
  check_sources(e, p, spec.value(), options);
  check_class(e, p["volumeAttributesClassName"], spec.volume_attributes_class_name());
}

void validate_claim_template(FieldErrors& e, const FieldPath& p,
                             const core::PersistentVolumeClaimTemplate& tmpl) {
  const Value& meta = tmpl.value()["metadata"];
  const FieldPath at = p["metadata"];
  validate_annotations(e, at["annotations"], meta["annotations"]);
  validate_labels(e, at["labels"], meta["labels"]);
  for (const Member& m : meta.members()) {
    const bool set = m.value.is_string() ? !m.value.as_string().empty()
                     : m.value.is_int()  ? m.value.as_int() != 0
                                         : !m.value.empty();
    if (!set || m.key() == "annotations" || m.key() == "labels") continue;
    field::forbidden(e, at[m.key() == "uid" ? "uID" : m.key()], "cannot be set");
  }
  validate_claim_spec(e, p["spec"], tmpl.spec());
}

}  // namespace keles::registry
