// An object of any type with every field filled, for tests: a field's value follows from its name
// and number alone, as in upstream's own round-trip fixtures, so that the two can be compared byte
// for byte. Pure; any thread.
#pragma once

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// A type inside itself is left out at its second sight.
Value filled(Arena& arena, const TypeDesc& type);

}  // namespace keles
