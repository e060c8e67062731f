#include "server/admission/admission.h"

#include <algorithm>
#include <array>

#include "server/admission/plugins.h"
#include "server/objects/keys.h"

namespace keles::admission {
namespace {

using Admit = Status (*)(const Attributes&, Document& object, const Value* before);
using Validate = Status (*)(const Attributes&, const Value* object, const Value* before);

// A plugin has either function or both. One that judges deletions needs `validate`: deletions have
// no object to change.
struct Plugin {
  std::string_view name;
  Admit admit = nullptr;
  Validate validate = nullptr;
};

// In upstream's order.
constexpr Plugin kPlugins[] = {
    {"NamespaceLifecycle", namespace_lifecycle, namespace_lifecycle_validate},
    {"LimitRanger", limit_ranger, limit_ranger_validate},
    {"ServiceAccount", service_account, service_account_validate},
    {"NodeRestriction", node_restriction, node_restriction_validate},
    {"PodSecurity", nullptr, pod_security},
    {"Priority", priority},
    {"DefaultTolerationSeconds", default_toleration_seconds},
    {"RuntimeClass", runtime_class, runtime_class_validate},
    {"CertificateApproval", nullptr, certificate_approval},
    {"CertificateSigning", nullptr, certificate_signing},
    {"CertificateSubjectRestriction", nullptr, certificate_subject_restriction},
};

// On by default in Kubernetes, and not (yet) plugins here.
constexpr std::array kOfOthers{
    "ClusterTrustBundleAttest",     "DefaultIngressClass",      "DefaultStorageClass",
    "MutatingAdmissionPolicy",      "MutatingAdmissionWebhook", "NodeDeclaredFeatureValidator",
    "PersistentVolumeClaimResize",  "PodTopologyLabels",        "ResourceQuota",
    "StorageObjectInUseProtection", "TaintNodesByCondition",    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook"};
// Off by default there, and not plugins here.
constexpr std::array kNotHere{"AlwaysAdmit",
                              "AlwaysDeny",
                              "AlwaysPullImages",
                              "DenyServiceExternalIPs",
                              "EventRateLimit",
                              "ExtendedResourceToleration",
                              "ImagePolicyWebhook",
                              "LimitPodHardAntiAffinityTopology",
                              "NamespaceAutoProvision",
                              "NamespaceExists",
                              "OwnerReferencesPermissionEnforcement",
                              "PodNodeSelector",
                              "PodTolerationRestriction"};

template <class List>
bool contains(const List& list, std::string_view name) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](std::string_view known) { return known == name; });
}

bool is_plugin(std::string_view name) {
  return std::any_of(std::begin(kPlugins), std::end(kPlugins),
                     [&](const Plugin& p) { return p.name == name; });
}

bool runs(const Attributes& a, const Plugin& p) {
  return !a.config || a.config->off.find(p.name) == a.config->off.end();
}

Status check_name(std::string_view flag, const std::string& name) {
  if (is_plugin(name) || contains(kOfOthers, name) || contains(kNotHere, name)) return {};
  return Status::bad_request("--" + std::string(flag) + ": admission-control plugin \"" + name +
                             "\" is unknown");
}

}  // namespace

Result<Config> make_config(const std::vector<std::string>& enable,
                           const std::vector<std::string>& disable) {
  Config out;
  for (const std::string& name : disable) {
    TRY(check_name("disable-admission-plugins", name));
    out.off.insert(name);
  }
  for (const std::string& name : enable) {
    TRY(check_name("enable-admission-plugins", name));
    if (out.off.contains(name)) {
      return Status::bad_request("--enable-admission-plugins: \"" + name +
                                 "\" in both enable-admission-plugins and "
                                 "disable-admission-plugins flags");
    }
    if (contains(kNotHere, name)) {
      return Status::bad_request("--enable-admission-plugins: this server has no plugin \"" + name +
                                 "\"");
    }
  }
  return out;
}

Status admit(const Attributes& a, Document& object, const Value* before) {
  for (const Plugin& p : kPlugins) {
    if (p.admit && runs(a, p)) TRY(p.admit(a, object, before));
  }
  return {};
}

Status validate(const Attributes& a, const Value* object, const Value* before) {
  for (const Plugin& p : kPlugins) {
    if (p.validate && runs(a, p)) TRY(p.validate(a, object, before));
  }
  return {};
}

Status refuse(const Attributes& a, std::string_view why) {
  return Status::forbidden(a.kind->group, a.kind->plural, a.name, why);
}

ObjectPtr find(const Attributes& a, std::string_view group, std::string_view version,
               std::string_view kind, std::string_view ns, std::string_view name) {
  const KindDesc* k = find_kind(group, version, kind);
  return k ? a.state->get(registry::object_key(*k, ns, name)) : nullptr;
}

}  // namespace keles::admission
