// Truth as Go reads it (strconv.ParseBool), in flags, annotations and expressions.
#pragma once

#include <optional>
#include <string_view>

namespace keles {

// None: neither one word nor the other.
inline std::optional<bool> parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

}  // namespace keles
