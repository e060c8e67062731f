// Between the stored and the served version of a kind, where they differ (v1 and events.k8s.io/v1
// Events; autoscaling/v2 and v1 HorizontalPodAutoscalers).
#pragma once

#include "base/status.h"
#include "machinery/object.h"
#include "machinery/value.h"

namespace keles::registry {

// `object` as `kind`: itself when it is of that kind already.
ObjectPtr present(const KindDesc& kind, const ObjectPtr& object);
// Rewrites the tree in place from one version's form to the other's (same when `from` == `to`).
void convert(const KindDesc& from, const KindDesc& to, Document& doc);

}  // namespace keles::registry
