// How upstream's messages name its own unversioned types. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "machinery/schema.h"

namespace keles {

// The package of a group's types: "core", "apps", "rbac".
std::string internal_package(std::string_view group);
// "core.ConfigMap", or "core.ConfigMapList" of its list; "unstructured.Unstructured[List]" of a
// custom kind.
std::string internal_type_name(const KindDesc& kind, bool list);

}  // namespace keles
