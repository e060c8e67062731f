// Parts of a control plane that only one of several runs at a time.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/flags.h"
#include "base/status.h"
#include "client/client.h"
#include "client/leader_election.h"

namespace keles {

// Calls `lead` each time that this process leads by the Lease, until ctx ends; without election,
// once. Events are of `component`. The identity is the host's with the cluster's own (the uid of
// kube-system), so that a server that comes back over its store, which nobody else can have opened,
// finds the Lease to be its own and need not wait for it to run out.
Task<void> run_leading(Context ctx, Client* client, bool elect, LeaderElectionOptions options,
                       std::string component, std::function<Task<void>(Context)> lead);

// --leader-elect-lease-duration, -renew-deadline and -retry-period.
void add_lease_durations(Flags& f, LeaderElectionOptions& election);
// --leader-elect-resource-lock: a Lease is the only lock.
Status check_resource_lock(std::string_view kind);

// The host's name with something that no other process has: of who shares its Lease with others on
// the same host.
std::string unique_identity(Loop& loop);

}  // namespace keles
