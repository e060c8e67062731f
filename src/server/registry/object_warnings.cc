// Warnings of nodes, accounts, secrets, quotas, storage and the kinds that extend a cluster. See
// warnings.h.
#include <algorithm>

#include "base/encoding.h"
#include "machinery/quantity.h"
#include "net/key_pair.h"
#include "server/objects/meta.h"
#include "server/registry/warnings.h"

namespace keles::registry {
namespace {

const FieldPath kSpec("spec");
constexpr std::string_view kMountable = "kubernetes.io/enforce-mountable-secrets";
constexpr std::string_view kStorageClass = "volume.beta.kubernetes.io/storage-class";
constexpr std::string_view kMountOptions = "volume.beta.kubernetes.io/mount-options";
constexpr std::string_view kUseStorageClass =
    "deprecated since v1.8; use \"storageClassName\" attribute instead";

FieldPath annotation(std::string_view key) { return FieldPath("metadata")["annotations"].key(key); }

bool has_annotation(const Value& object, std::string_view key) {
  return metadata(object)["annotations"].find(key) != nullptr;
}

}  // namespace

void node_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  const Value& spec = now["spec"];
  if (!spec["configSource"].is_null()) {
    warn(out, kSpec["configSource"], "the feature is removed");
  }
  if (!spec["externalID"].as_string().empty()) {
    warn(out, kSpec["externalID"], "this field is deprecated, and is unused by Kubernetes");
  }
  size_t i = 0;
  for (const Value& cidr : spec["podCIDRs"].items()) {
    warn_of_cidr(out, kSpec["podCIDRs"][i++], cidr.as_string());
  }
}

void secret_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  if (now["type"].as_string() != "kubernetes.io/tls") return;
  const auto certificate = base64_decode(now["data"]["tls.crt"].as_string());
  const auto key = base64_decode(now["data"]["tls.key"].as_string());
  std::string why = net::key_pair_problem(certificate.value_or(""), key.value_or(""));
  if (!why.empty()) out.push_back(std::move(why));
}

void service_account_warnings(const HookContext&, const Value& now, const Value* before,
                              Warnings& out) {
  if (!has_annotation(now, kMountable) || (before && has_annotation(*before, kMountable))) return;
  warn(out, annotation(kMountable),
       "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets");
}

void resource_quota_warnings(const HookContext&, const Value& now, const Value* before,
                             Warnings& out) {
  if (before) return;
  const Value& hard = now["spec"]["hard"];
  for (std::string_view name : {"cpu", "memory", "storage", "ephemeral-storage"}) {
    std::string requests = "requests." + std::string(name), limits = "limits." + std::string(name);
    if (!hard.find(requests) && (name == "cpu" || name == "memory")) requests = name;
    const Value *asked = hard.find(requests), *limit = hard.find(limits);
    if (!asked || !limit) continue;
    const Quantity a = Quantity::parse_or_zero(asked->as_string());
    const Quantity b = Quantity::parse_or_zero(limit->as_string());
    if (a <= b) continue;
    out.push_back("ResourceQuota " + requests + " (" + a.to_string() + ") should be less than " +
                  limits + " (" + b.to_string() + ")");
  }
}

void persistent_volume_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  struct Plugin {
    std::string_view field, shown, text;
  };
  static constexpr std::array kGone{
      Plugin{"cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
      Plugin{"photonPersistentDisk", "photonPersistentDisk",
             "deprecated in v1.11, non-functional in v1.16+"},
      Plugin{"scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
      Plugin{"storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
      Plugin{"glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
      Plugin{"rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"},
  };
  const Value& spec = now["spec"];
  if (has_annotation(now, kStorageClass)) warn(out, annotation(kStorageClass), kUseStorageClass);
  if (has_annotation(now, kMountOptions)) {
    warn(out, annotation(kMountOptions),
         "deprecated since v1.31; use \"mountOptions\" attribute instead");
  }
  if (spec["persistentVolumeReclaimPolicy"].as_string() == "Recycle") {
    warn(out, kSpec["persistentVolumeReclaimPolicy"],
         "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use "
         "dynamic provisioning.");
  }
  size_t i = 0;
  for (const Value& term : spec["nodeAffinity"]["required"]["nodeSelectorTerms"].items()) {
    const FieldPath at = kSpec["nodeAffinity"]["required"]["nodeSelectorTerms"][i++];
    warn_of_node_term(out, at, term, false);
  }
  for (const Plugin& plugin : kGone) {
    if (!spec[plugin.field].is_null()) warn(out, kSpec[plugin.shown], plugin.text);
  }
}

void persistent_volume_claim_warnings(const HookContext&, const Value& now, const Value*,
                                      Warnings& out) {
  if (has_annotation(now, kStorageClass)) warn(out, annotation(kStorageClass), kUseStorageClass);
  warn_of_claim_spec(out, kSpec, now["spec"]);
}

void storage_class_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  size_t i = 0;
  for (const Value& topology : now["allowedTopologies"].items()) {
    const FieldPath at = FieldPath("allowedTopologies")[i++];
    size_t j = 0;
    for (const Value& expression : topology["matchLabelExpressions"].items()) {
      const FieldPath key = at["matchLabelExpressions"][j++]["key"];
      if (const char* why = deprecated_node_label(expression["key"].as_string())) {
        warn(out, key, why);
      }
    }
  }
}

void csi_driver_warnings(const HookContext&, const Value& now, const Value* before, Warnings& out) {
  const Value& spec = now["spec"];
  if (spec["tokenRequests"].empty() || !spec["serviceAccountTokenInSecrets"].is_null()) return;
  if (before && (*before)["spec"]["tokenRequests"].equals(spec["tokenRequests"])) return;
  out.emplace_back(
      "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to "
      "prevent possible logging of tokens in volume attributes");
}

void csi_storage_capacity_warnings(const HookContext&, const Value& now, const Value*,
                                   Warnings& out) {
  const FieldPath p("nodeTopology");
  warn_of_node_term(out, p, now["nodeTopology"], false);
  for (const Member& m : now["nodeTopology"]["matchLabels"].members()) {
    if (const char* why = deprecated_node_label(m.key())) warn(out, p["matchLabels"][m.key()], why);
  }
}

void runtime_class_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  for (const Member& m : now["scheduling"]["nodeSelector"].members()) {
    if (const char* why = deprecated_node_label(m.key())) {
      warn(out, FieldPath("scheduling")["nodeSelector"], why);
    }
  }
}

void resource_slice_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  const std::string_view driver = now["spec"]["driver"].as_string();
  if (std::none_of(driver.begin(), driver.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) {
    return;
  }
  warn(out, kSpec["driver"],
       "driver names should be lowercase; " + quoted(driver) + " contains uppercase characters");
}

// Of webhook configurations, admission policies and their bindings.
void static_suffix_warnings(const HookContext&, const Value& now, const Value*, Warnings& out) {
  constexpr std::string_view kSuffix = ".static.k8s.io";
  if (!meta(now, "name").ends_with(kSuffix)) return;
  warn(out, FieldPath("metadata")["name"],
       "names ending with " + quoted(kSuffix) +
           " are reserved for static manifest-based configurations and cannot be managed via the "
           "API");
}

}  // namespace keles::registry
