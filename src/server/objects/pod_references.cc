#include "server/objects/pod_references.h"

#include <array>

namespace keles::server {
namespace {

// Where a volume names a secret of the pod's own namespace.
struct SecretPlace {
  std::string_view volume, field;  // `field` is a name, or a reference with one
};
constexpr SecretPlace kSecretPlaces[] = {
    {"azureFile", "secretName"},    {"cephfs", "secretRef"}, {"cinder", "secretRef"},
    {"flexVolume", "secretRef"},    {"rbd", "secretRef"},    {"secret", "secretName"},
    {"scaleIO", "secretRef"},       {"iscsi", "secretRef"},  {"storageos", "secretRef"},
    {"csi", "nodePublishSecretRef"}};

// And where a PersistentVolume does, with a namespace.
constexpr SecretPlace kPersistentPlaces[] = {
    {"azureFile", "secretName"}, {"cephfs", "secretRef"},   {"cinder", "secretRef"},
    {"flexVolume", "secretRef"}, {"rbd", "secretRef"},      {"scaleIO", "secretRef"},
    {"iscsi", "secretRef"},      {"storageos", "secretRef"}};
// Of a CSI volume: what its node needs (what controllers need is not for nodes).
constexpr std::string_view kCsiNodeSecrets[] = {"nodeStageSecretRef", "nodePublishSecretRef",
                                                "nodeExpandSecretRef"};

// Volumes that name nothing of the API.
constexpr std::string_view kPlainVolumes[] = {"awsElasticBlockStore",
                                              "azureDisk",
                                              "cephfs",
                                              "cinder",
                                              "downwardAPI",
                                              "emptyDir",
                                              "fc",
                                              "flexVolume",
                                              "flocker",
                                              "gcePersistentDisk",
                                              "gitRepo",
                                              "hostPath",
                                              "image",
                                              "iscsi",
                                              "nfs",
                                              "photonPersistentDisk",
                                              "portworxVolume",
                                              "quobyte",
                                              "rbd",
                                              "scaleIO",
                                              "storageos",
                                              "vsphereVolume"};

struct Telling {
  std::string_view member, words;
};
constexpr Telling kApiVolumes[] = {{"configMap", "configmaps (via configmap volumes)"},
                                   {"secret", "secrets (via secret volumes)"},
                                   {"csi", "csidrivers (via CSI volumes)"},
                                   {"glusterfs", "endpoints (via glusterFS volumes)"},
                                   {"persistentVolumeClaim", "persistentvolumeclaims"},
                                   {"ephemeral", "persistentvolumeclaims (via ephemeral volumes)"},
                                   {"azureFile", "secrets (via azureFile volumes)"}};
constexpr Telling kApiProjections[] = {
    {"configMap", "configmaps (via projected volumes)"},
    {"secret", "secrets (via projected volumes)"},
    {"serviceAccountToken", "serviceaccounts (via projected volumes)"},
    {"clusterTrustBundle", "clustertrustbundles"},
    {"podCertificate", "podcertificates"}};

bool tell(std::string_view name, const NameVisitor& fn) { return name.empty() || fn(name); }
bool tell(const Value& name, const NameVisitor& fn) { return tell(name.as_string(), fn); }

// The names that containers take their environment from.
bool visit_environment(const Value& spec, std::string_view whole, std::string_view one,
                       const NameVisitor& fn) {
  return visit_containers(spec, [&](const Value& c, std::string_view) {
    for (const Value& e : c["envFrom"].items()) {
      if (!tell(e[whole]["name"], fn)) return false;
    }
    for (const Value& e : c["env"].items()) {
      if (!tell(e["valueFrom"][one]["name"], fn)) return false;
    }
    return true;
  });
}

std::string_view first_of(std::span<const Telling> list, const Value& in) {
  for (const Telling& t : list) {
    if (!in[t.member].is_null()) return t.words;
  }
  return {};
}

bool is_plain(const Value& volume) {
  for (std::string_view v : kPlainVolumes) {
    if (!volume[v].is_null()) return true;
  }
  return false;
}

std::string volume_reference(const Value& v, std::string* error) {
  if (std::string_view words = first_of(kApiVolumes, v); !words.empty()) return std::string(words);
  const std::string name(v["name"].as_string());
  if (v["projected"].is_null()) {
    if (!is_plain(v)) *error = "unknown volume type for volume  \"" + name + "\"";
    return "";
  }
  for (const Value& source : v["projected"]["sources"].items()) {
    std::string_view words = first_of(kApiProjections, source);
    if (!words.empty()) return std::string(words);
    if (source["downwardAPI"].is_null()) {
      *error = "unknown source for projected volume \"" + name + "\"";
      return "";
    }
  }
  return "";
}

}  // namespace

bool is_mirror_pod(const Value& pod) {
  return pod["metadata"]["annotations"].find(kMirrorAnnotation) != nullptr;
}

bool visit_containers(const Value& spec,
                      const std::function<bool(const Value&, std::string_view)>& fn) {
  struct Group {
    std::string_view field, what;
  };
  constexpr Group kGroups[] = {{"initContainers", "init container"},
                               {"containers", "container"},
                               {"ephemeralContainers", "ephemeral container"}};
  for (const Group& g : kGroups) {
    for (const Value& c : spec[g.field].items()) {
      if (!fn(c, g.what)) return false;
    }
  }
  return true;
}

bool visit_secrets(const Value& spec, const NameVisitor& fn) {
  for (const Value& s : spec["imagePullSecrets"].items()) {
    if (!tell(s["name"], fn)) return false;
  }
  if (!visit_environment(spec, "secretRef", "secretKeyRef", fn)) return false;
  for (const Value& v : spec["volumes"].items()) {
    for (const SecretPlace& p : kSecretPlaces) {
      const Value& found = v[p.volume][p.field];
      if (!tell(found.is_map() ? found["name"] : found, fn)) return false;
    }
    for (const Value& source : v["projected"]["sources"].items()) {
      if (!tell(source["secret"]["name"], fn)) return false;
    }
  }
  return true;
}

bool visit_config_maps(const Value& spec, const NameVisitor& fn) {
  if (!visit_environment(spec, "configMapRef", "configMapKeyRef", fn)) return false;
  for (const Value& v : spec["volumes"].items()) {
    if (!tell(v["configMap"]["name"], fn)) return false;
    for (const Value& source : v["projected"]["sources"].items()) {
      if (!tell(source["configMap"]["name"], fn)) return false;
    }
  }
  return true;
}

bool visit_volume_claims(const Value& pod, const NameVisitor& fn) {
  const std::string name(pod["metadata"]["name"].as_string());
  for (const Value& v : pod["spec"]["volumes"].items()) {
    if (!tell(v["persistentVolumeClaim"]["claimName"], fn)) return false;
    if (v["ephemeral"].is_null()) continue;
    if (!fn(name + "-" + std::string(v["name"].as_string()))) return false;
  }
  return true;
}

bool visit_resource_claims(const Value& pod, const NameVisitor& fn) {
  for (const Value& claim : pod["spec"]["resourceClaims"].items()) {
    if (!tell(claim["resourceClaimName"], fn)) return false;
    if (claim["resourceClaimTemplateName"].is_null()) continue;
    for (const Value& made : pod["status"]["resourceClaimStatuses"].items()) {
      if (made["name"].equals(claim["name"]) && !tell(made["resourceClaimName"], fn)) return false;
    }
  }
  return tell(pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"], fn);
}

bool visit_volume_secrets(const Value& pv,
                          const std::function<bool(std::string_view, std::string_view)>& fn) {
  const Value& spec = pv["spec"];
  const std::string_view claim_ns = spec["claimRef"]["namespace"].as_string();
  auto visit = [&](std::string_view ns, std::string_view name) {
    return name.empty() || fn(ns.empty() ? claim_ns : ns, name);
  };
  for (const SecretPlace& p : kPersistentPlaces) {
    const Value& volume = spec[p.volume];
    const Value& found = volume[p.field];
    const bool reference = found.is_map();
    if (!visit((reference ? found["namespace"] : volume["secretNamespace"]).as_string(),
               (reference ? found["name"] : found).as_string())) {
      return false;
    }
  }
  for (std::string_view field : kCsiNodeSecrets) {
    const Value& found = spec["csi"][field];
    if (!visit(found["namespace"].as_string(), found["name"].as_string())) return false;
  }
  return true;
}

std::string api_reference(const Value& spec, std::string* error) {
  if (!spec["serviceAccountName"].as_string().empty()) return "serviceaccounts";
  auto stop = [](std::string_view) { return false; };
  if (!visit_secrets(spec, stop)) return "secrets";
  if (!visit_config_maps(spec, stop)) return "configmaps";
  if (!spec["resourceClaims"].empty()) return "resourceclaims";
  for (const Value& v : spec["volumes"].items()) {
    std::string found = volume_reference(v, error);
    if (!found.empty() || !error->empty()) return found;
  }
  return "";
}

}  // namespace keles::server
