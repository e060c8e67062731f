// storage.k8s.io: classes, and what drivers say of themselves, of nodes and of capacity.
#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "api/storage_v1.h"
#include "server/objects/meta.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/volume_parts.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

using api::storage_v1::CSIDriver;
using api::storage_v1::CSIDriverSpec;
using api::storage_v1::CSINode;
using api::storage_v1::CSINodeDriver;
using api::storage_v1::CSIStorageCapacity;
using api::storage_v1::StorageClass;
using api::storage_v1::VolumeAttributesClass;

const FieldPath kSpec("spec");
constexpr const char* kKept = "field is immutable";

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// A member that may not change, shown with `missing` where it is absent.
void keep(FieldErrors& e, const FieldPath& p, const Value& now, const Value& before,
          const char* missing = "null") {
  auto nothing = [](const Value& v) {
    return v.is_null() || ((v.is_list() || v.is_map()) && v.empty());
  };
  if (now.equals(before) || (nothing(now) && nothing(before))) return;
  invalid_as(e, p, now.is_null() ? missing : value_text(now), kKept);
}

// --- StorageClass, VolumeAttributesClass --------------------------------------------------------

void validate_provisioner(FieldErrors& e, const FieldPath& p, std::string_view name) {
  if (name.empty()) return field::required(e, p);
  field::invalid_each(e, p, lower(name), check_qualified_name(lower(name)));
}

void validate_class_parameters(FieldErrors& e, const Map<std::string_view>& parameters,
                               bool needs_one) {
  constexpr size_t kMost = 512, kLongest = 256 * 1024;
  const FieldPath p("parameters");
  if (parameters.size() > kMost) return field::too_long(e, p, kMost);
  size_t total = 0;
  for (auto [key, value] : parameters) {
    if (key.empty()) field::invalid(e, p, key, "field can not be empty.");
    total += key.size() + value.size();
  }
  if (total > kLongest) field::too_long(e, p, kLongest);
  if (needs_one && parameters.empty()) {
    field::required(e, p, "must contain at least one key/value pair");
  }
}

using Topology = std::map<std::string_view, std::set<std::string_view>>;

Topology validate_topology(FieldErrors& e, const FieldPath& p,
                           const api::core_v1::TopologySelectorTerm& term) {
  Topology out;
  size_t i = 0;
  for (const auto& r : term.match_label_expressions()) {
    const FieldPath at = p["matchLabelExpressions"][i++];
    std::set<std::string_view> values;
    if (r.values().empty()) field::required(e, at["values"]);
    size_t j = 0;
    for (std::string_view v : r.values()) {
      if (!values.insert(v).second) field::duplicate(e, at["values"][j], v);
      ++j;
    }
    validate_label_key(e, at["key"], r.key());
    if (out.count(r.key())) field::duplicate(e, at["key"], r.key());
    out[r.key()] = std::move(values);
  }
  return out;
}

void validate_storage_class(const HookContext&, const Value& now, FieldErrors& e) {
  const StorageClass c(now);
  validate_provisioner(e, FieldPath("provisioner"), c.provisioner());
  validate_class_parameters(e, c.parameters(), false);
  if (!c.reclaim_policy().empty()) {
    check_known(e, FieldPath("reclaimPolicy"), c.reclaim_policy(), {"Delete", "Retain"});
  }
  if (c.has_volume_binding_mode()) {
    check_known(e, FieldPath("volumeBindingMode"), c.volume_binding_mode(),
                {"Immediate", "WaitForFirstConsumer"});
  } else {
    field::required(e, FieldPath("volumeBindingMode"));
  }
  // Upstream's list of those seen begins with as many empty ones as there are terms.
  std::vector<Topology> seen(c.allowed_topologies().size());
  size_t i = 0;
  for (const auto& term : c.allowed_topologies()) {
    const FieldPath at = FieldPath("allowedTopologies")[i++];
    Topology t = validate_topology(e, at, term);
    for (const Topology& other : seen) {
      if (other == t) field::duplicate(e, at["matchLabelExpressions"], "");
    }
    seen.push_back(std::move(t));
  }
}

void validate_storage_class_update(const HookContext& ctx, const Value& now, const Value& before,
                                   FieldErrors& e) {
  validate_storage_class(ctx, now, e);
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  keep(e, FieldPath("parameters"), now["parameters"], before["parameters"]);
  keep(e, FieldPath("provisioner"), now["provisioner"], before["provisioner"], "\"\"");
  keep(e, FieldPath("reclaimPolicy"), now["reclaimPolicy"], before["reclaimPolicy"]);
  keep(e, FieldPath("volumeBindingMode"), now["volumeBindingMode"], before["volumeBindingMode"]);
}

void validate_attributes_class(const HookContext&, const Value& now, FieldErrors& e) {
  const VolumeAttributesClass c(now);
  validate_provisioner(e, FieldPath("driverName"), c.driver_name());
  validate_class_parameters(e, c.parameters(), true);
}

void validate_attributes_class_update(const HookContext& ctx, const Value& now, const Value& before,
                                      FieldErrors& e) {
  if (!now["driverName"].equals(before["driverName"])) {
    field::forbidden(e, FieldPath("driverName"), "updates to driverName are forbidden.");
  }
  if (!now["parameters"].equals(before["parameters"])) {
    field::forbidden(e, FieldPath("parameters"), "updates to parameters are forbidden.");
  }
  validate_object_meta(e, now["metadata"], false, name_is_dns_subdomain);
  validate_attributes_class(ctx, now, e);
}

void storage_class_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  std::string name(o["metadata"]["name"].as_string());
  const Value& annotations = o["metadata"]["annotations"];
  for (std::string_view a : {"storageclass.kubernetes.io/is-default-class",
                             "storageclass.beta.kubernetes.io/is-default-class"}) {
    if (annotations[a].as_string() == "true") {
      name += " (default)";
      break;
    }
  }
  w.text("Name", name);
  w.text("ReclaimPolicy", or_else(o["reclaimPolicy"].as_string(), "Delete"));
  w.text("VolumeBindingMode", or_unset(o["volumeBindingMode"].as_string()));
  w.text("AllowVolumeExpansion", o["allowVolumeExpansion"].as_bool() ? "true" : "false");
}

// --- CSINode ------------------------------------------------------------------------------------

void validate_node_driver(FieldErrors& e, const FieldPath& p, const CSINodeDriver& driver,
                          std::set<std::string_view>* names) {
  constexpr size_t kLongest = 256;
  validate_driver_name(e, p["name"], driver.name());
  if (driver.node_id().empty()) field::required(e, p["nodeID"]);
  if (driver.node_id().size() > kLongest) {
    field::invalid(e, p["nodeID"], driver.node_id(), "must be 256 characters or less");
  }
  described(e, p["allocatable"], driver.allocatable(), "count");
  if (!names->insert(driver.name()).second) field::duplicate(e, p["name"], driver.name());
  std::set<std::string_view> keys;
  for (std::string_view key : driver.topology_keys()) {
    if (key.empty()) field::required(e, p);
    if (!keys.insert(key).second) field::duplicate(e, p, key);
    field::invalid_each(e, p, key, check_qualified_name(key));
  }
}

void validate_csi_node(const HookContext&, const Value& now, FieldErrors& e) {
  std::set<std::string_view> names;
  size_t i = 0;
  for (const CSINodeDriver& driver : CSINode(now).spec().drivers()) {
    validate_node_driver(e, kSpec["drivers"][i++], driver, &names);
  }
}

// How many volumes fit may change, and what else a driver says not.
void validate_csi_node_update(const HookContext& ctx, const Value& now, const Value& before,
                              FieldErrors& e) {
  validate_csi_node(ctx, now, e);
  auto without_count = [](const CSINodeDriver& driver) {
    Document d;
    d.root = deep_copy(d.arena, static_cast<const View&>(driver).value());
    d.root.erase("allocatable");
    return d;
  };
  for (const CSINodeDriver& old : CSINode(before).spec().drivers()) {
    for (const CSINodeDriver& driver : CSINode(now).spec().drivers()) {
      if (old.name() != driver.name()) continue;
      const Document was = without_count(old), is = without_count(driver);
      if (is.root.equals(was.root)) continue;
      invalid_as(e, kSpec["drivers"], struct_text(CSINodeDriver(is.root)), kKept);
    }
  }
}

// --- CSIDriver ----------------------------------------------------------------------------------

void validate_token_requests(FieldErrors& e, const CSIDriverSpec& spec) {
  constexpr int64_t kShortest = 600, kLongest = int64_t{1} << 32;
  std::set<std::string_view> audiences;
  size_t i = 0;
  for (const auto& request : spec.token_requests()) {
    const FieldPath at = kSpec["tokenRequests"][i++];
    if (!audiences.insert(request.audience()).second) {
      field::duplicate(e, at["audience"], request.audience());
      continue;
    }
    if (!request.has_expiration_seconds()) continue;
    const int64_t n = request.expiration_seconds();
    if (n < kShortest) {
      field::invalid(e, at["expirationSeconds"], n,
                     "may not specify a duration less than 10 minutes");
    }
    if (n > kLongest) {
      field::invalid(e, at["expirationSeconds"], n,
                     "may not specify a duration larger than 2^32 seconds");
    }
  }
}

void validate_driver_spec(FieldErrors& e, const CSIDriverSpec& spec) {
  if (!spec.has_attach_required()) field::required(e, kSpec["attachedRequired"]);
  if (!spec.has_pod_info_on_mount()) field::required(e, kSpec["podInfoOnMount"]);
  if (!spec.has_storage_capacity()) field::required(e, kSpec["storageCapacity"]);
  if (spec.has_fs_group_policy()) {
    check_known(e, kSpec["fsGroupPolicy"], spec.fs_group_policy(),
                {"File", "None", "ReadWriteOnceWithFSType"});
  }
  validate_token_requests(e, spec);
  for (std::string_view mode : spec.volume_lifecycle_modes()) {
    check_known(e, kSpec["volumeLifecycleModes"], mode, {"Persistent", "Ephemeral"});
  }
  if (!spec.has_se_linux_mount()) field::required(e, kSpec["seLinuxMount"]);
  if (spec.has_node_allocatable_update_period_seconds() &&
      spec.node_allocatable_update_period_seconds() < 10) {
    field::invalid(e, kSpec["nodeAllocatableUpdatePeriodSeconds"],
                   spec.node_allocatable_update_period_seconds(),
                   "must be greater than or equal to 10 seconds");
  }
  if (spec.has_service_account_token_in_secrets() && spec.token_requests().empty()) {
    invalid_as(e, kSpec["serviceAccountTokenInSecrets"],
               spec.service_account_token_in_secrets() ? "true" : "false",
               "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
  }
}

// An alpha feature, off.
void drop_disabled(Document& now, const Value* before) {
  constexpr std::string_view kField = "preventPodSchedulingIfMissing";
  Value* spec = now.root.find("spec");
  if (!spec || !spec->is_map()) return;
  if (!before || (*before)["spec"][kField].is_null()) spec->erase(kField);
}

void prepare_driver(const HookContext&, Document& now) { drop_disabled(now, nullptr); }
void prepare_driver_update(const HookContext&, Document& now, const Value& before) {
  drop_disabled(now, &before);
}

void validate_driver(const HookContext&, const Value& now, FieldErrors& e) {
  validate_driver_spec(e, CSIDriver(now).spec());
}

void validate_driver_update(const HookContext&, const Value& now, const Value& before,
                            FieldErrors& e) {
  validate_driver_spec(e, CSIDriver(now).spec());
  const Value &spec = now["spec"], &old = before["spec"];
  keep(e, kSpec["attachedRequired"], spec["attachRequired"], old["attachRequired"]);
  keep(e, kSpec["volumeLifecycleModes"], spec["volumeLifecycleModes"], old["volumeLifecycleModes"]);
}

// --- CSIStorageCapacity -------------------------------------------------------------------------

void validate_capacity_object(FieldErrors& e, const CSIStorageCapacity& c, bool any_values) {
  validate_selector(e, FieldPath("nodeTopology"), c.node_topology().value(), any_values);
  field::invalid_each(e, FieldPath("storageClassName"), c.storage_class_name(),
                      check_dns1123_subdomain(c.storage_class_name()));
  if (c.has_capacity()) nonnegative_quantity(e, FieldPath("capacity"), c.capacity());
}

void validate_capacity(const HookContext&, const Value& now, FieldErrors& e) {
  validate_capacity_object(e, CSIStorageCapacity(now), false);
}

void validate_capacity_update(const HookContext&, const Value& now, const Value& before,
                              FieldErrors& e) {
  FieldErrors ill;
  validate_label_selector(ill, FieldPath(), before["nodeTopology"]);
  validate_capacity_object(e, CSIStorageCapacity(now), !ill.empty());
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  keep(e, FieldPath("nodeTopology"), now["nodeTopology"], before["nodeTopology"]);
  keep(e, FieldPath("storageClassName"), now["storageClassName"], before["storageClassName"],
       "\"\"");
}

void csi_node_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Drivers", static_cast<int64_t>(o["spec"]["drivers"].size()));
}

void csi_driver_cells(const HookContext& ctx, const Value& o, Cells& out) {
  std::vector<std::string> tokens, modes;
  for (const Value& t : o["spec"]["tokenRequests"].items()) {
    tokens.emplace_back(t["audience"].as_string());
  }
  for (const Value& m : o["spec"]["volumeLifecycleModes"].items()) {
    modes.emplace_back(m.as_string());
  }
  CellWriter w(ctx, out);
  w.text("TokenRequests", or_unset(joined(tokens)));
  w.text("Modes", or_none(joined(modes)));
}

}  // namespace

extern const Strategy kStorageClassStrategy{.warnings = storage_class_warnings,
                                            .validate = validate_storage_class,
                                            .validate_update = validate_storage_class_update,
                                            .validates_update_whole = true,
                                            .described = false,
                                            .metadata_again = MetadataAgain::kWhole,
                                            .cells = storage_class_cells};
extern const Strategy kVolumeAttributesClassStrategy{
    .validate = validate_attributes_class,
    .validate_update = validate_attributes_class_update,
    .validates_update_whole = true,
    .described = false,
    .metadata_again = MetadataAgain::kChange};
extern const Strategy kCsiNodeStrategy{.validate = validate_csi_node,
                                       .validate_update = validate_csi_node_update,
                                       .validates_update_whole = true,
                                       .described = false,
                                       .metadata_again = MetadataAgain::kWhole,
                                       .cells = csi_node_cells};
extern const Strategy kCsiDriverStrategy{.warnings = csi_driver_warnings,
                                         .prepare_for_create = prepare_driver,
                                         .prepare_for_update = prepare_driver_update,
                                         .validate = validate_driver,
                                         .validate_update = validate_driver_update,
                                         .validates_update_whole = true,
                                         .described = false,
                                         .metadata_again = MetadataAgain::kChange,
                                         .cells = csi_driver_cells};
extern const Strategy kCsiStorageCapacityStrategy{.warnings = csi_storage_capacity_warnings,
                                                  .validate = validate_capacity,
                                                  .validate_update = validate_capacity_update,
                                                  .validates_update_whole = true,
                                                  .described = false,
                                                  .metadata_again = MetadataAgain::kWhole};

}  // namespace keles::registry
