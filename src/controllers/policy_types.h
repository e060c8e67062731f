// Says of each ValidatingAdmissionPolicy, in its status, where its expressions do not fit the types
// of the kinds that its rules name (upstream: pkg/controller/validatingadmissionpolicystatus). A
// warning to its author: what it refuses does not hang on it.
#pragma once

#include <optional>
#include <string>

#include "api/admissionregistration_v1.h"
#include "controllers/controller.h"
#include "machinery/catalog.h"

namespace keles::controllers {

// What is to be applied to the policy's status; none when it tells of this generation already.
std::optional<Document> plan_type_checking(
    const api::admissionregistration_v1::ValidatingAdmissionPolicy& policy, const Catalog& catalog);

class PolicyTypesController final : public Controller {
 public:
  explicit PolicyTypesController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;  // key: a policy's name

 private:
  Informer<api::admissionregistration_v1::ValidatingAdmissionPolicy> policies_;
};

}  // namespace keles::controllers
