// The versions of review that this server speaks with webhooks.
#pragma once

#include <string_view>

#include "machinery/value.h"

namespace keles::callout {

// The first of a webhook's list that is known here; "" when none is.
inline std::string_view known_version(const Value& versions) {
  for (const Value& v : versions.items()) {
    if (v.as_string() == "v1") return "v1";
    if (v.as_string() == "v1beta1") return "v1beta1";
  }
  return {};
}

}  // namespace keles::callout
