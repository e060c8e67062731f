#include "controllers/policy_types.h"

#include "cel/admission/type_check.h"

namespace keles::controllers {

using api::admissionregistration_v1::ValidatingAdmissionPolicy;

std::optional<Document> plan_type_checking(const ValidatingAdmissionPolicy& policy,
                                           const Catalog& catalog) {
  const int64_t generation = policy.metadata().generation();
  if (generation <= policy.status().observed_generation()) return std::nullopt;
  Document out;
  Arena& a = out.arena;
  Value warnings = Value::list();
  for (const cel::ExpressionWarning& w : cel::check_policy_types(policy.value(), catalog)) {
    Value item = Value::map();
    item.set(a, "fieldRef", Value::string(a.copy(w.field)));
    item.set(a, "warning", Value::string(a.copy(w.warning)));
    warnings.append(a, item);
  }
  Value checking = Value::map();
  if (!warnings.empty()) checking.set(a, "expressionWarnings", warnings);
  Value status = Value::map();
  status.set(a, "observedGeneration", Value(generation));
  status.set(a, "typeChecking", checking);
  Value metadata = Value::map();
  metadata.set(a, "name", Value::string(a.copy(policy.metadata().name())));
  const KindDesc& kind = kind_of<ValidatingAdmissionPolicy>();
  out.root = Value::map();
  out.root.set(a, "apiVersion", Value::string(kind.api_version()));
  out.root.set(a, "kind", Value::string(kind.kind));
  out.root.set(a, "metadata", metadata);
  out.root.set(a, "status", status);
  return out;
}

PolicyTypesController::PolicyTypesController(Deps deps)
    : Controller(deps, "validatingadmissionpolicy-status",
                 "validatingadmissionpolicy-status-controller", 5),
      policies_(watch_own<ValidatingAdmissionPolicy>()) {}

Task<ReconcileResult> PolicyTypesController::reconcile(Context ctx, std::string key) {
  Ref<ValidatingAdmissionPolicy> policy = policies_.get("", key);
  if (!policy) co_return Status();
  const CatalogPtr catalog = client().kinds().current();
  auto plan = plan_type_checking(*policy, *catalog);
  if (!plan) co_return Status();
  Document patch = std::move(*plan);
  WriteOptions options;
  options.subresource = "status";
  options.field_manager = "validatingadmissionpolicy-status";
  options.force = true;
  auto done = co_await client().patch(ctx, &kind_of<ValidatingAdmissionPolicy>(), "", key,
                                      PatchType::kApply, std::move(patch), std::move(options));
  Status s = done.status();
  if (s.is(Reason::kNotFound)) co_return Status();
  co_return s;
}

}  // namespace keles::controllers
