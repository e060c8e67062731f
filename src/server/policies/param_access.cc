#include "server/policies/param_access.h"

#include <algorithm>
#include <string>

#include "base/list_text.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"

namespace keles::policies {
namespace {

bool is_policy(const KindDesc& kind) {
  return kind.kind == "ValidatingAdmissionPolicy" || kind.kind == "MutatingAdmissionPolicy";
}
bool is_binding(const KindDesc& kind) {
  return kind.kind == "ValidatingAdmissionPolicyBinding" ||
         kind.kind == "MutatingAdmissionPolicyBinding";
}

// As Go prints its user: &{amy 17 [a b] map[k:[v]]}.
std::string shown(const Caller& c) {
  std::string extra;
  for (const auto& [key, values] : c.extra) {
    extra += (extra.empty() ? "" : " ") + key + ":" + go_list(values);
  }
  return "&{" + c.name + " " + c.uid + " " + go_list(c.groups) + " map[" + extra + "]}";
}

// Group, version and resource of params, as far as they are known; "*" stands for all.
struct Target {
  Access access;
  bool resolved = false;
};
Target target_of(const Value& param_kind, const Catalog& catalog) {
  Target out;
  out.access.group = out.access.version = out.access.resource = "*";
  const std::string_view version = param_kind["apiVersion"].as_string();
  if (version.empty() || std::count(version.begin(), version.end(), '/') > 1) return out;
  const size_t slash = version.find('/');
  out.access.group = slash == version.npos ? "" : version.substr(0, slash);
  out.access.version = slash == version.npos ? version : version.substr(slash + 1);
  const KindDesc* kind = catalog.find_kind(version, param_kind["kind"].as_string());
  if (kind && !kind->plural.empty()) {
    out.access.resource = kind->plural;
    out.resolved = true;
  }
  return out;
}

Status refused(const KindDesc& kind, const Value& now, const char* field, const std::string& why) {
  return Status::invalid(kind.group, kind.kind, registry::meta(now, "name"),
                         {{"FieldValueForbidden", "Forbidden: " + why, field}});
}

using May = std::function<bool(const Access&)>;

Status check_policy(const Caller& caller, const KindDesc& kind, const Value& now,
                    const Catalog& catalog, const May& may) {
  const Value& param_kind = now["spec"]["paramKind"];
  Access a = target_of(param_kind, catalog).access;
  a.verb = "get";
  a.ns = a.name = "*";
  if (may(a)) return {};
  return refused(kind, now, "spec.paramKind",
                 "user " + shown(caller) +
                     " must have \"get\" permission on all objects of the referenced paramKind "
                     "(kind=" +
                     std::string(param_kind["kind"].as_string()) +
                     ", apiVersion=" + std::string(param_kind["apiVersion"].as_string()) + ")");
}

Status check_binding(const Caller& caller, const KindDesc& kind, const Value& now,
                     const Catalog& catalog, const StoreSnapshot& state, const May& may) {
  const Value& spec = now["spec"];
  const std::string name(spec["policyName"].as_string());
  const std::string_view of =
      kind.kind.substr(0, kind.kind.size() - std::string_view("Binding").size());
  const KindDesc* policy_kind = find_kind(kind.group, "v1", of);
  const ObjectPtr policy = state.get(registry::object_key(*policy_kind, "", name));
  const DocumentPtr tree = policy ? policy->tree() : nullptr;
  const Value& param_kind = tree ? tree->root["spec"]["paramKind"] : Value::null();
  Target target = target_of(param_kind, catalog);
  Access& a = target.access;
  const Value& ref = spec["paramRef"];
  a.name = ref["name"].as_string();
  a.ns = ref["namespace"].as_string();
  a.verb = a.name.empty() ? "list" : "get";
  if (may(a)) return {};
  const std::string lacks = " does not have \"" + a.verb + "\" permission ";
  const std::string all = " to determine minimum required permissions and user " + shown(caller) +
                          lacks + "for all groups, versions and resources";
  std::string why = "user " + shown(caller) + lacks + "on the object referenced by paramRef";
  if (!policy) {
    why = "unable to get policy " + name + all;
  } else if (!param_kind.is_null() && !target.resolved) {
    why = "unable to resolve paramKind " + std::string(param_kind["apiVersion"].as_string()) +
          ", Kind=" + std::string(param_kind["kind"].as_string()) + all;
  }
  return refused(kind, now, "spec.paramRef", why);
}

}  // namespace

bool has_params(const KindDesc& kind) {
  return kind.group == "admissionregistration.k8s.io" && (is_policy(kind) || is_binding(kind));
}

Status check_param_access(const Caller& caller, const KindDesc& kind, const Value& now,
                          const Value* before, const Catalog& catalog, const StoreSnapshot& state,
                          const May& may) {
  if (!has_params(kind) || caller.trusted) return {};
  if (std::find(caller.groups.begin(), caller.groups.end(), "system:masters") !=
      caller.groups.end()) {
    return {};
  }
  const Value& spec = now["spec"];
  const bool policy = is_policy(kind);
  const char* field = policy ? "paramKind" : "paramRef";
  if (spec[field].is_null()) return {};
  // What was there already has been looked at.
  if (before && (*before)["spec"][field].equals(spec[field]) &&
      (policy || (*before)["spec"]["policyName"].equals(spec["policyName"]))) {
    return {};
  }
  return policy ? check_policy(caller, kind, now, catalog, may)
                : check_binding(caller, kind, now, catalog, state, may);
}

}  // namespace keles::policies
