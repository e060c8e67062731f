#include "server/matching/request.h"

#include <map>

#include "machinery/custom_kind.h"
#include "server/objects/keys.h"

namespace keles::matching {
namespace {

using Kinds = std::vector<const KindDesc*>;

// Built-in resources by where their objects lie.
const std::map<const KindDesc*, Kinds>& built_in_equivalents() {
  static const auto* const all = [] {
    std::map<std::string, Kinds> by_place;
    for (const KindDesc* k : all_kinds()) by_place[registry::kind_prefix(*k)].push_back(k);
    auto* out = new std::map<const KindDesc*, Kinds>();
    for (const auto& [place, kinds] : by_place) {
      for (const KindDesc* k : kinds) (*out)[k] = kinds;
    }
    return out;
  }();
  return *all;
}

Value version_kind(Arena& a, std::string_view group, std::string_view version,
                   std::string_view name, std::string_view what) {
  Value out = Value::map();
  out.set(a, "group", Value::string(group));
  out.set(a, "version", Value::string(version));
  out.set(a, name, Value::string(what));
  return out;
}

Value texts(Arena& a, const std::vector<std::string>& list) {
  Value out = Value::list();
  for (const std::string& s : list) out.append(a, Value::string(s));
  return out;
}

Value user_info(Arena& a, const Caller& caller) {
  Value out = Value::map();
  if (!caller.name.empty()) out.set(a, "username", Value::string(caller.name));
  if (!caller.uid.empty()) out.set(a, "uid", Value::string(caller.uid));
  if (!caller.groups.empty()) out.set(a, "groups", texts(a, caller.groups));
  if (caller.extra.empty()) return out;
  Value extra = Value::map();
  for (const auto& [key, values] : caller.extra) extra.set(a, key, texts(a, values));
  out.set(a, "extra", extra);
  return out;
}

}  // namespace

GroupVersionKind body_kind(const KindDesc& resource, std::string_view subresource) {
  const SubresourceDesc* sub = subresource.empty() ? nullptr : resource.subresource(subresource);
  if (!sub || sub->kind.empty()) return {resource.group, resource.version, resource.kind};
  if (sub->version.empty()) return {resource.group, resource.version, sub->kind};
  return {sub->group, sub->version, sub->kind};
}

bool has_equivalents(const KindDesc& resource) {
  if (const CustomKinds* kinds = custom_kinds(resource)) return kinds->versions().size() > 1;
  const auto found = built_in_equivalents().find(&resource);
  return found != built_in_equivalents().end() && found->second.size() > 1;
}

std::vector<const KindDesc*> equivalents(const KindDesc& resource, std::string_view subresource) {
  Kinds all;
  if (const CustomKinds* kinds = custom_kinds(resource)) {
    for (const auto& version : kinds->versions()) {
      if (version->served) all.push_back(&version->kind);
    }
  } else if (const auto found = built_in_equivalents().find(&resource);
             found != built_in_equivalents().end()) {
    all = found->second;
  } else {
    all.push_back(&resource);
  }
  if (!subresource.empty()) {
    std::erase_if(all, [&](const KindDesc* k) { return !k->subresource(subresource); });
  }
  return all;
}

Value request_value(Arena& a, const Request& r, const KindDesc& as) {
  const GroupVersionKind shown = body_kind(as, r.subresource),
                         asked = body_kind(*r.resource, r.subresource);
  Value out = Value::map();
  out.set(a, "kind", version_kind(a, shown.group, shown.version, "kind", shown.kind));
  out.set(a, "resource", version_kind(a, as.group, as.version, "resource", as.plural));
  if (!r.subresource.empty()) out.set(a, "subResource", Value::string(r.subresource));
  out.set(a, "requestKind", version_kind(a, asked.group, asked.version, "kind", asked.kind));
  out.set(a, "requestResource",
          version_kind(a, r.resource->group, r.resource->version, "resource", r.resource->plural));
  if (!r.subresource.empty()) out.set(a, "requestSubResource", Value::string(r.subresource));
  if (!r.name.empty()) out.set(a, "name", Value::string(r.name));
  if (!r.namespace_.empty()) out.set(a, "namespace", Value::string(r.namespace_));
  out.set(a, "operation", Value::string(r.operation));
  out.set(a, "userInfo", r.caller ? user_info(a, *r.caller) : Value::map());
  out.set(a, "dryRun", Value(r.dry_run));
  out.set(a, "options", r.options ? *r.options : Value());
  return out;
}

bool is_exempt(const KindDesc& resource) {
  if (resource.group != "admissionregistration.k8s.io") return false;
  for (std::string_view kind : {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
                                "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
                                "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}) {
    if (resource.kind == kind) return true;
  }
  return false;
}

}  // namespace keles::matching
