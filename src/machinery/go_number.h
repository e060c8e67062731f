// Numbers in messages, as Go writes them. Pure, any thread.
#pragma once

#include <charconv>
#include <cmath>
#include <string>

namespace keles {

// As %v: the shortest text that is read back as the same number.
inline std::string go_double(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d > 0 ? "+Inf" : "-Inf";
  char buffer[400];
  const double size = std::fabs(d);
  const bool plain = d == 0 || (size >= 1e-4 && size < 1e21);
  auto end = std::to_chars(buffer, buffer + sizeof buffer, d,
                           plain ? std::chars_format::fixed : std::chars_format::scientific);
  return {buffer, end.ptr};
}

}  // namespace keles
