// --sort-by: the order of values found by a path.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::kubectl {

// Indices of `objects` in the order of the field at `path` (a relaxed JSONPath); objects without it
// come first.
Result<std::vector<size_t>> sorted_by(const std::vector<const Value*>& objects,
                                      const std::string& path);

// Numbers inside texts compare as numbers ("pod-2" before "pod-10").
bool natural_less(std::string_view a, std::string_view b);

}  // namespace keles::kubectl
