// PodDisruptionBudgets.
#include "api/policy_v1.h"
#include "machinery/intstr.h"
#include "machinery/validation.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"
#include "server/registry/typed_hooks.h"
#include "server/registry/warnings.h"
#include "server/registry/workload_validation.h"

namespace keles::registry {
namespace {

namespace policy = api::policy_v1;

const FieldPath kSpec("spec");

void check_budget(FieldErrors& e, const policy::PodDisruptionBudget& now,
                  const policy::PodDisruptionBudget* before) {
  const policy::PodDisruptionBudgetSpec spec = now.spec();
  const Value& v = spec.value();
  if (spec.has_min_available() && spec.has_max_unavailable()) {
    invalid_as(e, kSpec, struct_text(spec), "minAvailable and maxUnavailable cannot be both set");
  }
  for (std::string_view f : {"minAvailable", "maxUnavailable"}) {
    if (v[f].is_null()) continue;
    validate_int_or_percent(e, kSpec[f], v[f]);
    validate_at_most_all(e, kSpec[f], v[f]);
  }
  FieldErrors was;  // what is wrong in the stored one may stay
  if (before && before->spec().has_selector()) {
    validate_label_selector(was, kSpec["selector"], before->spec().value()["selector"]);
  }
  if (spec.has_selector() && was.empty()) {
    validate_label_selector(e, kSpec["selector"], v["selector"]);
  }
  described(e, kSpec, spec, "unhealthyPodEvictionPolicy");
}

void validate_budget_status(const HookContext&, const Value& now, const Value&, FieldErrors& e) {
  const FieldPath at("status");
  const Value& status = now["status"];
  validate_conditions(e, at["conditions"], status["conditions"]);
  for (std::string_view f :
       {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"}) {
    described(e, at, policy::PodDisruptionBudget(now).status(), f);
  }
}

void budget_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  const Value& spec = o["spec"];
  auto text = [](const Value& v) { return v.is_null() ? "N/A" : int_or_string_text(v); };
  w.text("Min Available", text(spec["minAvailable"]));
  w.text("Max Unavailable", text(spec["maxUnavailable"]));
}

}  // namespace

extern const Strategy kPodDisruptionBudgetStrategy{
    .validate = validate_created<check_budget, policy::PodDisruptionBudget>,
    .validate_update = validate_updated<check_budget, policy::PodDisruptionBudget>,
    .validate_status_update = validate_budget_status,
    .validates_update_whole = true,
    .described = false,
    .cells = budget_cells};

}  // namespace keles::registry
