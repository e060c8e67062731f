#include "server/auth/rbac.h"

#include <algorithm>

#include "base/list_text.h"
#include "machinery/labels.h"

namespace keles::auth {
namespace {

std::vector<std::string> texts(const Value& list) {
  std::vector<std::string> out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

bool holds(const std::vector<std::string>& list, std::string_view what) {
  for (const std::string& s : list) {
    if (s == "*" || s == what) return true;
  }
  return false;
}

bool url_matches(std::string_view pattern, std::string_view path) {
  if (pattern == "*" || pattern == path) return true;
  return !pattern.empty() && pattern.back() == '*' &&
         path.substr(0, pattern.size() - 1) == pattern.substr(0, pattern.size() - 1);
}

// "pods" and "pods/log", against "pods/log", "*", "*/log".
bool resource_matches(std::string_view pattern, std::string_view resource,
                      std::string_view subresource) {
  if (pattern == "*") return true;
  if (subresource.empty()) return pattern == resource;
  size_t slash = pattern.find('/');
  if (slash == pattern.npos || pattern.substr(slash + 1) != subresource) return false;
  std::string_view parent = pattern.substr(0, slash);
  return parent == resource || parent == "*";
}

std::string user_key(std::string_view name) { return "u:" + std::string(name); }
std::string group_key(std::string_view name) { return "g:" + std::string(name); }

}  // namespace

bool allows_some(const Rule& rule, const Access& a) {
  if (!holds(rule.verbs, a.verb)) return false;
  if (a.resource.empty()) {
    return std::any_of(rule.urls.begin(), rule.urls.end(),
                       [&](const std::string& u) { return url_matches(u, a.path); });
  }
  if (!holds(rule.groups, a.group)) return false;
  bool found = std::any_of(rule.resources.begin(), rule.resources.end(), [&](const std::string& r) {
    return resource_matches(r, a.resource, a.subresource);
  });
  return found;
}

bool allows(const Rule& rule, const Access& a) {
  if (!allows_some(rule, a)) return false;
  return a.resource.empty() || rule.names.empty() ||
         std::find(rule.names.begin(), rule.names.end(), a.name) != rule.names.end();
}

std::vector<Rule> read_rules(const Value& rules) {
  std::vector<Rule> out;
  for (const Value& r : rules.items()) {
    out.push_back({texts(r["verbs"]), texts(r["apiGroups"]), texts(r["resources"]),
                   texts(r["resourceNames"]), texts(r["nonResourceURLs"])});
  }
  return out;
}

std::string describe(const Rule& rule) {
  std::string out;
  auto add = [&out](std::string_view name, const std::vector<std::string>& list) {
    if (list.empty()) return;
    out += (out.empty() ? "" : ", ") + std::string(name) + ":" + go_quoted_list(list);
  };
  add("APIGroups", rule.groups);
  add("Resources", rule.resources);
  add("ResourceNames", rule.names);
  add("NonResourceURLs", rule.urls);
  add("Verbs", rule.verbs);
  return "{" + out + "}";
}

namespace {

// Whether one held rule holds the single permission (each list of `one` has at most one entry).
bool holds_single(const Rule& held, const Rule& one) {
  if (!holds(held.verbs, one.verbs[0])) return false;
  if (!one.urls.empty()) {
    return std::any_of(held.urls.begin(), held.urls.end(),
                       [&](const std::string& u) { return url_matches(u, one.urls[0]); });
  }
  if (one.groups.empty() || one.resources.empty()) return true;  // grants nothing
  if (!holds(held.groups, one.groups[0])) return false;
  std::string_view wanted = one.resources[0];
  size_t slash = wanted.find('/');
  bool found = std::any_of(held.resources.begin(), held.resources.end(), [&](const std::string& r) {
    if (r == wanted || r == "*") return true;
    return slash != wanted.npos && r == "*" + std::string(wanted.substr(slash));
  });
  if (!found) return false;
  if (held.names.empty()) return true;
  return !one.names.empty() &&
         std::find(held.names.begin(), held.names.end(), one.names[0]) != held.names.end();
}

// A rule as its single permissions.
std::vector<Rule> singles(const Rule& rule) {
  std::vector<Rule> out;
  for (const std::string& verb : rule.verbs) {
    for (const std::string& url : rule.urls) out.push_back({{verb}, {}, {}, {}, {url}});
    for (const std::string& group : rule.groups) {
      for (const std::string& resource : rule.resources) {
        if (rule.names.empty()) out.push_back({{verb}, {group}, {resource}, {}, {}});
        for (const std::string& name : rule.names) {
          out.push_back({{verb}, {group}, {resource}, {name}, {}});
        }
      }
    }
  }
  return out;
}

}  // namespace

bool covers(const std::vector<Rule>& held, const Rule& wanted, std::vector<Rule>* missing) {
  bool all = true;
  for (Rule& one : singles(wanted)) {
    bool found =
        std::any_of(held.begin(), held.end(), [&](const Rule& h) { return holds_single(h, one); });
    if (found) continue;
    all = false;
    // Verbs of one resource are reported together.
    auto same = std::find_if(missing->begin(), missing->end(), [&](const Rule& m) {
      return one.urls.empty() && m.groups == one.groups && m.resources == one.resources &&
             m.names == one.names && m.urls.empty();
    });
    if (same == missing->end()) {
      missing->push_back(std::move(one));
    } else if (std::find(same->verbs.begin(), same->verbs.end(), one.verbs[0]) ==
               same->verbs.end()) {
      same->verbs.push_back(one.verbs[0]);
    }
  }
  return all;
}

std::shared_ptr<const RbacIndex> RbacIndex::build(const StoreSnapshot& snapshot) {
  auto index = std::make_shared<RbacIndex>();
  index->read_roles(snapshot);
  index->read_bindings(snapshot, true);
  index->read_bindings(snapshot, false);
  constexpr size_t kNamed = 10;
  size_t n = 0;
  for (std::string_view plural : {"clusterroles", "roles", "clusterrolebindings", "rolebindings"}) {
    for (const UnreadableRecord& r :
         snapshot.unreadable("/registry/" + std::string(plural) + "/")) {
      if (n++ < kNamed) index->unreadable_ += (n > 1 ? ", " : "") + r.key;
    }
  }
  if (n > kNamed) index->unreadable_ += " and " + std::to_string(n - kNamed) + " more";
  return index;
}

void RbacIndex::read_roles(const StoreSnapshot& snapshot) {
  snapshot.scan(
      "/registry/roles/", "/registry/roles/", [this](std::string_view, const ObjectPtr& o) {
        DocumentPtr d = o->tree();
        roles_[o->key()] = std::make_shared<const std::vector<Rule>>(read_rules(d->root["rules"]));
        return true;
      });
  struct Seen {
    std::string name;
    DocumentPtr doc;
  };
  std::vector<Seen> all;
  snapshot.scan("/registry/clusterroles/", "/registry/clusterroles/",
                [&all](std::string_view, const ObjectPtr& o) {
                  all.push_back({std::string(o->name()), o->tree()});
                  return true;
                });
  // Aggregates may select aggregates (admin has edit, which has view): resolve to that depth.
  std::map<std::string, std::vector<Rule>> rules;
  for (const Seen& s : all) rules[s.name] = read_rules(s.doc->root["rules"]);
  for (int depth = 0; depth < 3; ++depth) {
    for (const Seen& s : all) {
      const Value& selectors = s.doc->root["aggregationRule"]["clusterRoleSelectors"];
      if (selectors.empty()) continue;
      std::vector<Rule> sum;
      for (const Value& text : selectors.items()) {
        auto selector = Selector::from_label_selector(text);
        if (!selector.ok()) continue;
        for (const Seen& other : all) {
          if (other.name == s.name) continue;
          if (!selector->matches(other.doc->root["metadata"]["labels"])) continue;
          const std::vector<Rule>& more = rules[other.name];
          sum.insert(sum.end(), more.begin(), more.end());
        }
      }
      rules[s.name] = std::move(sum);
    }
  }
  for (auto& [name, list] : rules) {
    cluster_roles_[name] = std::make_shared<const std::vector<Rule>>(std::move(list));
  }
}

Rules RbacIndex::role(std::string_view kind, std::string_view ns, std::string_view name) const {
  const auto& map = kind == "Role" ? roles_ : cluster_roles_;
  std::string key = kind == "Role" ? std::string(ns) + "/" + std::string(name) : std::string(name);
  auto it = map.find(key);
  return it == map.end() ? nullptr : it->second;
}

void RbacIndex::read_bindings(const StoreSnapshot& snapshot, bool cluster) {
  std::string_view prefix = cluster ? "/registry/clusterrolebindings/" : "/registry/rolebindings/";
  snapshot.scan(prefix, prefix, [this, cluster](std::string_view, const ObjectPtr& o) {
    DocumentPtr d = o->tree();
    const Value& ref = d->root["roleRef"];
    std::string kind(ref["kind"].as_string()), name(ref["name"].as_string());
    Bound b;
    b.rules = role(kind, o->namespace_(), name);
    std::string shown(o->name());
    if (!cluster) shown += "/" + std::string(o->namespace_());
    b.description = (cluster ? "ClusterRoleBinding \"" : "RoleBinding \"") + shown + "\" of " +
                    kind + " \"" + name + "\"";
    if (!b.rules) {
      b.missing = std::string(kind == "Role" ? "role" : "clusterrole") +
                  ".rbac.authorization.k8s.io \"" + name + "\" not found";
    }
    add(cluster ? &cluster_ : &by_namespace_[std::string(o->namespace_())], d->root, b);
    return true;
  });
}

void RbacIndex::add(BySubject* to, const Value& binding, const Bound& bound) {
  for (const Value& s : binding["subjects"].items()) {
    std::string_view kind = s["kind"].as_string(), name = s["name"].as_string();
    if (kind == "User") {
      (*to)[user_key(name)].push_back(bound);
    } else if (kind == "Group") {
      (*to)[group_key(name)].push_back(bound);
    } else if (kind == "ServiceAccount") {
      std::string_view ns = s["namespace"].as_string();
      if (ns.empty()) ns = binding["metadata"]["namespace"].as_string();
      (*to)[user_key("system:serviceaccount:" + std::string(ns) + ":" + std::string(name))]
          .push_back(bound);
    }
  }
}

bool RbacIndex::visit_map(const BySubject& map, const Caller& caller,
                          const std::function<bool(const Bound&, const std::string&)>& fn) const {
  auto run = [&](const std::string& key, const std::string& subject) {
    auto it = map.find(key);
    if (it == map.end()) return true;
    for (const Bound& b : it->second) {
      if (!fn(b, subject)) return false;
    }
    return true;
  };
  std::string subject = "User \"" + caller.name + "\"";
  constexpr std::string_view kAccount = "system:serviceaccount:";
  if (caller.name.rfind(kAccount, 0) == 0) {
    std::string rest = caller.name.substr(kAccount.size());
    size_t colon = rest.find(':');
    if (colon != rest.npos) {
      subject = "ServiceAccount \"" + rest.substr(colon + 1) + "/" + rest.substr(0, colon) + "\"";
    }
  }
  if (!run(user_key(caller.name), subject)) return false;
  for (const std::string& g : caller.groups) {
    if (!run(group_key(g), "Group \"" + g + "\"")) return false;
  }
  return true;
}

void RbacIndex::visit(const Caller& caller, std::string_view ns,
                      const std::function<bool(const Bound&, const std::string&)>& fn) const {
  if (!visit_map(cluster_, caller, fn)) return;
  if (ns.empty()) return;
  auto it = by_namespace_.find(ns);
  if (it != by_namespace_.end()) visit_map(it->second, caller, fn);
}

std::vector<Rule> RbacIndex::rules_of(const Caller& caller, std::string_view ns) const {
  std::vector<Rule> out;
  visit(caller, ns, [&out](const Bound& b, const std::string&) {
    if (b.rules) out.insert(out.end(), b.rules->begin(), b.rules->end());
    return true;
  });
  return out;
}

}  // namespace keles::auth
