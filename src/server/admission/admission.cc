#include "server/admission/admission.h"

#include <algorithm>
#include <array>
#include <utility>

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

bool runs(const Attributes& a, std::string_view name) {
  return !a.config || a.config->off.find(name) == a.config->off.end();
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

Task<Status> Dynamic::admit(Context, const Attributes*, Document*, const Value*) {
  co_return Status();
}
Task<Status> Dynamic::validate(Context, const Attributes*, const Value*, const Value*) {
  co_return Status();
}

namespace {

Status admit_built_in(const Attributes& a, Document& object, const Value* before) {
  for (const Plugin& p : kPlugins) {
    if (p.admit && runs(a, p.name)) TRY(p.admit(a, object, before));
  }
  return {};
}

Status validate_built_in(const Attributes& a, const Value* object, const Value* before) {
  for (const Plugin& p : kPlugins) {
    if (p.validate && runs(a, p.name)) TRY(p.validate(a, object, before));
  }
  return {};
}

bool runs(const Attributes& a, const Dynamic& d) { return runs(a, d.name()) && d.concerns(a); }

Task<Status> admit_dynamic(Context ctx, const Attributes* a, Document* object,
                           const Value* before) {
  for (const auto& d : a->config->dynamic) {
    if (!runs(*a, *d)) continue;
    Status s = co_await d->admit(ctx, a, object, before);
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

Task<Status> validate_dynamic(Context ctx, const Attributes* a, const Value* object,
                              const Value* before) {
  for (const auto& d : a->config->dynamic) {
    if (!runs(*a, *d)) continue;
    Status s = co_await d->validate(ctx, a, object, before);
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

bool has_dynamic(const Attributes& a) {
  return a.config && !a.config->dynamic.empty() && !a.judged;
}

// Once, and once more when a plugin wants it: what one changed another may have to see.
Task<Status> admit_in_rounds(Context ctx, Attributes* a, Document* object, const Value* before,
                             bool built_in) {
  Reinvocation rounds;
  a->reinvocation = &rounds;
  Status s;
  do {
    rounds.second = std::exchange(rounds.wanted, false);
    if (built_in) s = admit_built_in(*a, *object, before);
    if (s.ok() && has_dynamic(*a)) s = co_await admit_dynamic(ctx, a, object, before);
  } while (s.ok() && rounds.wanted && !rounds.second);
  a->reinvocation = nullptr;
  co_return s;
}

}  // namespace

Task<Status> admit(Context ctx, Attributes* a, Document* object, const Value* before) {
  return admit_in_rounds(std::move(ctx), a, object, before, object != nullptr);
}

Task<Status> validate(Context ctx, const Attributes* a, const Value* object, const Value* before) {
  Status s = validate_built_in(*a, object, before);
  if (s.ok() && has_dynamic(*a)) {
    s = co_await validate_dynamic(std::move(ctx), a, object, before);
  }
  co_return s;
}

Task<Status> admit_foreign(Context ctx, Attributes* a, Document* object, const Value* before) {
  Status s;
  if (!has_dynamic(*a)) co_return s;
  s = co_await admit_in_rounds(ctx, a, object, before, false);
  if (s.ok()) s = co_await validate_dynamic(ctx, a, &object->root, before);
  co_return s;
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
