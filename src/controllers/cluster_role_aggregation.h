// Writes into each aggregated ClusterRole the rules of those that its selectors choose (upstream:
// pkg/controller/clusterroleaggregation). Authorization goes by the same sum without waiting for
// it; people, and clusters that are taken over, read it in the role.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/rbac_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// The patch that gives `role` its rules: those of every role that a selector chooses, by name, each
// once; none when it has them, or aggregates nothing. A selector that cannot be read is an error.
Result<std::optional<Document>> plan_aggregation(
    const api::rbac_v1::ClusterRole& role, const std::vector<Ref<api::rbac_v1::ClusterRole>>& all);

class ClusterRoleAggregation final : public Controller {
 public:
  explicit ClusterRoleAggregation(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a role's name

 private:
  Informer<api::rbac_v1::ClusterRole> roles_;
};

}  // namespace keles::controllers
