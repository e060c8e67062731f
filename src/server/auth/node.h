// The Node authorizer: what a node agent (user "system:node:NAME", group "system:nodes") may do:
// the role system:node, narrowed to its own node, its own pods, and what those refer to
// (https://kubernetes.io/docs/reference/access-authn-authz/node/).
//
// An object is related to a node by a pod that is bound to it: the pod's secrets, config maps,
// claims, their volumes and those volumes' secrets, its service account, its resource claims.
// Mirror pods, which nodes make themselves, relate nothing. Relations are read from the snapshot:
// they hold from the moment that a pod is bound, and end with it.
#pragma once

#include <string>
#include <string_view>

#include "server/auth/caller.h"
#include "store/store.h"

namespace keles::auth {

// Whether the caller is a node agent, and the name of its node (a node agent without a name is "").
bool is_node(const Caller& caller, std::string_view* node);
// kNo leaves the decision to RBAC; `reason` then says why, or is "".
bool node_allows(std::string_view node, const Access& access, const StoreSnapshot& snapshot,
                 std::string* reason);

}  // namespace keles::auth
