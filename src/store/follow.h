// Who keeps something made of what lies below a prefix of the store learns here when to make it
// anew.
#pragma once

#include <functional>
#include <string>

#include "base/context.h"
#include "base/task.h"
#include "store/store.h"

namespace keles {

// Calls `changed` at first, after each change below `prefix`, and whenever changes may have been
// missed, on ctx's loop, until ctx ends. The store outlives the task.
Task<void> follow(Context ctx, Store* store, std::string prefix, std::function<void()> changed);

}  // namespace keles
