// What the description alone says about a valid object: fields that must be there, and texts that
// must be one of a few. Runs for every kind, before the kind's own hook.
#pragma once

#include "machinery/schema.h"
#include "machinery/validation.h"

namespace keles::registry {

// Adds "Required value" and "Unsupported value" errors for everything but metadata and status.
void validate_described(FieldErrors& errors, const TypeDesc& type, const Value& object);

}  // namespace keles::registry
