// Leader election by a Lease (coordination.k8s.io/v1), compatible with upstream's
// (k8s.io/client-go/tools/leaderelection): the holder renews; others take over when they have not
// seen a renewal for the lease's duration by their own clock. At most one leads at a time as long
// as clocks run at about the same rate (clock skew does not matter).
//
// Metrics: leader_election_master_status{name}, leader_election_slowpath_total{name}. Events of the
// Lease, reason LeaderElection, tell who began to lead and who stopped.
#pragma once

#include <functional>
#include <string>

#include "client/client.h"
#include "client/event_recorder.h"

namespace keles {

struct LeaderElectionOptions {
  LeaderElectionOptions() = default;
  std::string ns = "kube-system";
  std::string name;  // of the Lease
  // Unique among the candidates. Who comes back with the identity that the Lease names leads at
  // once: it must be certain that it is the only one.
  std::string identity;
  Duration lease_duration = 15s;
  Duration renew_deadline = 10s;
  Duration retry_period = 2s;
  bool release_on_cancel = true;    // lets another take over at once when ctx ends
  EventRecorder* events = nullptr;  // of the same loop; null: nobody is told. Outlives the task
};

// kBadRequest in upstream's words when the durations do not fit together.
Status check_leader_election(const LeaderElectionOptions& options);

// Waits to become leader, then runs `lead` with a context that ends when leadership is lost or ctx
// ends. Returns when `lead` has returned and the Lease is given up: OK if ctx ended or `lead` was
// done, kUnavailable if the Lease was lost.
Task<Status> run_as_leader(Context ctx, Client* client, LeaderElectionOptions options,
                           std::function<Task<void>(Context)> lead);

// For who lives on when it has lost the Lease: stands again, until ctx ends. `lead` is called for
// each time that it leads.
Task<void> stand_for_leader(Context ctx, Client* client, LeaderElectionOptions options,
                            std::function<Task<void>(Context)> lead);

}  // namespace keles
