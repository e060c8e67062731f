// What an expression made, as data of an API object.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/status.h"
#include "cel/run.h"
#include "cel/val.h"
#include "machinery/value.h"

namespace keles::cel {

// A deep copy into the arena: bytes as base64, times and durations as text, objects as maps; whole
// numbers have no fraction. Fails for what no JSON can say, and for more than `most` bytes: a value
// may hold the same part many times over.
Result<Value> to_value(Run& run, Arena& arena, const Val& v,
                       size_t most = static_cast<size_t>(kMaxRequestBytes));

// Objects that are not where the name of their type says: Object.spec{} is for `spec` of an
// Object. Upstream's texts.
std::vector<std::string> misplaced_objects(Run& run, const Val& v);

}  // namespace keles::cel
