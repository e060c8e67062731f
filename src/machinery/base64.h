// Standard base64 (RFC 4648, padded), as JSON holds bytes. Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace keles {

std::string base64_encode(std::string_view bytes);
// Line ends are skipped, as Go's decoder does; nothing when the text is not base64.
std::optional<std::string> base64_decode(std::string_view text);
// The offset of the first byte that is wrong, for Go's "illegal base64 data at input byte 4"; -1
// when the text is right.
long base64_error(std::string_view text);

}  // namespace keles
