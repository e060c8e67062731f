// One mutation of a MutatingAdmissionPolicy, evaluated and carried out on an object.
#pragma once

#include "base/loop.h"
#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"
#include "server/matching/conditions.h"
#include "server/policies/policy.h"

namespace keles::policies {

// Why a mutation was not made. What the policy's failurePolicy decides on is told by its text
// alone; anything else is the request's end.
struct Mutated {
  bool applied = false;
  std::string error;  // not empty: the mutation failed
  Status fatal;       // not OK: an answer of its own
  Document object;    // decoded, with its defaults; where it was applied
};

// `tree` is the object as the registry holds it, of `kind`; the inputs show it.
Mutated mutate(const Policy& policy, const Mutation& mutation, const cel::AdmissionInput& values,
               const KindDesc& kind, const Value& tree, Loop& loop);

}  // namespace keles::policies
