// --sort-by: the order of values found by a path.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::kubectl {

// Indices of `objects` in the order of the field at `path` (a relaxed JSONPath); objects without it
// come first. Texts compare byte by byte, but two quantities ("500Mi", "1Gi") as such.
Result<std::vector<size_t>> sorted_by(const std::vector<const Value*>& objects,
                                      const std::string& path);

}  // namespace keles::kubectl
