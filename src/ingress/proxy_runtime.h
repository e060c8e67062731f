// Endpoints that come and go are told to HAProxy's worker as it runs, by its admin socket: no
// reload, so no connection that is kept alive is closed for them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "ingress/haproxy_config.h"

namespace keles::ingress {

using Backends = std::map<BackendName, Backend>;
// Endpoints that the worker has and sends nothing new to: what goes on at them ends there.
using Parked = std::set<std::pair<BackendName, Target>>;

// From `before` to `after`, which have the same backends but for their targets: commands of
// HAProxy's admin socket, each without an end. `parked` is as it will be.
std::vector<std::string> endpoint_commands(const Backends& before, const Backends& after,
                                           Parked* parked);

// kNotFound: the worker that answers is not that of the configuration at `place` (yet), and was
// told nothing. Another error: what of it was done is not known.
Task<Status> tell_worker(Context ctx, std::string socket, std::string place,
                         std::vector<std::string> commands);

}  // namespace keles::ingress
