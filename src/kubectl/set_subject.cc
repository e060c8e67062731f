#include <algorithm>
#include <set>

#include "kubectl/set.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

constexpr char kRbac[] = "rbac.authorization.k8s.io";

struct Subjects {
  std::vector<std::string> users, groups, accounts;

  Status check(const std::vector<Found>& found) const {
    if (users.empty() && groups.empty() && accounts.empty()) {
      return failure("you must specify at least one value of user, group or serviceaccount");
    }
    for (const std::string& a : accounts) {
      const size_t colon = a.find(':');
      if (colon == a.npos || colon + 1 == a.size() || a.find(':', colon + 1) != a.npos) {
        return failure("serviceaccount must be <namespace>:<name>");
      }
      const bool cluster_wide = std::any_of(found.begin(), found.end(), [](const Found& f) {
        return f.resource->kind == "ClusterRoleBinding";
      });
      if (colon == 0 && cluster_wide) {
        return failure("serviceaccount must be <namespace>:<name>, namespace must be specified");
      }
    }
    return Status();
  }
};

void add_subject(Document& d, std::string_view kind, std::string_view name, std::string_view ns) {
  Value one = Value::map();
  if (kind != "ServiceAccount") one.set(d.arena, "apiGroup", Value::string(kRbac));
  one.set(d.arena, "kind", Value::string(kind));
  one.set(d.arena, "name", text(d, name));
  if (!ns.empty()) one.set(d.arena, "namespace", text(d, ns));
  Value& all = d.root.get_or_add(d.arena, "subjects");
  if (!all.is_list()) all = Value::list();
  const bool there = std::any_of(all.items().begin(), all.items().end(),
                                 [&](const Value& v) { return v.equals(one); });
  if (!there) all.append(d.arena, one);
}

// By name, none twice; `ns` is that of accounts without one.
Status add_subjects(Document& d, const Subjects& s, const std::string& ns) {
  const std::string_view kind = d.root["kind"].as_string();
  const bool binding = d.root["apiVersion"].as_string().starts_with(kRbac) &&
                       (kind == "RoleBinding" || kind == "ClusterRoleBinding");
  if (!binding) {
    return failure("setting subjects is only supported for RoleBinding/ClusterRoleBinding");
  }
  const auto sorted = [](const std::vector<std::string>& all) {
    return std::set<std::string>(all.begin(), all.end());
  };
  for (const std::string& u : sorted(s.users)) add_subject(d, "User", u, "");
  for (const std::string& g : sorted(s.groups)) add_subject(d, "Group", g, "");
  for (const std::string& a : sorted(s.accounts)) {
    const size_t colon = a.find(':');
    add_subject(d, "ServiceAccount", a.substr(colon + 1), colon ? a.substr(0, colon) : ns);
  }
  return Status();
}

}  // namespace

Status set_subject(Invocation& in) {
  Subjects subjects;
  Setter setter("subjects updated", "failed to patch subjects to rolebinding: ");
  setter.add_to(in.flags, "the resource to update the subjects");
  in.flags.add_array("user", &subjects.users, "Usernames to bind to the role");
  in.flags.add_array("group", &subjects.groups, "Groups to bind to the role");
  in.flags.add_array("serviceaccount", &subjects.accounts, "Service accounts to bind to the role");
  TRY(in.parse());
  setter.query.args = in.args;
  TRY(setter.no_arguments_locally());
  std::vector<Status> errors;
  TRY_ASSIGN(found, setter.find(in, &errors));
  TRY(setter.prepare());
  TRY(subjects.check(found));
  std::string ns;
  const bool asks = std::any_of(subjects.accounts.begin(), subjects.accounts.end(),
                                [](const std::string& a) { return a.starts_with(':'); });
  if (asks) {
    // --local has no cluster, but whoever has a configuration has a namespace.
    Result<Session*> session = in.session();
    if (!session.ok() && !setter.local) return session.status();
    ns = session.ok() ? (*session)->ns() : "default";
  }
  return setter.change_all(in, found, &errors,
                           [&](Document& d) { return add_subjects(d, subjects, ns); });
}

}  // namespace keles::kubectl
