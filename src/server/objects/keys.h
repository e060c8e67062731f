// Where objects lie in the store, and the one version of each kind that is stored: as the
// description says (machinery/kind_facts.h), which has upstream's layout.
#pragma once

#include <string>
#include <string_view>

#include "machinery/schema.h"

namespace keles::registry {

// "/registry/services/specs/", with the trailing slash.
std::string kind_prefix(const KindDesc& kind);
// The prefix of one namespace's objects; of all when `ns` is empty.
std::string list_prefix(const KindDesc& kind, std::string_view ns);
std::string object_key(const KindDesc& kind, std::string_view ns, std::string_view name);

// The version in which `kind` is worked on: itself, but for events.k8s.io Events (v1 Event) and
// autoscaling/v1 HorizontalPodAutoscalers (v2). Custom kinds are stored in a version that
// convert.h's to_record() knows; where they lie in the store is the same for all versions.
const KindDesc& storage_kind(const KindDesc& kind);

}  // namespace keles::registry
