// Texts by code points and by parts; linear in their length.
#pragma once

#include <cstddef>
#include <string_view>

namespace keles::cel {

// Where `part` begins in `s` from `from` on; npos. Linear however the texts are made.
size_t find_text(std::string_view s, std::string_view part, size_t from);
// The byte at which code point `n` begins; npos beyond the end (the end itself is one).
size_t rune_offset(std::string_view s, size_t n);
// As Go's strings.TrimSpace.
std::string_view trim_space(std::string_view s);

}  // namespace keles::cel
