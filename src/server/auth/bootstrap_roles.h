// The roles and bindings that every cluster has, as a table (Kubernetes 1.36's default policy).
// Words in a text are separated by blanks; "-" is the core group.
#pragma once

#include <span>
#include <string_view>

namespace keles::auth {

struct RoleRow {
  std::string_view role;  // "" continues the role above; "NS/NAME" is a Role
  std::string_view verbs, groups, resources;
  std::string_view names = {};  // resourceNames
  std::string_view urls = {};   // nonResourceURLs (groups and resources are then empty)
};
struct AggregateRow {
  std::string_view role, selects, labels;  // "admin" selects "aggregate-to-admin"; own labels
};
struct BindingRow {
  std::string_view binding;   // "NS/NAME" is a RoleBinding
  std::string_view role;      // "Role:NAME" for a Role of that namespace
  std::string_view subjects;  // "Group:G User:U ServiceAccount:NS/NAME"
};

std::span<const RoleRow> bootstrap_role_rows();
std::span<const AggregateRow> bootstrap_aggregate_rows();
std::span<const BindingRow> bootstrap_binding_rows();
// Labels of a role besides the common one: "rbac.authorization.k8s.io/aggregate-to-X", or "".
std::string_view bootstrap_role_label(std::string_view role);

}  // namespace keles::auth
