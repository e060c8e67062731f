// The objects of a request in the version that somebody else wants to see: webhooks, policies.
#pragma once

#include <memory>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/schema.h"
#include "machinery/value.h"
#include "server/admission/admission.h"

namespace keles::registry {

// `tree` of `from` as `to`, another version of the same kind: by code for built-in kinds, by name
// or by their definition's webhook for custom ones. What is pointed to outlives the task.
Task<Result<Document>> as_version(Context ctx, const KindDesc* from, const KindDesc* to,
                                  const Value* tree);

// The kind in which a request's objects are worked on.
const KindDesc& worked_kind(const admission::Attributes& a);

// Not moved: it may hold views of itself.
struct ShownObjects {
  ShownObjects() = default;
  ShownObjects(const ShownObjects&) = delete;
  const KindDesc* kind = nullptr;  // of both objects
  // Null where there is none. Views: of the request's own objects, or of what was made.
  const Value *object = nullptr, *old_object = nullptr;
  Document made, made_old;
};

// `resource`: what is asked for, equivalent to the request's. `object` and `before` are of
// worked_kind(); null where there is none. They outlive `out`.
Task<Status> show_objects(Context ctx, const admission::Attributes* a, const KindDesc* resource,
                          const Value* object, const Value* before, ShownObjects* out);

}  // namespace keles::registry
