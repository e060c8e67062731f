// Leader election by a Lease (coordination.k8s.io/v1), compatible with upstream's
// (k8s.io/client-go/tools/leaderelection): the holder renews; others take over when they have not
// seen a renewal for the lease's duration by their own clock. At most one leads at a time as long
// as clocks run at about the same rate (clock skew does not matter).
#pragma once

#include <functional>
#include <string>

#include "client/client.h"

namespace keles {

struct LeaderElectionOptions {
  std::string ns = "kube-system";
  std::string name;      // of the Lease
  std::string identity;  // unique among the candidates
  Duration lease_duration = 15s;
  Duration renew_deadline = 10s;
  Duration retry_period = 2s;
  bool release_on_cancel = true;  // lets another take over at once when ctx ends
};

// Waits to become leader, then runs `lead` with a context that ends when leadership is lost or ctx
// ends. Returns when `lead` has returned: OK if ctx ended or `lead` was done, kUnavailable if the
// lease was lost (upstream's components then exit, to be started anew).
Task<Status> run_as_leader(Context ctx, Client* client, LeaderElectionOptions options,
                           std::function<Task<void>(Context)> lead);

}  // namespace keles
