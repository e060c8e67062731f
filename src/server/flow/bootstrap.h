// The schemas and levels that every cluster has: upstream 1.36's mandatory and suggested ones
// (k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap), made and kept as its config producer does.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "machinery/object.h"
#include "server/registry/registry.h"

namespace keles::flow {

struct BootstrapObject {
  const KindDesc* kind = nullptr;
  bool mandatory = false;  // its spec is put right whatever its annotation says
  Document body;
};
// Levels before the schemas that name them.
std::vector<BootstrapObject> bootstrap_objects();

// What `current` has to become, or none when it is as it should be. Who changes one of the
// suggested objects keeps the change by the annotation apf.kubernetes.io/autoupdate-spec=false; one
// without the annotation is the user's once its spec has been changed.
std::optional<Document> revise(const BootstrapObject& wanted, const Value& current);

// Makes what is missing, revises what is there, and removes what former versions made and nobody
// changed. The first failure; conflicts are left to the next time.
Task<Status> ensure_bootstrap(Context ctx, registry::Registry* registry);

}  // namespace keles::flow
