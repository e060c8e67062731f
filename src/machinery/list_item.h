// An object as an item of its list. Pure; any thread.
#pragma once

#include <string>

#include "machinery/object.h"

namespace keles {

// Appends the object's JSON without `kind` and `apiVersion`, which the list says once for all of a
// built-in kind, as upstream's does. Items of a custom kind say their own.
void append_list_item(std::string& out, const Object& object);

}  // namespace keles
