// Admission policies: what ValidatingAdmissionPolicies refuse, warn of and annotate, and what
// MutatingAdmissionPolicies change, where a binding puts them to work. It follows policies and
// bindings in the store and publishes, whole, what holds; each write then reads that, on its own
// loop. Params are read from the request's snapshot of the store.
// Source: Kubernetes, "Validating Admission Policy", "Mutating Admission Policy"; KEP-3488,
// KEP-3962.
//
// Threads: after construction, plugins serve any loop. run() once.
#pragma once

#include <memory>

#include "base/context.h"
#include "base/task.h"
#include "machinery/catalog.h"
#include "server/admission/admission.h"
#include "server/auth/auth.h"
#include "store/store.h"

namespace keles::policies {

class Policies {
 public:
  // All outlive it. Reads what the store has already. `kinds`: where params' kinds are looked up.
  // `auth` answers the variable `authorizer`; null: it has no value.
  Policies(Store* store, const CatalogSource* kinds, const auth::Auth* auth);
  ~Policies();

  // Its plugins, "MutatingAdmissionPolicy" and "ValidatingAdmissionPolicy". It outlives them.
  std::shared_ptr<admission::Dynamic> mutating() const;
  std::shared_ptr<admission::Dynamic> validating() const;

  // Keeps what holds current until ctx ends. Spawn it once, on any loop.
  Task<void> run(Context ctx);
  // At once (run() does it by itself).
  void refresh();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace keles::policies
