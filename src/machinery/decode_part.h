// Normalising a part of a tree: see normalize() in decode.h. For types inside custom objects.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// `unknown`: the paths of dropped fields, from `v` on.
Status normalize_part(const TypeDesc& type, Arena& arena, Value& v,
                      std::vector<std::string>* unknown = nullptr);

}  // namespace keles
