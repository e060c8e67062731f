// The two versions of HorizontalPodAutoscalers: what v1 has no fields for it keeps in annotations
// (autoscaling.alpha.kubernetes.io/...), word for word as upstream, so that nothing is lost on the
// way there and back.
#pragma once

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::registry {

void convert_autoscaler(const KindDesc& from, const KindDesc& to, Document& doc);

}  // namespace keles::registry
