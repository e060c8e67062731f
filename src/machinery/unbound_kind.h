// The kind of a custom resource's record of which nothing is known but its name: the record was
// read before its definition was, or has none any more. One for each name, as long as somebody
// holds it. Thread-safe.
#pragma once

#include <string_view>

#include "machinery/schema.h"

namespace keles {

// Its type has metadata, and whatever else there is; it has no resource.
KindRef unbound_kind(std::string_view api_version, std::string_view kind);

// The type of objects of which only the metadata is described: the rest stays as it is.
const TypeDesc& open_type();

}  // namespace keles
