// Tolerations beside each other, for plugins that give or limit them. Trees of v1 Tolerations.
#pragma once

#include "machinery/value.h"

namespace keles::admission {

// Whether what `narrow` tolerates, `wide` does.
bool toleration_covers(const Value& wide, const Value& narrow);
// spec.tolerations and `more`, without what others of them cover; of equal ones the first stays.
void merge_tolerations(Document& d, Value& spec, const Value& more);

}  // namespace keles::admission
