#include "server/admission/admission.h"

#include <algorithm>
#include <array>
#include <utility>

#include "machinery/validation.h"
#include "server/admission/plugins.h"
#include "server/objects/keys.h"

namespace keles::admission {
namespace {

using Admit = Status (*)(const Attributes&, Document& object, const Value* before);
using Validate = Status (*)(const Attributes&, const Value* object, const Value* before);

// A plugin has either function or both. One that judges deletions needs `validate`: deletions have
// no object to change.
enum class Default : uint8_t { kOff, kOn };
struct Plugin {
  std::string_view name;
  Default by_default;
  Admit admit = nullptr;
  Validate validate = nullptr;
};

// In upstream's order.
constexpr Plugin kPlugins[] = {
    {"AlwaysAdmit", Default::kOff},
    {"NamespaceLifecycle", Default::kOn, namespace_lifecycle, namespace_lifecycle_validate},
    {"NamespaceExists", Default::kOff, nullptr, namespace_exists},
    {"LimitPodHardAntiAffinityTopology", Default::kOff, nullptr, limit_anti_affinity},
    {"LimitRanger", Default::kOn, limit_ranger, limit_ranger_validate},
    {"ServiceAccount", Default::kOn, service_account, service_account_validate},
    {"NodeRestriction", Default::kOn, node_restriction, node_restriction_validate},
    {"TaintNodesByCondition", Default::kOn, taint_nodes_by_condition},
    {"AlwaysPullImages", Default::kOff, always_pull_images, always_pull_images_validate},
    {"PodSecurity", Default::kOn, nullptr, pod_security},
    {"PodNodeSelector", Default::kOff, pod_node_selector, pod_node_selector_validate},
    {"Priority", Default::kOn, priority, priority_validate},
    {"DefaultTolerationSeconds", Default::kOn, default_toleration_seconds},
    {"PodTolerationRestriction", Default::kOff, pod_toleration_restriction,
     pod_toleration_restriction_validate},
    {"EventRateLimit", Default::kOff, nullptr, event_rate_limit},
    {"ExtendedResourceToleration", Default::kOff, extended_resource_toleration},
    {"DefaultStorageClass", Default::kOn, default_storage_class},
    {"StorageObjectInUseProtection", Default::kOn, storage_protection},
    {"OwnerReferencesPermissionEnforcement", Default::kOff, nullptr, owner_references},
    {"PersistentVolumeClaimResize", Default::kOn, nullptr, claim_resize},
    {"RuntimeClass", Default::kOn, runtime_class, runtime_class_validate},
    {"CertificateApproval", Default::kOn, nullptr, certificate_approval},
    {"CertificateSigning", Default::kOn, nullptr, certificate_signing},
    {"CertificateSubjectRestriction", Default::kOn, nullptr, certificate_subject_restriction},
    {"DefaultIngressClass", Default::kOn, default_ingress_class},
    {"DenyServiceExternalIPs", Default::kOff, nullptr, deny_external_ips},
    {"PodTopologyLabels", Default::kOn, pod_topology_labels},
    {"NodeDeclaredFeatureValidator", Default::kOn, nullptr, node_declared_features},
    {"PodResizeValidator", Default::kOn, nullptr, pod_resize},
};
// Behind all others.
constexpr Plugin kLast[] = {{"AlwaysDeny", Default::kOff, nullptr, always_deny}};

// Those with a state of their own, or that make others wait; whoever makes the server brings them.
constexpr std::array kDynamic{"MutatingAdmissionPolicy", "MutatingAdmissionWebhook",
                              "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook",
                              "ResourceQuota"};
constexpr std::array kEarly{"NamespaceAutoProvision"};
// On by default in Kubernetes, of features that are off by default: nothing to be done.
constexpr std::array kOfOthers{"ClusterTrustBundleAttest", "JobValidation", "PodGroupProtection",
                               "PodGroupWorkloadExists"};
// Off by default, with a state of its own that whoever makes the server brings.
constexpr std::array kDynamicOff{"ImagePolicyWebhook"};

template <class List>
bool contains(const List& list, std::string_view name) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](std::string_view known) { return known == name; });
}

const Plugin* find_plugin(std::string_view name) {
  for (const Plugin& p : kPlugins) {
    if (p.name == name) return &p;
  }
  return kLast[0].name == name ? &kLast[0] : nullptr;
}

bool known(std::string_view name) {
  return find_plugin(name) || contains(kDynamic, name) || contains(kEarly, name) ||
         contains(kOfOthers, name) || contains(kDynamicOff, name);
}

bool runs(const Attributes& a, const Plugin& p) {
  const bool on = p.by_default == Default::kOn;
  if (!a.config) return on;
  const auto& others = on ? a.config->off : a.config->on;
  if (others.empty()) return on;  // mostly
  return on != others.contains(p.name);
}

bool runs(const Attributes& a, const Early& e) {
  const Plugin* p = find_plugin(e.name());
  return p ? runs(a, *p) : a.config->on.contains(e.name());
}

Status check_name(std::string_view flag, const std::string& name) {
  if (known(name)) return {};
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
    const Plugin* p = find_plugin(name);
    const bool brought = contains(kEarly, name) || contains(kDynamicOff, name);
    if (brought || (p && p->by_default == Default::kOff)) out.on.insert(name);
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
    if (p.admit && runs(a, p)) TRY(p.admit(a, object, before));
  }
  return {};
}

Status validate_built_in(const Attributes& a, const Value* object, const Value* before) {
  for (const Plugin& p : kPlugins) {
    if (p.validate && runs(a, p)) TRY(p.validate(a, object, before));
  }
  return {};
}

Status last_word(const Attributes& a) {
  for (const Plugin& p : kLast) {
    if (runs(a, p)) TRY(p.validate(a, nullptr, nullptr));
  }
  return {};
}

bool runs(const Attributes& a, const Dynamic& d) {
  return (a.config->off.empty() || !a.config->off.contains(d.name())) && d.concerns(a);
}

bool early_has_to(const Attributes& a, const Document* object) {
  if (!a.config || !object) return false;
  return std::any_of(a.config->early.begin(), a.config->early.end(),
                     [&](const auto& e) { return runs(a, *e) && e->concerns(a, object->root); });
}

Task<Status> admit_dynamic(Context ctx, const Attributes* a, Document* object,
                           const Value* before) {
  for (const auto& d : a->config->dynamic) {
    if (!d->admits() || !runs(*a, *d)) continue;
    Status s = co_await d->admit(ctx, a, object, before);
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

Task<Status> validate_dynamic(Context ctx, const Attributes* a, const Value* object,
                              const Value* before) {
  for (const auto& d : a->config->dynamic) {
    if (!d->validates() || !runs(*a, *d)) continue;
    Status s = co_await d->validate(ctx, a, object, before);
    if (!s.ok()) co_return s;
  }
  co_return Status();
}

bool has_dynamic(const Attributes& a) {
  return a.config && !a.config->dynamic.empty() && !a.judged;
}

// Whether any of them is to be asked: by what the request is, which no plugin changes.
bool any_dynamic(const Attributes& a, bool (Dynamic::*has_part)() const) {
  return has_dynamic(a) &&
         std::any_of(a.config->dynamic.begin(), a.config->dynamic.end(),
                     [&](const auto& d) { return ((*d).*has_part)() && runs(a, *d); });
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

Task<Status> admit_after_early(Context ctx, Attributes* a, Document* object, const Value* before) {
  for (const auto& e : a->config->early) {
    if (!runs(*a, *e) || !e->concerns(*a, object->root)) continue;
    Status s = co_await e->prepare(ctx, a);
    if (!s.ok()) co_return s;
  }
  co_return co_await admit_in_rounds(ctx, a, object, before, true);
}

}  // namespace

namespace {

Task<Status> validate_all(Context ctx, const Attributes* a, const Value* object,
                          const Value* before) {
  Status s = co_await validate_dynamic(std::move(ctx), a, object, before);
  if (s.ok()) s = last_word(*a);
  co_return s;
}

}  // namespace

Verdict admit(Context ctx, Attributes* a, Document* object, const Value* before) {
  if (early_has_to(*a, object)) return admit_after_early(std::move(ctx), a, object, before);
  if (any_dynamic(*a, &Dynamic::admits)) {
    return admit_in_rounds(std::move(ctx), a, object, before, object != nullptr);
  }
  if (!object) return Status();
  Reinvocation once;  // none of the built-in plugins wants to be asked again
  a->reinvocation = &once;
  Status s = admit_built_in(*a, *object, before);
  a->reinvocation = nullptr;
  return s;
}

Verdict validate(Context ctx, const Attributes* a, const Value* object, const Value* before) {
  Status s = validate_built_in(*a, object, before);
  if (s.ok() && any_dynamic(*a, &Dynamic::validates)) {
    return validate_all(std::move(ctx), a, object, before);
  }
  if (s.ok()) s = last_word(*a);
  return s;
}

Task<Status> admit_foreign(Context ctx, Attributes* a, Document* object, const Value* before) {
  Status s = last_word(*a);
  if (!s.ok() || !has_dynamic(*a)) co_return s;
  s = co_await admit_in_rounds(ctx, a, object, before, false);
  if (s.ok()) s = co_await validate_dynamic(ctx, a, &object->root, before);
  co_return s;
}

std::vector<std::string_view> on_by_default() {
  std::vector<std::string_view> out;
  for (const Plugin& p : kPlugins) {
    if (p.by_default == Default::kOn) out.push_back(p.name);
  }
  return out;
}

namespace {

bool is_annotation_key(std::string_view key) {
  const size_t slash = key.find('/');
  return slash != key.npos && key.find('/', slash + 1) == key.npos &&
         check_dns1123_subdomain(key.substr(0, slash)).empty() &&
         check_qualified_name(key.substr(slash + 1)).empty();
}

}  // namespace

void annotate(const Attributes& a, std::string key, std::string value) {
  if (a.annotations && is_annotation_key(key)) {
    a.annotations->emplace_back(std::move(key), std::move(value));
  }
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
