// JSON that YAML reads just so: what most clients send where YAML is taken (server-side apply), at
// a tenth of what a reader of YAML costs.
#pragma once

#include <optional>
#include <string_view>

#include "machinery/value.h"

namespace keles {

// The tree of an object, where there can be no doubt that both readings are the same. Nothing where
// there may be: escapes, tabs, anything but printable ASCII, numbers that are not whole, keys that
// are long, merge keys or there twice, depth, and all that is no JSON object of at most 256 kB.
std::optional<Document> read_plain_json(std::string_view text);

}  // namespace keles
