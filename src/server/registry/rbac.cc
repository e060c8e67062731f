// Roles and bindings, PriorityClasses.
#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";

void validate_rules(FieldErrors& e, const Value& rules, bool namespaced) {
  size_t i = 0;
  for (const Value& r : rules.items()) {
    FieldPath at = FieldPath("rules")[i++];
    if (r["verbs"].empty()) {
      field::required(e, at["verbs"], "verbs must contain at least one value");
    }
    if (!r["nonResourceURLs"].empty()) {
      if (namespaced) {
        field::invalid(e, at["nonResourceURLs"], r["nonResourceURLs"],
                       "namespaced rules cannot apply to non-resource URLs");
      }
      if (!r["apiGroups"].empty() || !r["resources"].empty() || !r["resourceNames"].empty()) {
        field::invalid(e, at["nonResourceURLs"], r["nonResourceURLs"],
                       "rules cannot apply to both regular resources and non-resource URLs");
      }
      continue;
    }
    if (r["apiGroups"].empty()) {
      field::required(e, at["apiGroups"], "resource rules must supply at least one api group");
    }
    if (r["resources"].empty()) {
      field::required(e, at["resources"], "resource rules must supply at least one resource");
    }
  }
}

void validate_role(const HookContext&, const Value& now, FieldErrors& e) {
  validate_rules(e, now["rules"], true);
}
void validate_cluster_role(const HookContext&, const Value& now, FieldErrors& e) {
  validate_rules(e, now["rules"], false);
  size_t i = 0;
  for (const Value& s : now["aggregationRule"]["clusterRoleSelectors"].items()) {
    validate_label_selector(e, FieldPath("aggregationRule")["clusterRoleSelectors"][i++], s);
  }
}

void validate_subject(FieldErrors& e, const FieldPath& p, const Value& s, bool namespaced) {
  std::string_view kind = s["kind"].as_string(), name = s["name"].as_string(),
                   group = s["apiGroup"].as_string();
  if (name.empty()) field::required(e, p["name"]);
  if (kind == "ServiceAccount") {
    if (!name.empty()) {
      field::invalid_each(e, p["name"], name, check_dns1123_subdomain(name));
    }
    if (!group.empty()) field::not_supported(e, p["apiGroup"], group, {""});
    if (!namespaced && s["namespace"].as_string().empty()) {
      field::required(e, p["namespace"]);
    }
  } else if (kind == "User" || kind == "Group") {
    if (group != kGroup) field::not_supported(e, p["apiGroup"], group, {kGroup});
  } else {
    field::not_supported(e, p["kind"], kind, {"Group", "ServiceAccount", "User"});
  }
}

void validate_binding(FieldErrors& e, const Value& now, bool namespaced) {
  const Value& ref = now["roleRef"];
  FieldPath at("roleRef");
  if (ref["apiGroup"].as_string() != kGroup) {
    field::not_supported(e, at["apiGroup"], ref["apiGroup"].as_string(), {kGroup});
  }
  std::string_view kind = ref["kind"].as_string(), name = ref["name"].as_string();
  if (namespaced && kind != "Role" && kind != "ClusterRole") {
    field::not_supported(e, at["kind"], kind, {"ClusterRole", "Role"});
  } else if (!namespaced && kind != "ClusterRole") {
    field::not_supported(e, at["kind"], kind, {"ClusterRole"});
  }
  if (name.empty()) {
    if (ref.is_null() || ref.find("name")) field::required(e, at["name"]);
  } else {
    field::invalid_each(e, at["name"], name, check_path_segment_name(name));
  }
  size_t i = 0;
  for (const Value& s : now["subjects"].items()) {
    validate_subject(e, FieldPath("subjects")[i++], s, namespaced);
  }
}

void validate_role_binding(const HookContext&, const Value& now, FieldErrors& e) {
  // A service account without a namespace is the binding's own namespace's.
  validate_binding(e, now, true);
}
void validate_cluster_role_binding(const HookContext&, const Value& now, FieldErrors& e) {
  validate_binding(e, now, false);
}
void validate_binding_update(const HookContext&, const Value& now, const Value& before,
                             FieldErrors& e) {
  if (!now["roleRef"].equals(before["roleRef"])) {
    field::invalid(e, FieldPath("roleRef"), now["roleRef"], "cannot change roleRef");
  }
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

// --- PriorityClass ------------------------------------------------------------------------------

void validate_priority_class(const HookContext&, const Value& now, FieldErrors& e) {
  constexpr int64_t kHighestUserPriority = 1'000'000'000;
  std::string_view name = now["metadata"]["name"].as_string();
  if (name.substr(0, 7) == "system-") {
    if (name != "system-cluster-critical" && name != "system-node-critical") {
      field::forbidden(e, FieldPath("metadata")["name"],
                       "priority class names with 'system-' prefix are reserved for system use "
                       "only. error: " +
                           std::string(name) + " is not a known system priority class");
    }
  } else if (now["value"].as_int() > kHighestUserPriority) {
    field::forbidden(e, FieldPath("value"),
                     "maximum allowed value of a user defined priority is 1000000000");
  }
}

void validate_priority_class_update(const HookContext&, const Value& now, const Value& before,
                                    FieldErrors& e) {
  for (std::string_view f : {"value", "preemptionPolicy"}) {
    if (now[f].equals(before[f])) continue;
    if (f == "value") {
      field::forbidden(e, FieldPath("value"), "may not be changed in an update.");
    } else {
      field::invalid(e, FieldPath(f), now[f], "field is immutable");
    }
  }
}

}  // namespace

extern const Strategy kRoleStrategy{.validate = validate_role};
extern const Strategy kClusterRoleStrategy{.validate = validate_cluster_role};
extern const Strategy kRoleBindingStrategy{.validate = validate_role_binding,
                                           .validate_update = validate_binding_update,
                                           .cells = binding_cells};
extern const Strategy kClusterRoleBindingStrategy{.validate = validate_cluster_role_binding,
                                                  .validate_update = validate_binding_update,
                                                  .cells = binding_cells};
extern const Strategy kPriorityClassStrategy{.validate = validate_priority_class,
                                             .validate_update = validate_priority_class_update};

}  // namespace keles::registry
