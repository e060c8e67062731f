// The addresses of this node's pods, as host-local (the CNI plug-in that gives them out) keeps
// them: a file for each in a directory, named by the address, which holds the sandbox's id.
// Blocking.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/ip.h"
#include "base/loop.h"
#include "base/status.h"

namespace keles {

// The sandbox that holds the address; "" when none does.
std::string lease_holder(const std::string& directory, const IpAddress& ip);

// Removes what none of `sandboxes` holds and was given before `before`: the runtime began to make a
// sandbox and was killed, or could not reach the plug-in to take it down. Under host-local's own
// lock; while somebody has that, nothing is done. Returns what was removed. No directory is fine.
Result<std::vector<IpAddress>> remove_stale_leases(const std::string& directory,
                                                   const std::set<std::string>& sandboxes,
                                                   WallTime before);

}  // namespace keles
