// How upstream shows that an object that may not change has changed: both, laid out as JSON with
// Go's names (checks.h: struct_text), compared line by line in the unified form, as Python's
// difflib does it. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

namespace keles::registry {

// "" where the two are alike. `before` and `now` are compact JSON.
std::string json_diff(std::string_view before, std::string_view now);

}  // namespace keles::registry
