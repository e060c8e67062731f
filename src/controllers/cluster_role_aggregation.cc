#include "controllers/cluster_role_aggregation.h"

#include <algorithm>

#include "machinery/labels.h"

namespace keles::controllers {

using api::rbac_v1::ClusterRole;

namespace {

bool contains(const Value& rules, const Value& rule) {
  auto items = rules.items();
  return std::any_of(items.begin(), items.end(), [&](const Value& r) { return r.equals(rule); });
}

}  // namespace

Result<std::optional<Document>> plan_aggregation(const ClusterRole& role,
                                                 const std::vector<Ref<ClusterRole>>& all) {
  if (!role.has_aggregation_rule()) return std::optional<Document>();
  std::vector<Ref<ClusterRole>> by_name = all;
  std::sort(by_name.begin(), by_name.end(), [](const auto& a, const auto& b) {
    return a->metadata().name() < b->metadata().name();
  });
  Document patch;
  Value rules = Value::list();
  for (const auto& text : role.aggregation_rule().cluster_role_selectors()) {
    TRY_ASSIGN(selector, Selector::from_label_selector(text));
    for (const Ref<ClusterRole>& other : by_name) {
      if (other->metadata().name() == role.metadata().name()) continue;
      if (!selector.matches(other->metadata().labels())) continue;
      for (const Value& rule : other->value()["rules"].items()) {
        if (!contains(rules, rule)) rules.append(patch.arena, deep_copy(patch.arena, rule));
      }
    }
  }
  const Value& there = role.value()["rules"];
  if (there.equals(rules) || (there.empty() && rules.empty())) return std::optional<Document>();
  patch.root = Value::map();
  patch.root.set(patch.arena, "rules", rules);
  return std::optional<Document>(std::move(patch));
}

ClusterRoleAggregation::ClusterRoleAggregation(Deps deps)
    : Controller(deps, "ClusterRoleAggregator", "clusterrole-aggregation-controller", 1),
      roles_(watch<ClusterRole>()) {
  // The roles are few, and who depends on whom is known only by looking: each change asks all that
  // aggregate.
  roles_.on_change([this](const Ref<ClusterRole>&, const Ref<ClusterRole>&) {
    for (const Ref<ClusterRole>& role : roles_.list()) {
      if (role->has_aggregation_rule()) queue().add(std::string(role->metadata().name()));
    }
  });
}

Task<ReconcileResult> ClusterRoleAggregation::reconcile(Context ctx, std::string key) {
  Ref<ClusterRole> role = roles_.get("", key);
  if (!role) co_return Status();
  auto plan = plan_aggregation(*role, roles_.list());
  if (!plan.ok()) co_return plan.status();
  if (!*plan) co_return Status();
  Document patch = std::move(**plan);
  WriteOptions options;
  auto done = co_await client().patch(ctx, &kind_of<ClusterRole>(), "", key, PatchType::kMerge,
                                      std::move(patch), std::move(options));
  Status s = done.status();
  if (s.is(Reason::kNotFound)) co_return Status();
  co_return s;
}

}  // namespace keles::controllers
