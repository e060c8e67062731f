// Equality as the API means it: an empty list or map says what an absent one says, a quantity is
// its amount and not its text. A set pointer to an empty struct (`affinity: {}`) is not absent.
// Pure functions, any thread.
#pragma once

#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// Removes what has no stored form: empty lists and maps, and structs that are no pointers once
// they are empty. `v` is a tree of the type.
void drop_empty(const TypeDesc& type, Value& v);

// Whether two trees of the type mean the same.
bool same_meaning(const TypeDesc& type, const Value& a, const Value& b);

}  // namespace keles
