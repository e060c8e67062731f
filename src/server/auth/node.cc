#include "server/auth/node.h"

#include <algorithm>

#include "server/auth/bootstrap_roles.h"
#include "server/auth/rbac.h"

namespace keles::auth {
namespace {

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    size_t blank = std::min(text.find(' '), text.size());
    std::string_view w = text.substr(0, blank);
    if (!w.empty()) out.emplace_back(w == "-" ? "" : w);
    text.remove_prefix(std::min(blank + 1, text.size()));
  }
  return out;
}

const std::vector<Rule>& node_rules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> out;
    bool mine = false;
    for (const RoleRow& r : bootstrap_role_rows()) {
      if (!r.role.empty()) mine = r.role == "system:node";
      if (mine) out.push_back({words(r.verbs), words(r.groups), words(r.resources), {}, {}});
    }
    // The agent runs the service proxy and the cluster's DNS as well.
    out.push_back({words("get list watch"), words("-"), words("endpoints namespaces"), {}, {}});
    out.push_back(
        {words("get list watch"), words("discovery.k8s.io"), words("endpointslices"), {}, {}});
    return out;
  }();
  return rules;
}

// Whether `v` (a pod's spec) names the object in one of the places that refer to its kind.
bool refers(const Value& v, std::string_view resource, std::string_view name) {
  for (const Value& item : v.items()) {
    if (refers(item, resource, name)) return true;
  }
  for (const Member& m : v.members()) {
    std::string_view k = m.key();
    const Value& x = m.value;
    if (resource == "secrets") {
      if (k == "secret" && (x["secretName"].as_string() == name || x["name"].as_string() == name)) {
        return true;
      }
      if ((k == "secretRef" || k == "secretKeyRef") && x["name"].as_string() == name) return true;
      if (k == "imagePullSecrets") {
        for (const Value& s : x.items()) {
          if (s["name"].as_string() == name) return true;
        }
      }
    } else if (resource == "configmaps") {
      if ((k == "configMap" || k == "configMapRef" || k == "configMapKeyRef") &&
          x["name"].as_string() == name) {
        return true;
      }
    } else if (resource == "persistentvolumeclaims") {
      if (k == "persistentVolumeClaim" && x["claimName"].as_string() == name) return true;
    } else if (resource == "serviceaccounts") {
      if (k == "serviceAccountName" && x.as_string() == name) return true;
    }
    if (refers(x, resource, name)) return true;
  }
  return false;
}

bool pod_refers(std::string_view node, const Access& a, const StoreSnapshot& snapshot) {
  std::string prefix = "/registry/pods/" + a.ns + "/";
  bool found = false;
  snapshot.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
    // The bytes tell most pods apart without a tree.
    Bytes stored = o->stored();
    if (stored && (stored->find(node) == stored->npos || stored->find(a.name) == stored->npos)) {
      return true;
    }
    DocumentPtr d = o->tree();
    const Value& spec = d->root["spec"];
    found = spec["nodeName"].as_string() == node && refers(spec, a.resource, a.name);
    if (!found && a.resource == "persistentvolumeclaims" && spec["nodeName"].as_string() == node) {
      for (const Value& v : spec["volumes"].items()) {  // ephemeral claims: POD-VOLUME
        found |= std::string(o->name()) + "-" + std::string(v["name"].as_string()) == a.name;
      }
    }
    return !found;
  });
  return found;
}

}  // namespace

std::string_view node_of(const Caller& caller) {
  constexpr std::string_view kPrefix = "system:node:";
  if (caller.name.rfind(kPrefix, 0) != 0) return {};
  if (std::find(caller.groups.begin(), caller.groups.end(), "system:nodes") ==
      caller.groups.end()) {
    return {};
  }
  return std::string_view(caller.name).substr(kPrefix.size());
}

bool node_allows(std::string_view node, const Access& a, const StoreSnapshot& snapshot,
                 std::string* reason) {
  const std::vector<Rule>& rules = node_rules();
  bool listed =
      std::any_of(rules.begin(), rules.end(), [&](const Rule& r) { return allows(r, a); });
  if (!listed) return false;
  bool writes = a.verb != "get" && a.verb != "list" && a.verb != "watch";
  if (a.group.empty()) {
    if (a.resource == "nodes" && writes && a.verb != "create" && a.name != node) {
      *reason = "node '" + std::string(node) + "' cannot modify another node";
      return false;
    }
    bool graph = a.resource == "secrets" || a.resource == "configmaps" ||
                 a.resource == "persistentvolumeclaims" ||
                 (a.resource == "serviceaccounts" && a.subresource == "token");
    if (graph && (a.name.empty() || a.ns.empty())) {
      *reason = "No Object name found";
      return false;
    }
    if (graph && !pod_refers(node, a, snapshot)) {
      *reason = "no relationship found between node '" + std::string(node) + "' and this object";
      return false;
    }
  }
  if (a.group == "coordination.k8s.io" &&
      (a.ns != "kube-node-lease" || (a.verb != "create" && a.name != node))) {
    *reason = "can only access node lease with the same name as the requesting node";
    return false;
  }
  if (a.group == "storage.k8s.io" && a.resource == "csinodes" && a.verb != "create" &&
      a.name != node) {
    *reason = "can only access CSINode with the same name as the requesting node";
    return false;
  }
  return true;
}

}  // namespace keles::auth
