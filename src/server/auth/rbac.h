// RBAC: rules, and an immutable index of who is bound to which of them
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/value.h"
#include "server/auth/caller.h"
#include "store/store.h"

namespace keles::auth {

struct Rule {
  std::vector<std::string> verbs, groups, resources, names, urls;
};
using Rules = std::shared_ptr<const std::vector<Rule>>;

bool allows(const Rule& rule, const Access& access);
// The same of some object, where the rule names objects.
bool allows_some(const Rule& rule, const Access& access);
// Of a Role, ClusterRole (`rules`).
std::vector<Rule> read_rules(const Value& rules);
// Whether every single permission of `wanted` is in `held`; those that are not are added to
// `missing`.
bool covers(const std::vector<Rule>& held, const Rule& wanted, std::vector<Rule>* missing);
// Upstream's rendering: {APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}.
std::string describe(const Rule& rule);

class RbacIndex {
 public:
  // Reads every role and binding of the snapshot. An aggregated ClusterRole has the rules of those
  // that its selectors choose, whether or not they have been written into it.
  static std::shared_ptr<const RbacIndex> build(const StoreSnapshot& snapshot);

  struct Bound {
    Rules rules;              // null: the role does not exist
    std::string description;  // ClusterRoleBinding "b" of ClusterRole "r"
    std::string missing;      // clusterrole.rbac.authorization.k8s.io "r" not found
  };
  // Calls `fn` with each binding that applies to the caller in `ns` ("": cluster-wide only), and
  // how the caller is meant ("Group \"g\""), until it returns false.
  void visit(const Caller& caller, std::string_view ns,
             const std::function<bool(const Bound&, const std::string& subject)>& fn) const;
  // All rules that apply to the caller in `ns`.
  std::vector<Rule> rules_of(const Caller& caller, std::string_view ns) const;
  // The role that a binding in `ns` refers to; null when there is none.
  Rules role(std::string_view kind, std::string_view ns, std::string_view name) const;
  // The roles and bindings that cannot be read, "" when there are none: what they grant is not
  // held, and who is refused is told why.
  const std::string& unreadable() const { return unreadable_; }

 private:
  using BySubject = std::map<std::string, std::vector<Bound>, std::less<>>;
  void read_roles(const StoreSnapshot& snapshot);
  void read_bindings(const StoreSnapshot& snapshot, bool cluster);
  void add(BySubject* to, const Value& binding, const Bound& bound);
  bool visit_map(const BySubject& map, const Caller& caller,
                 const std::function<bool(const Bound&, const std::string&)>& fn) const;
  std::map<std::string, Rules, std::less<>> roles_, cluster_roles_;  // "ns/name"; "name"
  BySubject cluster_;
  std::map<std::string, BySubject, std::less<>> by_namespace_;
  std::string unreadable_;
};

}  // namespace keles::auth
