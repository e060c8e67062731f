// Texts of fieldsV1 that were read lately: the managers of objects of one maker say the same, and
// an update reads what the last one wrote. Each thread remembers its own, 256 kB of them at most.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "machinery/apply/path_set.h"

namespace keles::apply {

// The set of the text, which lives as long as it is held and views a text of its own. Null when
// that is no fieldsV1.
std::shared_ptr<const ParsedSet> set_of_text(std::string_view text);

// How many bytes the thread remembers, for tests.
size_t remembered_bytes();
inline constexpr size_t kMostRemembered = 256 * 1024;

}  // namespace keles::apply
