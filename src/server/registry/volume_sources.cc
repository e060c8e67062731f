#include "server/registry/volume_sources.h"

#include <algorithm>
#include <map>

#include "machinery/quantity.h"
#include "server/registry/checks.h"
#include "server/registry/node_selector.h"
#include "server/registry/volume_parts.h"

namespace keles::registry {
namespace {

using api::core_v1::PersistentVolumeSpec;
using api::core_v1::SecretReference;

void needs(FieldErrors& e, const FieldPath& p, std::string_view text) {
  if (text.empty()) field::required(e, p);
}

void validate_gce(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  needs(e, p["pdName"], spec.gce_persistent_disk().pd_name());
  validate_number(e, p["partition"], spec.gce_persistent_disk().partition(), 0, 255, 1);
}

void validate_aws(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  needs(e, p["volumeID"], spec.aws_elastic_block_store().volume_id());
  validate_number(e, p["partition"], spec.aws_elastic_block_store().partition(), 0, 255, 1);
}

void validate_glusterfs(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  const auto s = spec.glusterfs();
  needs(e, p["endpoints"], s.endpoints());
  needs(e, p["path"], s.path());
  if (!s.has_endpoints_namespace()) return;
  const std::string_view ns = s.endpoints_namespace();
  if (ns.empty()) {
    field::invalid(e, p["endpointsNamespace"], ns,
                   "if the endpointnamespace is set, it must be a valid namespace name");
  } else {
    field::invalid_each(e, p["endpointsNamespace"], ns, check_dns1123_label(ns));
  }
}

void validate_rbd(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  if (spec.rbd().monitors().empty()) field::required(e, p["monitors"]);
  needs(e, p["image"], spec.rbd().image());
}

void validate_cephfs(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  if (spec.cephfs().monitors().empty()) field::required(e, p["monitors"]);
}

void validate_iscsi(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec,
                    std::string_view name) {
  const auto s = spec.iscsi();
  constexpr const char* kForm = "must be valid format";
  constexpr size_t kLongest = 64;
  needs(e, p["targetPortal"], s.target_portal());
  if (s.has_initiator_name() && name.size() + 1 + s.target_portal().size() > kLongest) {
    field::invalid(e, p["targetportal"], s.target_portal(),
                   "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
                   "if iscsi.initiatorName is specified.");
  }
  if (s.iqn().empty()) {
    field::required(e, p["iqn"]);
  } else if (!is_iscsi_name(s.iqn())) {
    field::invalid(e, p["iqn"], s.iqn(), kForm);
  }
  validate_number(e, p["lun"], s.lun(), 0, 255, 0);
  if ((s.chap_auth_discovery() || s.chap_auth_session()) && !s.has_secret_ref()) {
    field::required(e, p["secretRef"]);
  }
  if (s.has_secret_ref()) needs(e, p["secretRef"]["name"], s.secret_ref().name());
  if (s.has_initiator_name() && !is_iscsi_name(s.initiator_name())) {
    field::invalid(e, p["initiatorname"], s.initiator_name(), kForm);
  }
}

void validate_whole_secret(FieldErrors& e, const FieldPath& p, const SecretReference& ref) {
  if (!ref) return;
  needs(e, p["name"], ref.name());
  needs(e, p["namespace"], ref.namespace_());
}

void validate_cinder(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  needs(e, p["volumeID"], spec.cinder().volume_id());
  validate_whole_secret(e, p["secretRef"], spec.cinder().secret_ref());
}

void validate_flex(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  needs(e, p["driver"], spec.flex_volume().driver());
  validate_flex_options(e, p["options"], spec.flex_volume().options());
}

void validate_azure_file(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  const auto s = spec.azure_file();
  needs(e, p["secretName"], s.secret_name());
  needs(e, p["shareName"], s.share_name());
  if (s.has_secret_namespace()) needs(e, p["secretNamespace"], s.secret_namespace());
}

void validate_vsphere(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  needs(e, p["volumePath"], spec.vsphere_volume().volume_path());
}

void validate_photon(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  needs(e, p["pdID"], spec.photon_persistent_disk().pd_id());
}

void validate_portworx(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  needs(e, p["volumeID"], spec.portworx_volume().volume_id());
}

void validate_scale_io(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  const auto s = spec.scale_io();
  needs(e, p["gateway"], s.gateway());
  needs(e, p["system"], s.system());
  needs(e, p["volumeName"], s.volume_name());
}

void validate_local(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  if (spec.local().path().empty()) return field::required(e, p["path"]);
  no_backsteps(e, p["path"], spec.local().path());
}

void validate_storageos(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  const auto s = spec.storageos();
  validate_storageos_names(e, p, s.volume_name(), s.volume_namespace());
  if (s.has_secret_ref()) {
    needs(e, p["secretRef"]["name"], s.secret_ref().name());
    needs(e, p["secretRef"]["namespace"], s.secret_ref().namespace_());
  }
}

void validate_named_secret(FieldErrors& e, const FieldPath& p, const SecretReference& ref) {
  if (!ref) return;
  described(e, p, ref, "name");
  described(e, p, ref, "namespace");
}

void validate_csi(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  const auto s = spec.csi();
  validate_driver_name(e, p["driver"], s.driver());
  needs(e, p["volumeHandle"], s.volume_handle());
  validate_named_secret(e, p["controllerPublishSecretRef"], s.controller_publish_secret_ref());
  validate_named_secret(e, p["controllerExpandSecretRef"], s.controller_expand_secret_ref());
  validate_named_secret(e, p["nodePublishSecretRef"], s.node_publish_secret_ref());
  validate_named_secret(e, p["nodeExpandSecretRef"], s.node_expand_secret_ref());
}

// The check of a kind of storage that pods have in the same form.
template <auto check, auto source>
void shared(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  check(e, p, (spec.*source)());
}

struct Source {
  std::string_view member;
  void (*validate)(FieldErrors&, const FieldPath&, const PersistentVolumeSpec&);
  std::string_view refused_as = {}, shown_as = {};  // where upstream's paths have other names
};
// In upstream's order, which decides which of two is one too many.
constexpr Source kSources[] = {
    {"hostPath", shared<validate_host_path, &PersistentVolumeSpec::host_path>},
    {"gcePersistentDisk", validate_gce, {}, "persistentDisk"},
    {"awsElasticBlockStore", validate_aws},
    {"glusterfs", validate_glusterfs},
    {"flocker", shared<validate_flocker, &PersistentVolumeSpec::flocker>},
    {"nfs", shared<validate_nfs, &PersistentVolumeSpec::nfs>},
    {"rbd", validate_rbd},
    {"quobyte", shared<validate_quobyte, &PersistentVolumeSpec::quobyte>},
    {"cephfs", validate_cephfs, "cephFS", {}},
    {"iscsi", nullptr},
    {"cinder", validate_cinder},
    {"fc", shared<validate_fc, &PersistentVolumeSpec::fc>},
    {"flexVolume", validate_flex},
    {"azureFile", validate_azure_file},
    {"vsphereVolume", validate_vsphere},
    {"photonPersistentDisk", validate_photon},
    {"portworxVolume", validate_portworx},
    {"azureDisk", shared<validate_azure_disk, &PersistentVolumeSpec::azure_disk>},
    {"scaleIO", validate_scale_io},
    {"local", validate_local},
    {"storageos", validate_storageos},
    {"csi", validate_csi}};

void validate_sources(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec,
                      std::string_view name) {
  size_t found = 0;
  for (const Source& s : kSources) {
    if (spec.value()[s.member].is_null()) continue;
    if (found++ > 0 && s.member != "flexVolume") {
      field::forbidden(e, p[s.refused_as.empty() ? s.member : s.refused_as],
                       "may not specify more than 1 volume type");
      --found;
      continue;
    }
    const FieldPath at = p[s.shown_as.empty() ? s.member : s.shown_as];
    s.validate ? s.validate(e, at, spec) : validate_iscsi(e, at, spec, name);
    if (s.member == "local" && !spec.has_node_affinity()) {
      field::required(e, p["nodeAffinity"], "Local volume requires node affinity");
    }
  }
  if (found == 0) field::required(e, p, "must specify a volume type");
}

std::string amounts_text(const Map<std::string_view>& amounts) {
  std::map<std::string_view, std::string_view> sorted;
  for (auto [name, amount] : amounts) sorted[name] = amount;
  std::string out;
  for (const auto& [name, amount] : sorted) {
    out += (out.empty() ? "{" : ",") + quoted(name) + ":" + quoted(amount);
  }
  return out + "}";
}

void validate_capacity(FieldErrors& e, const FieldPath& p, const Map<std::string_view>& capacity) {
  if (capacity.empty()) field::required(e, p);
  if (!capacity.contains("storage") || capacity.size() > 1) {
    not_supported_as(e, p, capacity.empty() ? "null" : amounts_text(capacity), {"storage"});
  }
  for (auto [name, amount] : capacity) {
    validate_basic_amount(e, p.key(name), amount);
    positive_quantity(e, p.key(name), amount);
  }
}

// What the form of an inline volume leaves no room for.
void validate_inline(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec) {
  constexpr const char* kNot = "may not be specified in the context of inline volumes";
  if (spec.has_claim_ref()) field::forbidden(e, p["claimRef"], kNot);
  if (!spec.capacity().empty()) field::forbidden(e, p["capacity"], kNot);
  if (!spec.has_csi()) {
    field::required(e, p["csi"], "has to be specified in the context of inline volumes");
  }
}

bool is_root(std::string_view path) {
  // As a cleaned path: "/", "//", "/x/..".
  size_t depth = 0;
  if (path.empty() || path[0] != '/') return false;
  for (size_t from = 1; from <= path.size();) {
    const size_t slash = std::min(path.find('/', from), path.size());
    const std::string_view part = path.substr(from, slash - from);
    if (part == "..") {
      depth -= depth > 0 ? 1 : 0;
    } else if (!part.empty() && part != ".") {
      ++depth;
    }
    from = slash + 1;
  }
  return depth == 0;
}

void validate_policy(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec,
                     bool inline_volume) {
  const std::string_view policy = spec.persistent_volume_reclaim_policy();
  if (policy.empty()) return;
  if (!inline_volume) return check_known(e, p, policy, {"Delete", "Recycle", "Retain"});
  if (policy != "Retain") {
    field::forbidden(e, p, "may only be Retain in the context of inline volumes");
  }
}

void validate_names(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec,
                    bool inline_volume) {
  if (std::string_view name = spec.storage_class_name(); !name.empty()) {
    if (inline_volume) {
      field::forbidden(e, p["storageClassName"],
                       "may not be specified in the context of inline volumes");
    } else {
      described(e, p, spec, "storageClassName");
    }
  }
  if (spec.has_volume_mode()) {
    const std::string_view mode = spec.volume_mode();
    if (!inline_volume) {
      described(e, p, spec, "volumeMode");
    } else if (mode != "Filesystem") {
      field::forbidden(e, p["volumeMode"],
                       "may not specify volumeMode other than Filesystem in the context of inline "
                       "volumes");
    }
  }
  if (!spec.has_volume_attributes_class_name() || inline_volume) return;
  const FieldPath at = p["volumeAttributesClassName"];
  const std::string_view name = spec.volume_attributes_class_name();
  if (name.empty()) {
    field::required(e, at, "an empty string is disallowed");
  } else {
    field::invalid_each(e, at, name, check_dns1123_subdomain(name));
  }
  if (!spec.has_csi()) {
    field::required(e, p["csi"], "has to be specified when using volumeAttributesClassName");
  }
}

}  // namespace

void validate_basic_amount(FieldErrors& e, const FieldPath& p, std::string_view amount) {
  if (const int64_t n = Quantity::parse_or_zero(amount).value(); n < 0) {
    field::invalid(e, p, n, "must be a valid resource quantity");
  }
}

void validate_access_modes(FieldErrors& e, const FieldPath& p,
                           const List<std::string_view>& modes) {
  static const Words kModes = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                               "ReadWriteOncePod"};
  bool once_pod = false, other = false;
  for (std::string_view mode : modes) {
    check_known(e, p, mode, kModes);
    once_pod = once_pod || mode == "ReadWriteOncePod";
    other = other || (mode != "ReadWriteOncePod" && is_one_of(mode, kModes));
  }
  if (once_pod && other) {
    field::forbidden(e, p, "may not use ReadWriteOncePod with other access modes");
  }
}

void validate_volume_spec(FieldErrors& e, const FieldPath& p, const PersistentVolumeSpec& spec,
                          const VolumeSpecCheck& check) {
  if (check.inline_) validate_inline(e, p, spec);
  if (spec.access_modes().empty()) field::required(e, p["accessModes"]);
  validate_access_modes(e, p["accessModes"], spec.access_modes());
  if (!check.inline_) validate_capacity(e, p["capacity"], spec.capacity());
  validate_policy(e, p["persistentVolumeReclaimPolicy"], spec, check.inline_);
  if (const auto affinity = spec.node_affinity()) {
    const FieldPath at = p["nodeAffinity"];
    if (check.inline_) {
      field::forbidden(e, at, "may not be specified in the context of inline volumes");
    } else if (!affinity.has_required()) {
      field::required(e, at["required"], "must specify required node constraints");
    } else {
      validate_node_terms(e, at["required"], affinity.required(), check.label_values);
    }
  }
  validate_sources(e, p, spec, check.name);
  if (spec.has_host_path() && is_root(spec.host_path().path()) &&
      spec.persistent_volume_reclaim_policy() == "Recycle") {
    field::forbidden(e, p["persistentVolumeReclaimPolicy"],
                     "may not be 'recycle' for a hostPath mount of '/'");
  }
  validate_names(e, p, spec, check.inline_);
}

}  // namespace keles::registry
