// Roles and bindings.
#include "api/rbac_v1.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using api::rbac_v1::ClusterRole;
using api::rbac_v1::PolicyRule;
using api::rbac_v1::Role;
using api::rbac_v1::RoleBinding;
using api::rbac_v1::RoleRef;
using api::rbac_v1::Subject;

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";

void validate_rule(FieldErrors& e, const FieldPath& p, const PolicyRule& rule, bool namespaced) {
  if (rule.verbs().empty()) {
    field::required(e, p["verbs"], "verbs must contain at least one value");
  }
  if (const auto urls = rule.non_resource_urls(); !urls.empty()) {
    const FieldPath at = p["nonResourceURLs"];
    if (namespaced) {
      field::invalid(e, at, urls.value(), "namespaced rules cannot apply to non-resource URLs");
    }
    if (!rule.api_groups().empty() || !rule.resources().empty() || !rule.resource_names().empty()) {
      field::invalid(e, at, urls.value(),
                     "rules cannot apply to both regular resources and non-resource URLs");
    }
    return;
  }
  if (rule.api_groups().empty()) {
    field::required(e, p["apiGroups"], "resource rules must supply at least one api group");
  }
  if (rule.resources().empty()) {
    field::required(e, p["resources"], "resource rules must supply at least one resource");
  }
}

void validate_role(const HookContext&, const Value& now, FieldErrors& e) {
  size_t i = 0;
  for (const PolicyRule& r : Role(now).rules()) validate_rule(e, FieldPath("rules")[i++], r, true);
}

// Whether a selector means something, values that no label can have aside.
bool is_selector(const Value& selector) {
  FieldErrors ill;
  validate_label_selector(ill, FieldPath(), selector);
  return ill.empty();
}

void validate_whole_cluster_role(FieldErrors& e, const ClusterRole& role, bool any_values) {
  size_t i = 0;
  for (const PolicyRule& r : role.rules()) validate_rule(e, FieldPath("rules")[i++], r, false);
  if (!role.has_aggregation_rule()) return;
  const FieldPath p = FieldPath("aggregationRule")["clusterRoleSelectors"];
  const auto selectors = role.aggregation_rule().cluster_role_selectors();
  if (selectors.empty()) {
    field::required(e, p,
                    "at least one clusterRoleSelector required if aggregationRule is non-nil");
  }
  i = 0;
  for (const auto& s : selectors) {
    const FieldPath at = p[i++];
    validate_selector(e, at, s.value(), any_values);
    if (!is_selector(s.value())) invalid_as(e, at, "null", "invalid label selector.");
  }
}

void validate_cluster_role(const HookContext&, const Value& now, FieldErrors& e) {
  validate_whole_cluster_role(e, ClusterRole(now), false);
}

void validate_cluster_role_update(const HookContext&, const Value& now, const Value& before,
                                  FieldErrors& e) {
  bool any_values = false;
  for (const auto& s : ClusterRole(before).aggregation_rule().cluster_role_selectors()) {
    any_values = any_values || !is_selector(s.value());
  }
  validate_whole_cluster_role(e, ClusterRole(now), any_values);
}

void validate_subject(FieldErrors& e, const FieldPath& p, const Subject& s, bool namespaced) {
  const std::string_view kind = s.kind(), name = s.name(), group = s.api_group();
  if (name.empty()) field::required(e, p["name"]);
  if (kind == "ServiceAccount") {
    if (!name.empty()) field::invalid_each(e, p["name"], name, check_dns1123_subdomain(name));
    if (!group.empty()) field::not_supported(e, p["apiGroup"], group, {""});
    if (!namespaced && s.namespace_().empty()) field::required(e, p["namespace"]);
  } else if (kind == "User" || kind == "Group") {
    check_known(e, p["apiGroup"], group, {kGroup});
  } else {
    field::not_supported(e, p["kind"], kind, {"ServiceAccount", "User", "Group"});
  }
}

// A service account without a namespace is the binding's own namespace's.
void validate_binding(FieldErrors& e, const RoleBinding& binding, bool namespaced) {
  const RoleRef ref = binding.role_ref();
  const FieldPath p("roleRef");
  check_known(e, p["apiGroup"], ref.api_group(), {kGroup});
  if (namespaced) {
    check_known(e, p["kind"], ref.kind(), {"Role", "ClusterRole"});
  } else {
    check_known(e, p["kind"], ref.kind(), {"ClusterRole"});
  }
  described(e, p, ref, "name");
  size_t i = 0;
  for (const Subject& s : binding.subjects()) {
    validate_subject(e, FieldPath("subjects")[i++], s, namespaced);
  }
}

void validate_role_binding(const HookContext&, const Value& now, FieldErrors& e) {
  validate_binding(e, RoleBinding(now), true);
}
void validate_cluster_role_binding(const HookContext&, const Value& now, FieldErrors& e) {
  validate_binding(e, RoleBinding(now), false);
}

void validate_binding_update(const HookContext& ctx, const Value& now, const Value& before,
                             FieldErrors& e) {
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  if (!now["roleRef"].equals(before["roleRef"])) {
    invalid_as(e, FieldPath("roleRef"), struct_text(RoleBinding(now).role_ref()),
               "cannot change roleRef");
  }
  (void)ctx;
}

void binding_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& ref = o["roleRef"];
  w.text("Role", std::string(ref["kind"].as_string()) + "/" + std::string(ref["name"].as_string()));
  std::vector<std::string> users, groups, accounts;
  for (const Value& s : o["subjects"].items()) {
    std::string name(s["name"].as_string());
    std::string_view kind = s["kind"].as_string();
    if (kind == "User") users.push_back(name);
    if (kind == "Group") groups.push_back(name);
    if (kind == "ServiceAccount") {
      accounts.push_back(std::string(s["namespace"].as_string()) + "/" + name);
    }
  }
  w.text("Users", joined(users, ", "));
  w.text("Groups", joined(groups, ", "));
  w.text("ServiceAccounts", joined(accounts, ", "));
}

}  // namespace

extern const Strategy kRoleStrategy{.validate = validate_role,
                                    .described = false,
                                    .metadata_again = MetadataAgain::kWholeThenChange};
extern const Strategy kClusterRoleStrategy{.validate = validate_cluster_role,
                                           .validate_update = validate_cluster_role_update,
                                           .validates_update_whole = true,
                                           .described = false,
                                           .metadata_again = MetadataAgain::kWholeThenChange};
extern const Strategy kRoleBindingStrategy{.validate = validate_role_binding,
                                           .validate_update = validate_binding_update,
                                           .described = false,
                                           .metadata_again = MetadataAgain::kWhole,
                                           .cells = binding_cells};
extern const Strategy kClusterRoleBindingStrategy{.validate = validate_cluster_role_binding,
                                                  .validate_update = validate_binding_update,
                                                  .described = false,
                                                  .metadata_again = MetadataAgain::kWhole,
                                                  .cells = binding_cells};

}  // namespace keles::registry
