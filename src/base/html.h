// Text that stands in a page as it is.
#pragma once

#include <string>
#include <string_view>

namespace keles {

// With `quotes` also inside an attribute.
inline std::string html_escaped(std::string_view text, bool quotes = true) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"' && quotes) {
      out += "&#34;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace keles
