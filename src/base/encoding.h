// Bytes as text: percent-encoding (RFC 3986). Pure; any thread. The output is at most three times
// the input, and decoding never makes anything longer.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace keles {

// Everything but RFC 3986's unreserved characters (letters, digits, "-_.~") as %XX.
std::string percent_encode(std::string_view s);
// nullopt when a '%' is not followed by two hexadecimal digits. `plus`: '+' is a blank, as in a
// form.
std::optional<std::string> percent_decode(std::string_view s, bool plus = false);

}  // namespace keles
