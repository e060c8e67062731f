// A pod's volumes. See pod_validation.h.
#include <algorithm>
#include <array>
#include <set>

#include "machinery/quantity.h"
#include "server/registry/checks.h"
#include "server/registry/claim_validation.h"
#include "server/registry/pod_validation.h"

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

void check_range_of(FieldErrors& e, const FieldPath& p, int64_t n, int64_t from, int64_t to,
                    int64_t shown_from) {
  if (n >= from && n <= to) return;
  field::invalid(e, p, n,
                 "must be between " + std::to_string(shown_from) + " and " + std::to_string(to) +
                     ", inclusive");
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

void check_host_path(FieldErrors& e, const FieldPath& p, const Value& v) {
  const std::string_view path = v["path"].as_string();
  if (path.empty()) return field::required(e, p["path"]);
  no_backsteps(e, p["path"], path);
  if (const Value& type = v["type"]; !type.is_null()) {
    check_known(e, p["type"], type.as_string(),
                {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                 "FileOrCreate", "Socket"});
  }
}

void check_git(FieldErrors& e, const FieldPath& p, const Value& v) {
  require(e, p, v, {"repository"});
  descending_path(e, p["directory"], v["directory"].as_string());
}

void check_partition(FieldErrors& e, const FieldPath& p, const Value& v, std::string_view id) {
  require(e, p, v, {id});
  check_range_of(e, p["partition"], v["partition"].as_int(), 0, 255, 1);
}

void check_nfs(FieldErrors& e, const FieldPath& p, const Value& v) {
  require(e, p, v, {"server", "path"});
  const std::string_view path = v["path"].as_string();
  if (!path.starts_with('/')) field::invalid(e, p["path"], path, "must be an absolute path");
}

bool is_alnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "iqn.2001-04.com.example:storage.disk", anywhere up to the end of the text.
bool is_iqn(std::string_view s) {
  for (size_t at = s.find("iqn."); at != s.npos; at = s.find("iqn.", at + 1)) {
    std::string_view rest = s.substr(at + 4);
    auto digits = [&](size_t from, size_t n) {
      return rest.size() >= from + n &&
             std::all_of(rest.begin() + from, rest.begin() + from + n, is_digit);
    };
    if (!digits(0, 4) || rest.substr(4, 1) != "-" || !digits(5, 2) || rest.substr(7, 1) != ".") {
      continue;
    }
    rest.remove_prefix(8);
    const size_t colon = rest.find(':');
    if (colon == rest.npos || colon == 0 || colon + 1 == rest.size()) continue;
    const bool name = std::all_of(rest.begin(), rest.begin() + colon,
                                  [](char c) { return is_alnum(c) || c == '-' || c == '.'; });
    if (name && rest.find_first_of(",;*&$| \t\n\r\f\v", colon) == rest.npos) return true;
  }
  return false;
}

bool is_named(std::string_view s, size_t digits) {  // "eui." and "naa."; the dot may be anything
  return s.size() == digits + 4 && std::all_of(s.begin() + 4, s.end(), is_alnum);
}

void check_initiator(FieldErrors& e, const FieldPath& p, std::string_view s) {
  const bool iqn = s.starts_with("iqn"), eui = s.starts_with("eui"), naa = s.starts_with("naa");
  if (!iqn && !eui && !naa) {
    field::invalid(e, p, s, "must be valid format starting with iqn, eui, or naa");
  } else if ((iqn && !is_iqn(s)) || (eui && !is_named(s, 16)) || (naa && !is_named(s, 32))) {
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
  check_range_of(e, p["lun"], v.lun(), 0, 255, 0);
  if ((v.chap_auth_discovery() || v.chap_auth_session()) && !v.has_secret_ref()) {
    field::required(e, p["secretRef"]);
  }
  if (v.has_initiator_name()) check_initiator(e, p["initiatorname"], v.initiator_name());
}

void check_fc(FieldErrors& e, const FieldPath& p, const core::FCVolumeSource& v) {
  const bool names = !v.target_wwns().empty(), ids = !v.wwids().empty();
  if (!names && !ids) {
    field::required(e, p["targetWWNs"], "must specify either targetWWNs or wwids, but not both");
  }
  if (names && ids) {
    field::invalid(e, p["targetWWNs"], v.target_wwns().value(),
                   "targetWWNs and wwids can not be specified simultaneously");
  }
  if (!names) return;
  if (!v.has_lun()) {
    field::required(e, p["lun"], "lun is required if targetWWNs is specified");
  } else {
    check_range_of(e, p["lun"], v.lun(), 0, 255, 0);
  }
}

bool is_host_and_port(std::string_view s) {
  const size_t colon = s.rfind(':');
  if (colon == s.npos) return false;
  const std::string_view host = s.substr(0, colon);
  if (host.starts_with('[')) return host.ends_with(']');
  return host.find(':') == host.npos;
}

void check_quobyte(FieldErrors& e, const FieldPath& p, const core::QuobyteVolumeSource& v) {
  constexpr std::string_view kPairs =
      "must be a host:port pair or multiple pairs separated by commas";
  if (v.registry().empty()) {
    field::required(e, p["registry"], std::string(kPairs));
  } else if (v.tenant().size() >= 65) {
    field::required(e, p["tenant"], "must be a UUID and may not exceed a length of 64 characters");
  } else {
    std::string_view rest = v.registry();
    for (bool more = true; more;) {
      const size_t comma = rest.find(',');
      more = comma != rest.npos;
      if (!is_host_and_port(rest.substr(0, comma))) {
        field::invalid(e, p["registry"], v.registry(), std::string(kPairs));
      }
      if (more) rest.remove_prefix(comma + 1);
    }
  }
  if (v.volume().empty()) field::required(e, p["volume"]);
}

void check_flocker(FieldErrors& e, const FieldPath& p, const Value& v) {
  const std::string_view name = v["datasetName"].as_string(), id = v["datasetUUID"].as_string();
  if (name.empty() && id.empty()) {
    field::required(e, p, "one of datasetName and datasetUUID is required");
  }
  if (!name.empty() && !id.empty()) {
    field::invalid(e, p, "resource",
                   "datasetName and datasetUUID can not be specified simultaneously");
  }
  if (name.find('/') != name.npos) {
    field::invalid(e, p["datasetName"], name, "must not contain '/'");
  }
}

void check_monitors(FieldErrors& e, const FieldPath& p, const Value& v) {
  if (v["monitors"].empty()) field::required(e, p["monitors"]);
}

void check_flex(FieldErrors& e, const FieldPath& p, const Value& v) {
  require(e, p, v, {"driver"});
  for (const Member& m : v["options"].members()) {
    std::string space = "." + std::string(m.key().substr(0, m.key().find('/')));
    for (char& c : space) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (space.ends_with(".kubernetes.io") || space.ends_with(".k8s.io")) {
      field::invalid(e, p["options"].key(m.key()), m.key(),
                     "kubernetes.io and k8s.io namespaces are reserved");
    }
  }
}

void check_azure_disk(FieldErrors& e, const FieldPath& p, const core::AzureDiskVolumeSource& v) {
  require(e, p, v.value(), {"diskName", "diskURI"});
  if (v.has_caching_mode()) {
    check_known(e, p["cachingMode"], v.caching_mode(), {"None", "ReadOnly", "ReadWrite"});
  }
  if (!v.has_kind()) return;
  check_known(e, p["kind"], v.kind(), {"Dedicated", "Managed", "Shared"});
  const bool managed = v.kind() == "Managed";
  if (managed && !v.disk_uri().starts_with("/subscriptions/")) {
    field::not_supported(e, p["diskURI"], v.disk_uri(),
                         {"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/"
                          "microsoft.compute/disks/{disk-id}"});
  }
  if (!managed && !v.disk_uri().starts_with("https://")) {
    field::not_supported(
        e, p["diskURI"], v.disk_uri(),
        {"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"});
  }
}

void check_storage_os(FieldErrors& e, const FieldPath& p, const Value& v) {
  check_name(e, p["volumeName"], v["volumeName"].as_string(), check_dns1123_label);
  if (std::string_view ns = v["volumeNamespace"].as_string(); !ns.empty()) {
    field::invalid_each(e, p["volumeNamespace"], ns, check_dns1123_label(ns));
  }
  check_secret_name(e, p, v["secretRef"]);
}

void check_csi(FieldErrors& e, const FieldPath& p, const core::CSIVolumeSource& v) {
  validate_csi_driver_name(e, p["driver"], v.driver());
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
    {"hostPath", "hostPath", "hostPath", check_host_path},
    {"gitRepo", "gitRepo", "gitRepo", check_git},
    {"gcePersistentDisk", "gcePersistentDisk", "persistentDisk",
     [](E e, P p, V v) { check_partition(e, p, v, "pdName"); }},
    {"awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore",
     [](E e, P p, V v) { check_partition(e, p, v, "volumeID"); }},
    {"secret", "secret", "secret", [](E e, P p, V v) { check_keyed(e, p, v, "secretName"); }},
    {"nfs", "nfs", "nfs", check_nfs},
    {"iscsi", "iscsi", "iscsi", typed<check_iscsi, core::ISCSIVolumeSource>},
    {"glusterfs", "glusterfs", "glusterfs",
     [](E e, P p, V v) {
       require(e, p, v, {"endpoints", "path"});
     }},
    {"flocker", "flocker", "flocker", check_flocker},
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
    {"quobyte", "quobyte", "quobyte", typed<check_quobyte, core::QuobyteVolumeSource>},
    {"downwardAPI", "downwarAPI", "downwardAPI",
     [](E e, P p, V v) {
       check_mode(e, p["defaultMode"], v["defaultMode"]);
       for (V item : v["items"].items()) check_file(e, p, core::DownwardAPIVolumeFile(item));
     }},
    {"fc", "fc", "fc", typed<check_fc, core::FCVolumeSource>},
    {"flexVolume", "flexVolume", "flexVolume", check_flex},
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
    {"azureDisk", "azureDisk", "azureDisk", typed<check_azure_disk, core::AzureDiskVolumeSource>},
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
