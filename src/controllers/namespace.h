// Namespace controller: empties a namespace that is being deleted, of every kind that there is,
// pods first, and then lets it go (upstream: pkg/controller/namespace).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "controllers/controller.h"

namespace keles::controllers {

// What is left in a namespace: resource ("pods", "deployments.apps") to how many, and finalizer to
// how many objects it holds.
struct NamespaceRemains {
  std::map<std::string, int> resources, finalizers;
  std::vector<std::string> errors;  // of deleting
  // "GROUP/VERSION" whose server does not say what it has.
  std::vector<std::string> undiscovered = {};
  bool operator==(const NamespaceRemains&) const = default;
};

// The namespace with the conditions that tell of `remains`, upstream's texts; nothing when it has
// them already.
std::optional<Draft<api::core_v1::NamespaceEdit>> plan_namespace_conditions(
    const api::core_v1::Namespace& ns, const NamespaceRemains& remains, WallTime now);

// Kinds that are listed and deleted one by one; one version of each, in a fixed order. They are
// the catalog's.
std::vector<const KindDesc*> deletable_kinds(const Catalog& catalog);

class NamespaceController final : public Controller {
 public:
  explicit NamespaceController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Namespace = api::core_v1::Namespace;
  Task<Status> empty(Context ctx, std::string ns, NamespaceRemains* remains);
  Task<Status> empty_of(Context ctx, std::string ns, const KindDesc* kind,
                        NamespaceRemains* remains);
  Task<Status> remove_one(Context ctx, ObjectPtr object);
  Task<Status> finalize(Context ctx, Ref<Namespace> ns);

  Informer<Namespace> namespaces_;
  std::map<std::string, int> rounds_;  // how often one has been found not empty
};

}  // namespace keles::controllers
