#include "server/auth/node.h"

#include <algorithm>

#include "server/auth/bootstrap_roles.h"
#include "server/auth/rbac.h"
#include "server/objects/keys.h"
#include "server/objects/pod_references.h"

namespace keles::auth {
namespace {

using server::NameVisitor;

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
    return out;
  }();
  return rules;
}

bool one_of(std::string_view what, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), what) != list.end();
}

// One question of one node.
class Question {
 public:
  Question(std::string_view node, const Access& access, const StoreSnapshot& snapshot,
           std::string* reason)
      : node_(node), a_(access), snapshot_(snapshot), reason_(reason) {}

  bool allowed() {
    if (a_.resource.empty()) return by_rules();
    const std::string_view r = a_.resource;
    if (a_.group.empty()) {
      if (r == "secrets" || r == "configmaps") return read_namespaced();
      if (r == "persistentvolumeclaims") {
        return a_.subresource == "status" ? update_status() : get_one();
      }
      if (r == "persistentvolumes") return get_one();
      if (r == "serviceaccounts") return service_account();
      if (r == "nodes") return node();
      if (r == "pods") return pod();
    } else if (a_.group == "storage.k8s.io") {
      if (r == "volumeattachments") return get_one();
      if (r == "csinodes") return csi_node();
    } else if (a_.group == "resource.k8s.io") {
      if (r == "resourceclaims") return get_one();
      if (r == "resourceslices") return resource_slice();
    } else if (a_.group == "coordination.k8s.io" && r == "leases") {
      return lease();
    } else if (a_.group == "certificates.k8s.io" && r == "podcertificaterequests") {
      return no("");  // not served
    }
    return by_rules();
  }

 private:
  bool no(std::string why) {
    *reason_ = std::move(why);
    return false;
  }
  bool by_rules() const {
    const std::vector<Rule>& rules = node_rules();
    return std::any_of(rules.begin(), rules.end(), [&](const Rule& r) { return allows(r, a_); });
  }

  bool read_namespaced() {
    if (!one_of(a_.verb, {"get", "list", "watch"})) {
      return no("can only read resources of this type");
    }
    if (!a_.subresource.empty()) return no("cannot read subresource");
    if (a_.ns.empty()) return no("can only read namespaced object of this type");
    return related();
  }
  bool get_one() {
    if (a_.verb != "get") return no("can only get individual resources of this type");
    if (!a_.subresource.empty()) return no("cannot get subresource");
    return related();
  }
  bool update_status() {
    if (!one_of(a_.verb, {"update", "patch"})) return no("can only get/update/patch this type");
    return related();
  }
  bool service_account() {
    if (a_.verb == "get" && a_.subresource.empty()) return read_namespaced();
    if (a_.verb != "create" || a_.name.empty()) {
      return no("can only create tokens for individual service accounts");
    }
    if (a_.subresource != "token") {
      return no("can only create token subresource of serviceaccount");
    }
    return related();
  }
  bool lease() {
    if (!one_of(a_.verb, {"get", "create", "update", "patch", "delete"})) {
      return no("can only get, create, update, patch, or delete a node lease");
    }
    if (a_.ns != "kube-node-lease") {
      return no("can only access leases in the \"kube-node-lease\" system namespace");
    }
    // A create's name is in its body: admission looks.
    if (a_.verb != "create" && a_.name != node_) {
      return no("can only access node lease with the same name as the requesting node");
    }
    return true;
  }
  bool csi_node() {
    if (!one_of(a_.verb, {"get", "create", "update", "patch", "delete"})) {
      return no("can only get, create, update, patch, or delete a CSINode");
    }
    if (!a_.subresource.empty()) return no("cannot authorize CSINode subresources");
    if (a_.verb != "create" && a_.name != node_) {
      return no("can only access CSINode with the same name as the requesting node");
    }
    return true;
  }
  bool resource_slice() {
    if (!a_.subresource.empty()) return no("cannot authorize ResourceSlice subresources");
    if (a_.verb == "create") return true;  // admission looks into the body
    if (one_of(a_.verb, {"get", "update", "patch", "delete"})) return related();
    if (one_of(a_.verb, {"watch", "list", "deletecollection"})) {
      if (a_.demands("spec.nodeName", node_)) return true;
      return no("can only list/watch/deletecollection resourceslices with nodeName field selector");
    }
    return no(
        "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, "
        "update, patch, delete, deletecollection");
  }
  bool node() {
    const bool writes = one_of(a_.verb, {"update", "patch"});
    // Which node it may write is admission's: the name of a create is in its body.
    if (a_.subresource == "status") return writes;
    if (!a_.subresource.empty()) return false;
    if (writes || a_.verb == "create") return true;
    if (!one_of(a_.verb, {"get", "list", "watch"})) return false;
    if (a_.name == node_) return true;  // before its Node is there, too
    const std::string self = "node '" + std::string(node_) + "' cannot read ";
    return no(a_.name.empty() ? self + "all nodes, only its own Node object"
                              : self + "'" + a_.name + "', only its own Node object");
  }
  bool pod() {
    if (a_.subresource == "status") return one_of(a_.verb, {"update", "patch"});
    if (a_.subresource == "eviction") return a_.verb == "create";
    if (!a_.subresource.empty()) return false;
    if (a_.verb == "create" || a_.verb == "delete") return true;  // admission looks at the pod
    if (a_.verb == "get") return get_one();
    if (a_.verb != "list" && a_.verb != "watch") return false;
    if (a_.demands("spec.nodeName", node_)) return true;
    if (!a_.name.empty()) return related();
    return no("can only list/watch pods with spec.nodeName field selector");
  }

  // --- relations ---

  bool related() {
    if (a_.name.empty()) return no("No Object name found");
    if (has_path()) return true;
    return no("no relationship found between node '" + std::string(node_) + "' and this object");
  }

  bool has_path() const {
    const std::string_view r = a_.resource;
    if (r == "secrets") return secret();
    if (r == "configmaps") {
      return by_pod(a_.ns, a_.name, [](const Value& p, const NameVisitor& fn) {
        return server::visit_config_maps(p["spec"], fn);
      });
    }
    if (r == "serviceaccounts") {
      return by_pod(a_.ns, a_.name, [](const Value& p, const NameVisitor& fn) {
        return fn(p["spec"]["serviceAccountName"].as_string());
      });
    }
    if (r == "persistentvolumeclaims") return claim(a_.ns, a_.name);
    if (r == "persistentvolumes") return volume();
    if (r == "resourceclaims") return by_pod(a_.ns, a_.name, server::visit_resource_claims);
    if (r == "pods") return names_node("", "Pod", a_.ns);
    if (r == "volumeattachments") return names_node("storage.k8s.io", "VolumeAttachment", "");
    if (r == "resourceslices") return names_node("resource.k8s.io", "ResourceSlice", "");
    return false;
  }

  bool names_node(std::string_view group, std::string_view kind, std::string_view ns) const {
    const KindDesc* k = find_kind(group, "v1", kind);
    ObjectPtr o = k ? snapshot_.get(registry::object_key(*k, ns, a_.name)) : nullptr;
    return o && o->tree()->root["spec"]["nodeName"].as_string() == node_;
  }

  // Whether a pod of the node, but for mirror pods, names it.
  template <class Visit>
  bool by_pod(std::string_view ns, std::string_view name, Visit visit) const {
    if (ns.empty()) return false;
    static const KindDesc* const kPod = find_kind("", "v1", "Pod");
    const std::string prefix = registry::list_prefix(*kPod, ns);
    bool found = false;
    snapshot_.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
      // The bytes tell most pods apart without a tree.
      Bytes stored = o->stored();
      if (stored && stored->find(node_) == stored->npos) return true;
      DocumentPtr d = o->tree();
      const Value& pod = d->root;
      if (pod["spec"]["nodeName"].as_string() != node_ || server::is_mirror_pod(pod)) return true;
      found = !visit(pod, [&](std::string_view n) { return n != name; });
      return !found;
    });
    return found;
  }

  bool claim(std::string_view ns, std::string_view name) const {
    return by_pod(ns, name, server::visit_volume_claims);
  }
  bool claim_of(const Value& pv) const {
    const Value& ref = pv["spec"]["claimRef"];
    return ref.is_map() && claim(ref["namespace"].as_string(), ref["name"].as_string());
  }
  bool volume() const {
    static const KindDesc* const kVolume = find_kind("", "v1", "PersistentVolume");
    ObjectPtr pv = snapshot_.get(registry::object_key(*kVolume, "", a_.name));
    return pv && claim_of(pv->tree()->root);
  }
  bool secret() const {
    if (by_pod(a_.ns, a_.name, [](const Value& p, const NameVisitor& fn) {
          return server::visit_secrets(p["spec"], fn);
        })) {
      return true;
    }
    static const KindDesc* const kVolume = find_kind("", "v1", "PersistentVolume");
    const std::string prefix = registry::list_prefix(*kVolume, "");
    bool found = false;
    snapshot_.scan(prefix, prefix, [&](std::string_view, const ObjectPtr& o) {
      Bytes stored = o->stored();
      if (stored && stored->find(a_.name) == stored->npos) return true;
      DocumentPtr d = o->tree();
      const bool names = !server::visit_volume_secrets(
          d->root,
          [&](std::string_view ns, std::string_view n) { return ns != a_.ns || n != a_.name; });
      found = names && claim_of(d->root);
      return !found;
    });
    return found;
  }

  std::string_view node_;
  const Access& a_;
  const StoreSnapshot& snapshot_;
  std::string* reason_;
};

}  // namespace

bool is_node(const Caller& caller, std::string_view* node) {
  constexpr std::string_view kPrefix = "system:node:";
  if (!caller.name.starts_with(kPrefix)) return false;
  const auto& g = caller.groups;
  if (std::find(g.begin(), g.end(), "system:nodes") == g.end()) return false;
  *node = std::string_view(caller.name).substr(kPrefix.size());
  return true;
}

bool node_allows(std::string_view node, const Access& a, const StoreSnapshot& snapshot,
                 std::string* reason) {
  return Question(node, a, snapshot, reason).allowed();
}

}  // namespace keles::auth
