// Between the stored and the served version of a kind: built-in ones (v1 and events.k8s.io/v1
// Events; autoscaling/v2 and v1 HorizontalPodAutoscalers) by code, custom ones by name or by their
// webhook. Built-in kinds are worked on in the version that is stored, custom ones in the one that
// is asked for, as upstream does.
#pragma once

#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "machinery/object.h"
#include "machinery/value.h"

namespace keles::registry {

// `object` as `kind`: itself when it is of that kind already. Not for those that need a converter.
ObjectPtr present(const KindDesc& kind, const ObjectPtr& object);
// Rewrites the tree in place from one version's form to the other's (same when `from` == `to`).
void convert(const KindDesc& from, const KindDesc& to, Document& doc);

// Whether the object of a custom kind is shown as `kind` only with the help of its webhook.
bool needs_converter(const KindDesc& kind, const Object& object);
// present(), by whatever way it takes. `kind` outlives the call.
Task<Result<ObjectPtr>> show(Context ctx, const KindDesc* kind, ObjectPtr object);
// The same for many, in place; null ones stay null.
Task<Status> show_all(Context ctx, const KindDesc* kind, std::vector<ObjectPtr>* objects);

// What is stored of a tree of `kind`: its bytes, the kind that they are of, and its tree in that
// kind's form.
struct Record {
  const KindDesc* kind = nullptr;
  Bytes stored;
  Document tree;
};
// Only a custom kind's version that is not the one stored makes it wait.
Task<Result<Record>> to_record(Context ctx, const KindDesc* kind, Document tree);

}  // namespace keles::registry
