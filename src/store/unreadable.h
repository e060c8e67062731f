// Decisions over all objects of a kind, where one that is stored cannot be read: no scan meets it,
// and whoever took it for absent would give its address away, let what it forbids, or make it anew.
// Pure functions of a snapshot; any thread.
#pragma once

#include <functional>
#include <string_view>

#include "base/status.h"
#include "store/store.h"

namespace keles {

// OK, or what below `prefix` cannot be read and what to do about it (kInternalError). `name`, when
// not empty: the only name that is looked for.
Status unreadable_in(const StoreSnapshot& snapshot, std::string_view prefix,
                     std::string_view name = {});

// scan() of all that is below `prefix`; fails, before it calls `fn`, when a part of it cannot be
// read.
Status scan_whole(const StoreSnapshot& snapshot, std::string_view prefix,
                  const std::function<bool(std::string_view key, const ObjectPtr&)>& fn);

}  // namespace keles
