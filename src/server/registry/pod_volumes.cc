// A pod's volumes. See pod_validation.h.
#include <algorithm>
#include <array>
#include <set>

#include "machinery/quantity.h"
#include "server/registry/checks.h"
#include "server/registry/claim_validation.h"
#include "server/registry/pod_validation.h"
#include "server/registry/volume_parts.h"

namespace keles::registry {
namespace {

constexpr std::string_view kOneVolume = "may not specify more than 1 volume type";

void require(FieldErrors& e, const FieldPath& p, const Value& v,
             std::initializer_list<std::string_view> fields) {
  for (std::string_view f : fields) {
    if (v[f].as_string().empty()) field::required(e, p[f]);
  }
}

void check_mode(FieldErrors& e, const FieldPath& p, const Value& mode) {
  if (mode.is_null() || (mode.as_int() >= 0 && mode.as_int() <= 0777)) return;
  field::invalid(e, p, mode.as_int(),
                 "must be a number between 0 and 0777 (octal), both inclusive");
}

void check_secret_name(FieldErrors& e, const FieldPath& p, const Value& ref) {
  if (!ref.is_null() && ref["name"].as_string().empty()) field::required(e, p["secretRef"]["name"]);
}

// --- items of secrets, config maps and the downward API -----------------------------------------

void check_item(FieldErrors& e, const FieldPath& p, const Value& item) {
  require(e, p, item, {"key", "path"});
  local_path(e, p["path"], item["path"].as_string());
  check_mode(e, p["mode"], item["mode"]);
}

void check_file(FieldErrors& e, const FieldPath& p, const core::DownwardAPIVolumeFile& file) {
  if (file.path().empty()) field::required(e, p["path"]);
  local_path(e, p["path"], file.path());
  if (file.has_field_ref()) {
    validate_field_selector(e, p["fieldRef"], file.field_ref(),
                            {"metadata.annotations", "metadata.labels", "metadata.name",
                             "metadata.namespace", "metadata.uid"});
    if (file.has_resource_field_ref()) {
      field::invalid(e, p, "resource",
                     "fieldRef and resourceFieldRef can not be specified simultaneously");
    }
  } else if (file.has_resource_field_ref()) {
    validate_resource_selector(e, p["resourceFieldRef"], file.resource_field_ref(), true);
  } else {
    field::required(e, p, "one of fieldRef and resourceFieldRef is required");
  }
  check_mode(e, p["mode"], file.value()["mode"]);
}

// Secrets and config maps alike; `name` is the field that names it.
void check_keyed(FieldErrors& e, const FieldPath& p, const Value& v, std::string_view name) {
  require(e, p, v, {name});
  check_mode(e, p["defaultMode"], v["defaultMode"]);
  size_t i = 0;
  for (const Value& item : v["items"].items()) check_item(e, p["items"][i++], item);
}

// --- projected ----------------------------------------------------------------------------------

class Projected {
 public:
  Projected(FieldErrors& e, const FieldPath& p, const PodOptions& options)
      : e_(e), p_(p), options_(options) {}

  void check(const core::ProjectedVolumeSource& v) {
    check_mode(e_, p_["defaultMode"], v.value()["defaultMode"]);
    size_t i = 0;
    for (core::VolumeProjection s : v.sources()) source(p_["sources"][i++], s);
  }

 private:
  void source(const FieldPath& p, const core::VolumeProjection& s) {
    int sources = 0;
    for (std::string_view name : {"secret", "configMap"}) {
      if (const Value& v = s.value()[name]; !v.is_null()) ++sources, keyed(p[name], v);
    }
    if (s.has_downward_api()) ++sources, files(p["downwardAPI"], s.downward_api());
    if (s.has_service_account_token()) ++sources, token(p, s.service_account_token());
    for (std::string_view name : {"clusterTrustBundle", "podCertificate"}) {
      if (!s.value()[name].is_null()) ++sources;
    }
    if (sources > 1) field::forbidden(e_, p, "may not specify more than 1 volume type per source");
  }

  void keyed(const FieldPath& p, const Value& v) {
    const std::string_view name = v["name"].as_string();
    if (name.empty()) field::required(e_, p["name"]);
    size_t i = 0;
    for (const Value& item : v["items"].items()) {
      check_item(e_, p["items"][i++], item);
      take_path(item["path"].as_string(), name);
    }
  }

  void files(const FieldPath& p, const core::DownwardAPIProjection& v) {
    for (core::DownwardAPIVolumeFile file : v.items()) {
      check_file(e_, p, file);
      take_path(file.path(), file.path());
    }
  }

  void token(const FieldPath& p, const core::ServiceAccountTokenProjection& token) {
    const FieldPath at = p["serviceAccountToken"]["expirationSeconds"];
    const int64_t seconds = token.expiration_seconds();
    if (seconds < 600) {
      field::invalid(e_, at, seconds, "may not specify a duration less than 10 minutes");
    }
    if (seconds > int64_t{1} << 32) {
      field::invalid(e_, at, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    // Upstream names the volume here, not the source.
    if (token.path().empty()) {
      field::required(e_, p_["path"]);
    } else if (!options_.nonlocal_token_paths) {
      local_path(e_, p_["path"], token.path());
    }
  }

  void take_path(std::string_view path, std::string_view shown) {
    if (!path.empty() && !paths_.insert(path).second) {
      field::invalid(e_, p_, shown, "conflicting duplicate paths");
    }
  }

  FieldErrors& e_;
  const FieldPath& p_;
  const PodOptions& options_;
  std::set<std::string_view> paths_;
};

// --- the kinds of volumes -----------------------------------------------------------------------

void check_git(FieldErrors& e, const FieldPath& p, const Value& v) {
  require(e, p, v, {"repository"});
  descending_path(e, p["directory"], v["directory"].as_string());
}

void check_partition(FieldErrors& e, const FieldPath& p, const Value& v, std::string_view id) {
  require(e, p, v, {id});
  validate_number(e, p["partition"], v["partition"].as_int(), 0, 255, 1);
}

void check_initiator(FieldErrors& e, const FieldPath& p, std::string_view s) {
  if (!s.starts_with("iqn") && !s.starts_with("eui") && !s.starts_with("naa")) {
    field::invalid(e, p, s, "must be valid format starting with iqn, eui, or naa");
  } else if (!is_iscsi_name(s)) {
    field::invalid(e, p, s, "must be valid format");
  }
}

void check_iscsi(FieldErrors& e, const FieldPath& p, const core::ISCSIVolumeSource& v) {
  if (v.target_portal().empty()) field::required(e, p["targetPortal"]);
  if (v.iqn().empty()) {
    field::required(e, p["iqn"]);
  } else {
    check_initiator(e, p["iqn"], v.iqn());
  }
  validate_number(e, p["lun"], v.lun(), 0, 255, 0);
  if ((v.chap_auth_discovery() || v.chap_auth_session()) && !v.has_secret_ref()) {
    field::required(e, p["secretRef"]);
  }
  if (v.has_initiator_name()) check_initiator(e, p["initiatorname"], v.initiator_name());
}

void check_monitors(FieldErrors& e, const FieldPath& p, const Value& v) {
  if (v["monitors"].empty()) field::required(e, p["monitors"]);
}

void check_flex(FieldErrors& e, const FieldPath& p, const core::FlexVolumeSource& v) {
  require(e, p, v.value(), {"driver"});
  validate_flex_options(e, p["options"], v.options());
}

void check_storage_os(FieldErrors& e, const FieldPath& p, const Value& v) {
  validate_storageos_names(e, p, v["volumeName"].as_string(), v["volumeNamespace"].as_string());
  check_secret_name(e, p, v["secretRef"]);
}

void check_csi(FieldErrors& e, const FieldPath& p, const core::CSIVolumeSource& v) {
  validate_driver_name(e, p["driver"], v.driver());
  if (!v.has_node_publish_secret_ref()) return;
  const std::string_view name = v.node_publish_secret_ref().name();
  if (name.empty()) {
    field::required(e, p["nodePublishSecretRef"]["name"]);
  } else {
    field::invalid_each(e, p["name"], name, check_dns1123_subdomain(name));
  }
}

// A member of Volume: where more than one is refused, where its own errors lie, and its check.
struct Source {
  std::string_view name, refused_at, at;
  void (*check)(FieldErrors&, const FieldPath&, const Value&);
};
using V = const Value&;
using P = const FieldPath&;
using E = FieldErrors&;

template <auto check, class View>
void typed(E e, P p, V v) {
  check(e, p, View(v));
}

// In upstream's order, with its slips in names. Those without a check are looked at in `source`.
constexpr Source kSources[] = {
    {"hostPath", "hostPath", "hostPath", typed<validate_host_path, core::HostPathVolumeSource>},
    {"gitRepo", "gitRepo", "gitRepo", check_git},
    {"gcePersistentDisk", "gcePersistentDisk", "persistentDisk",
     [](E e, P p, V v) { check_partition(e, p, v, "pdName"); }},
    {"awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore",
     [](E e, P p, V v) { check_partition(e, p, v, "volumeID"); }},
    {"secret", "secret", "secret", [](E e, P p, V v) { check_keyed(e, p, v, "secretName"); }},
    {"nfs", "nfs", "nfs", typed<validate_nfs, core::NFSVolumeSource>},
    {"iscsi", "iscsi", "iscsi", typed<check_iscsi, core::ISCSIVolumeSource>},
    {"glusterfs", "glusterfs", "glusterfs",
     [](E e, P p, V v) {
       require(e, p, v, {"endpoints", "path"});
     }},
    {"flocker", "flocker", "flocker", typed<validate_flocker, core::FlockerVolumeSource>},
    {"persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim",
     [](E e, P p, V v) { require(e, p, v, {"claimName"}); }},
    {"rbd", "rbd", "rbd",
     [](E e, P p, V v) {
       check_monitors(e, p, v);
       require(e, p, v, {"image"});
     }},
    {"cinder", "cinder", "cinder",
     [](E e, P p, V v) {
       require(e, p, v, {"volumeID"});
       check_secret_name(e, p, v["secretRef"]);
     }},
    {"cephfs", "cephFS", "cephfs", check_monitors},
    {"quobyte", "quobyte", "quobyte", typed<validate_quobyte, core::QuobyteVolumeSource>},
    {"downwardAPI", "downwarAPI", "downwardAPI",
     [](E e, P p, V v) {
       check_mode(e, p["defaultMode"], v["defaultMode"]);
       for (V item : v["items"].items()) check_file(e, p, core::DownwardAPIVolumeFile(item));
     }},
    {"fc", "fc", "fc", typed<validate_fc, core::FCVolumeSource>},
    {"flexVolume", "flexVolume", "flexVolume", typed<check_flex, core::FlexVolumeSource>},
    {"configMap", "configMap", "configMap", [](E e, P p, V v) { check_keyed(e, p, v, "name"); }},
    {"azureFile", "azureFile", "azureFile",
     [](E e, P p, V v) {
       require(e, p, v, {"secretName", "shareName"});
     }},
    {"vsphereVolume", "vsphereVolume", "vsphereVolume",
     [](E e, P p, V v) { require(e, p, v, {"volumePath"}); }},
    {"photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk",
     [](E e, P p, V v) { require(e, p, v, {"pdID"}); }},
    {"portworxVolume", "portworxVolume", "portworxVolume",
     [](E e, P p, V v) { require(e, p, v, {"volumeID"}); }},
    {"azureDisk", "azureDisk", "azureDisk",
     typed<validate_azure_disk, core::AzureDiskVolumeSource>},
    {"storageos", "storageos", "storageos", check_storage_os},
    {"projected", "projected", "projected", nullptr},
    {"scaleIO", "scaleIO", "scaleIO",
     [](E e, P p, V v) {
       require(e, p, v, {"gateway", "system", "volumeName"});
     }},
    {"csi", "csi", "csi", typed<check_csi, core::CSIVolumeSource>},
    {"ephemeral", "ephemeral", "ephemeral", nullptr},
    {"image", "image", "image", nullptr},
};

// The name of the claim that a volume of its own makes must be one.
void check_claim_name(FieldErrors& e, const FieldPath& p, std::string_view volume,
                      const PodOptions& options) {
  const std::string_view pod =
      options.metadata ? (*options.metadata)["name"].as_string() : std::string_view();
  if (pod.empty() || volume.empty()) return;
  const std::string claim = std::string(pod) + "-" + std::string(volume);
  for (const std::string& why : check_dns1123_subdomain(claim)) {
    field::invalid(e, p["name"], volume, "PVC name " + quoted(claim) + ": " + why);
  }
}

void check_other(FieldErrors& e, const FieldPath& p, std::string_view type,
                 const core::Volume& volume, const PodOptions& options) {
  if (type == "projected") {
    Projected(e, p[type], options).check(volume.projected());
  } else if (type == "image") {
    core::ImageVolumeSource image = volume.image();
    if (options.is_pod && image.reference().empty()) field::required(e, p[type]["reference"]);
    validate_pull_policy(e, p[type]["pullPolicy"], image.pull_policy());
  } else if (volume.ephemeral().has_volume_claim_template()) {
    validate_claim_template(e, p[type]["volumeClaimTemplate"],
                            volume.ephemeral().volume_claim_template());
    check_claim_name(e, p, volume.name(), options);
  } else {
    field::required(e, p[type]["volumeClaimTemplate"]);
    check_claim_name(e, p, volume.name(), options);
  }
}

void check_source(FieldErrors& e, const FieldPath& p, const core::Volume& volume,
                  const PodOptions& options) {
  bool found = false;
  if (volume.has_empty_dir()) {
    found = true;
    if (Quantity::parse_or_zero(volume.empty_dir().size_limit()).sign() < 0) {
      field::forbidden(e, p["emptyDir"]["sizeLimit"],
                       "SizeLimit field must be a valid resource quantity");
    }
  }
  for (const Source& s : kSources) {
    const Value& v = volume.value()[s.name];
    if (v.is_null()) continue;
    if (found) {
      field::forbidden(e, p[s.refused_at], std::string(kOneVolume));
    } else if (s.check) {
      s.check(e, p[s.at], v);
    } else {
      check_other(e, p, s.name, volume, options);
    }
    found = true;
    if (s.name == "iscsi" && volume.iscsi().has_initiator_name() &&
        volume.name().size() + 1 + volume.iscsi().target_portal().size() > 64) {
      field::invalid(e, p["name"], volume.name(),
                     "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                     "characters if iscsi.initiatorName is specified.");
    }
  }
  if (!found) field::required(e, p, "must specify a volume type");
}

// The claims that the pod's own volumes make.
std::set<std::string> made_claims(const List<core::Volume>& volumes, const PodOptions& options) {
  std::set<std::string> out;
  const std::string pod(options.metadata ? (*options.metadata)["name"].as_string() : "");
  for (core::Volume v : volumes) {
    if (!pod.empty() && v.has_ephemeral()) out.insert(pod + "-" + std::string(v.name()));
  }
  return out;
}

}  // namespace

NamedVolumes validate_volumes(FieldErrors& e, const FieldPath& p, const List<core::Volume>& volumes,
                              const PodOptions& options) {
  NamedVolumes good;
  const std::set<std::string> made = made_claims(volumes, options);
  size_t i = 0;
  for (core::Volume v : volumes) {
    const FieldPath at = p[i++];
    const size_t before = e.size();
    check_source(e, at, v, options);
    check_name(e, at["name"], v.name(), check_dns1123_label);
    if (good.find(v.name())) field::duplicate(e, at["name"], v.name());
    if (e.size() == before) good.add(v.name(), v.value());
    const std::string_view claim = v.persistent_volume_claim().claim_name();
    if (v.has_persistent_volume_claim() && made.count(std::string(claim)) != 0) {
      field::invalid(e, at["persistentVolumeClaim"]["claimName"], claim,
                     "must not reference a PVC that gets created for an ephemeral volume");
    }
  }
  return good;
}

}  // namespace keles::registry
