// The Go types that encoding/json makes of untyped JSON, for messages that name them. Pure.
#pragma once

#include <string_view>

#include "machinery/value.h"

namespace keles {

// "map[string]interface {}", "[]interface {}", "string", "bool", "int64", "float64"; "<nil>" for
// null.
std::string_view go_type(const Value& v);

}  // namespace keles
