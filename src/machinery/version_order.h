// Which version of a group is preferred: v2, v1, v1beta2, v1alpha1, then others by name.
#pragma once

#include <string_view>

namespace keles {

bool version_before(std::string_view a, std::string_view b);

}  // namespace keles
