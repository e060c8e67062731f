// What RBAC said lately, by thread: who asks the same again (a controller, all day) is answered
// from what was found then. It holds for one index: with the next all of it goes.
#pragma once

#include <memory>

#include "server/auth/caller.h"
#include "server/auth/rbac.h"

namespace keles::auth {

// What the index says, and in whose words (upstream's). A pure function of the three.
Decision decide_by_rbac(const std::shared_ptr<const RbacIndex>& index, const Caller& caller,
                        const Access& access);

// Decisions that the thread remembers, for tests.
size_t remembered_decisions();

}  // namespace keles::auth
