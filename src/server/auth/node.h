// What a node agent (user "system:node:NAME", group "system:nodes") may do: the role system:node,
// narrowed to its own node and to what its own pods refer to.
#pragma once

#include <string>
#include <string_view>

#include "server/auth/caller.h"
#include "store/store.h"

namespace keles::auth {

// The node's name; "" when the caller is no node agent.
std::string_view node_of(const Caller& caller);
// kNo leaves the decision to RBAC; `reason` then says why, or is "".
bool node_allows(std::string_view node, const Access& access, const StoreSnapshot& snapshot,
                 std::string* reason);

}  // namespace keles::auth
