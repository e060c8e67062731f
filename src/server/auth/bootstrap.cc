// The default roles as objects.
#include <algorithm>
#include <optional>

#include "server/auth/auth.h"
#include "server/auth/bootstrap_roles.h"

namespace keles::auth {
namespace {

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";

Value words(Arena& a, std::string_view text) {
  Value out = Value::list();
  while (!text.empty()) {
    size_t blank = std::min(text.find(' '), text.size());
    std::string_view w = text.substr(0, blank);
    if (!w.empty()) out.append(a, Value::string(w == "-" ? "" : w));
    text.remove_prefix(std::min(blank + 1, text.size()));
  }
  return out;
}

// "NS/NAME" or "NAME", as an object of the kind with the annotation and label of its like.
BootstrapObject start(std::string_view kind, std::string_view path) {
  BootstrapObject out;
  size_t slash = path.find('/');
  out.ns = slash == path.npos ? "" : path.substr(0, slash);
  out.name = slash == path.npos ? path : path.substr(slash + 1);
  out.kind =
      find_kind(kGroup, "v1", out.ns.empty() ? "Cluster" + std::string(kind) : std::string(kind));
  Arena& a = out.body.arena;
  out.body.root = Value::map();
  Value meta = Value::map();
  meta.set(a, "name", Value::string(a.copy(out.name)));
  if (!out.ns.empty()) meta.set(a, "namespace", Value::string(a.copy(out.ns)));
  Value labels = Value::map();
  labels.set(a, "kubernetes.io/bootstrapping", Value::string("rbac-defaults"));
  meta.set(a, "labels", labels);
  Value annotations = Value::map();
  annotations.set(a, "rbac.authorization.kubernetes.io/autoupdate", Value::string("true"));
  meta.set(a, "annotations", annotations);
  out.body.root.set(a, "metadata", meta);
  return out;
}

Value& labels_of(BootstrapObject& o) { return *o.body.root.find("metadata")->find("labels"); }

void add_rule(BootstrapObject& o, const RoleRow& row) {
  Arena& a = o.body.arena;
  Value rule = Value::map();
  rule.set(a, "verbs", words(a, row.verbs));
  if (row.urls.empty()) {
    rule.set(a, "apiGroups", words(a, row.groups));
    rule.set(a, "resources", words(a, row.resources));
    if (!row.names.empty()) rule.set(a, "resourceNames", words(a, row.names));
  } else {
    rule.set(a, "nonResourceURLs", words(a, row.urls));
  }
  Value& rules = o.body.root.get_or_add(a, "rules");
  if (!rules.is_list()) rules = Value::list();
  rules.append(a, rule);
}

void add_subject(BootstrapObject& o, std::string_view text) {
  Arena& a = o.body.arena;
  size_t colon = text.find(':');
  std::string_view kind = text.substr(0, colon), name = text.substr(colon + 1);
  Value subject = Value::map();
  subject.set(a, "kind", Value::string(a.copy(kind)));
  if (kind == "ServiceAccount") {
    size_t slash = name.find('/');
    subject.set(a, "name", Value::string(a.copy(name.substr(slash + 1))));
    subject.set(a, "namespace", Value::string(a.copy(name.substr(0, slash))));
  } else {
    subject.set(a, "apiGroup", Value::string(kGroup));
    subject.set(a, "name", Value::string(a.copy(name)));
  }
  Value& subjects = o.body.root.get_or_add(a, "subjects");
  if (!subjects.is_list()) subjects = Value::list();
  subjects.append(a, subject);
}

BootstrapObject binding(std::string_view path, std::string_view role, std::string_view subjects) {
  BootstrapObject o = start("RoleBinding", path);
  Arena& a = o.body.arena;
  Value ref = Value::map();
  bool local = role.rfind("Role:", 0) == 0;
  ref.set(a, "apiGroup", Value::string(kGroup));
  ref.set(a, "kind", Value::string(local ? "Role" : "ClusterRole"));
  ref.set(a, "name", Value::string(a.copy(local ? role.substr(5) : role)));
  o.body.root.set(a, "roleRef", ref);
  while (!subjects.empty()) {
    size_t blank = std::min(subjects.find(' '), subjects.size());
    if (blank > 0) add_subject(o, subjects.substr(0, blank));
    subjects.remove_prefix(std::min(blank + 1, subjects.size()));
  }
  return o;
}

// Adds to `list` in `doc` the items of `wanted` that it lacks.
bool complete(Document& doc, std::string_view list, const Value& wanted) {
  bool changed = false;
  for (const Value& item : wanted.items()) {
    std::span<const Value> have = std::as_const(doc.root)[list].items();
    if (std::any_of(have.begin(), have.end(), [&](const Value& h) { return h.equals(item); })) {
      continue;
    }
    Value& to = doc.root.get_or_add(doc.arena, list);
    if (!to.is_list()) to = Value::list();
    to.append(doc.arena, deep_copy(doc.arena, item));
    changed = true;
  }
  return changed;
}

}  // namespace

std::vector<BootstrapObject> bootstrap_rbac() {
  std::vector<BootstrapObject> out;
  for (const RoleRow& row : bootstrap_role_rows()) {
    if (!row.role.empty()) {
      out.push_back(start("Role", row.role));
      std::string_view label = bootstrap_role_label(row.role);
      if (!label.empty()) {
        labels_of(out.back()).set(out.back().body.arena, label, Value::string("true"));
      }
    }
    add_rule(out.back(), row);
  }
  for (const AggregateRow& row : bootstrap_aggregate_rows()) {
    BootstrapObject o = start("Role", row.role);
    Arena& a = o.body.arena;
    if (!row.labels.empty()) labels_of(o).set(a, row.labels, Value::string("true"));
    Value match = Value::map();
    match.set(a, row.selects, Value::string("true"));
    Value selector = Value::map();
    selector.set(a, "matchLabels", match);
    Value selectors = Value::list();
    selectors.append(a, selector);
    Value rule = Value::map();
    rule.set(a, "clusterRoleSelectors", selectors);
    o.body.root.set(a, "aggregationRule", rule);
    out.push_back(std::move(o));
  }
  for (const BindingRow& row : bootstrap_binding_rows()) {
    out.push_back(binding(row.binding, row.role, row.subjects));
  }
  constexpr std::string_view kController = "system:controller:";
  for (const RoleRow& row : bootstrap_role_rows()) {
    if (row.role.rfind(kController, 0) != 0) continue;
    std::string account = "ServiceAccount:kube-system/";
    account += row.role.substr(kController.size());
    out.push_back(binding(row.role, row.role, account));
  }
  return out;
}

std::optional<Document> merge_bootstrap(const Value& current, const Value& wanted) {
  const Value& meta = current["metadata"];
  if (meta["annotations"]["rbac.authorization.kubernetes.io/autoupdate"].as_string() != "true") {
    return std::nullopt;
  }
  Document doc;
  doc.root = deep_copy(doc.arena, current);
  bool changed = complete(doc, "rules", wanted["rules"]);
  changed |= complete(doc, "subjects", wanted["subjects"]);
  if (!changed) return std::nullopt;
  return doc;
}

}  // namespace keles::auth
