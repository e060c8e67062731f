// Roles and bindings, PriorityClasses, CertificateSigningRequests, admission configurations.
#include "machinery/time.h"
#include "server/registry/cells.h"
#include "server/registry/strategies.h"

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

// --- CertificateSigningRequest ------------------------------------------------------------------

void csr_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& seconds = o["spec"]["expirationSeconds"];
  w.text("RequestedDuration",
         seconds.is_null() ? "<none>" : human_duration(std::chrono::seconds(seconds.as_int())));
  bool approved = false, denied = false, failed = false;
  for (const Value& c : o["status"]["conditions"].items()) {
    approved = approved || c["type"].as_string() == "Approved";
    denied = denied || c["type"].as_string() == "Denied";
    failed = failed || c["type"].as_string() == "Failed";
  }
  std::string text = denied ? "Denied" : approved ? "Approved" : "Pending";
  if (failed) text += ",Failed";
  if (!o["status"]["certificate"].as_string().empty()) text += ",Issued";
  w.text("Condition", text);
}

void prepare_csr_update(const HookContext&, Document& now, const Value& before) {
  now.root.set(now.arena, "spec", deep_copy(now.arena, before["spec"]));
}

// Approval writes conditions only.
void prepare_csr_subresource(const HookContext&, std::string_view, Document& now,
                             const Value& before) {
  Document made;
  made.root = deep_copy(made.arena, before);
  Value& status = made.root.get_or_add(made.arena, "status");
  if (!status.is_map()) status = Value::map();
  status.set(made.arena, "conditions", deep_copy(made.arena, now.root["status"]["conditions"]));
  now = std::move(made);
}

// --- admission configurations, API services -----------------------------------------------------

void webhook_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter(ctx, out).number("Webhooks", static_cast<int64_t>(o["webhooks"].size()));
}

void policy_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  w.number("Validations", static_cast<int64_t>(spec["validations"].size()));
  w.number("Mutations", static_cast<int64_t>(spec["mutations"].size()));
  const Value& param = spec["paramKind"];
  w.text("ParamKind", param.is_null() ? "<unset>"
                                      : std::string(param["apiVersion"].as_string()) + "/" +
                                            std::string(param["kind"].as_string()));
}

void policy_binding_cells(const HookContext& ctx, const Value& o, Cells& out) {
  const Value& ref = o["spec"]["paramRef"];
  std::string text = "<unset>";
  if (!ref.is_null()) {
    std::string_view ns = ref["namespace"].as_string(), name = ref["name"].as_string();
    text = !name.empty() ? (ns.empty() ? "" : std::string(ns) + "/") + std::string(name)
                         : selector_text(ref["selector"]);
  }
  CellWriter(ctx, out).text("ParamRef", text);
}

void api_service_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& service = o["spec"]["service"];
  w.text("Service", service.is_null() ? "Local"
                                      : std::string(service["namespace"].as_string()) + "/" +
                                            std::string(service["name"].as_string()));
  const Value& c = find_condition(o["status"]["conditions"], "Available");
  std::string text = or_else(c["status"].as_string(), service.is_null() ? "True" : "Unknown");
  if (text != "True" && !c["reason"].as_string().empty()) {
    text += " (" + std::string(c["reason"].as_string()) + ")";
  }
  w.text("Available", text);
}

}  // namespace

const Strategy kRoleStrategy{.group = kGroup,
                             .kind = "Role",
                             .validate = validate_role,
                             .validate_name = name_is_path_segment,
                             .allow_create_on_update = true,
                             .generation = false};
const Strategy kClusterRoleStrategy{.group = kGroup,
                                    .kind = "ClusterRole",
                                    .validate = validate_cluster_role,
                                    .validate_name = name_is_path_segment,
                                    .allow_create_on_update = true,
                                    .generation = false};
const Strategy kRoleBindingStrategy{.group = kGroup,
                                    .kind = "RoleBinding",
                                    .validate = validate_role_binding,
                                    .validate_update = validate_binding_update,
                                    .validate_name = name_is_path_segment,
                                    .allow_create_on_update = true,
                                    .generation = false,
                                    .cells = binding_cells};
const Strategy kClusterRoleBindingStrategy{.group = kGroup,
                                           .kind = "ClusterRoleBinding",
                                           .validate = validate_cluster_role_binding,
                                           .validate_update = validate_binding_update,
                                           .validate_name = name_is_path_segment,
                                           .allow_create_on_update = true,
                                           .generation = false,
                                           .cells = binding_cells};
const Strategy kPriorityClassStrategy{.group = "scheduling.k8s.io",
                                      .kind = "PriorityClass",
                                      .validate = validate_priority_class,
                                      .validate_update = validate_priority_class_update};
const Strategy kCsrStrategy{.group = "certificates.k8s.io",
                            .kind = "CertificateSigningRequest",
                            .prepare_for_update = prepare_csr_update,
                            .validate_name = name_is_path_segment,
                            .prepare_for_subresource = prepare_csr_subresource,
                            .generation = false,
                            .cells = csr_cells};
const Strategy kMutatingWebhooksStrategy{.group = "admissionregistration.k8s.io",
                                         .kind = "MutatingWebhookConfiguration",
                                         .cells = webhook_cells};
const Strategy kValidatingWebhooksStrategy{.group = "admissionregistration.k8s.io",
                                           .kind = "ValidatingWebhookConfiguration",
                                           .cells = webhook_cells};
const Strategy kValidatingPolicyStrategy{.group = "admissionregistration.k8s.io",
                                         .kind = "ValidatingAdmissionPolicy",
                                         .cells = policy_cells};
const Strategy kMutatingPolicyStrategy{.group = "admissionregistration.k8s.io",
                                       .kind = "MutatingAdmissionPolicy",
                                       .cells = policy_cells};
const Strategy kValidatingPolicyBindingStrategy{.group = "admissionregistration.k8s.io",
                                                .kind = "ValidatingAdmissionPolicyBinding",
                                                .cells = policy_binding_cells};
const Strategy kMutatingPolicyBindingStrategy{.group = "admissionregistration.k8s.io",
                                              .kind = "MutatingAdmissionPolicyBinding",
                                              .cells = policy_binding_cells};
const Strategy kApiServiceStrategy{
    .group = "apiregistration.k8s.io", .kind = "APIService", .cells = api_service_cells};

}  // namespace keles::registry
