// Scenario: a world that follows a script instead of chance, one command a line ('#' begins a
// comment):
//
//   nodes 3                     how many hollow nodes (first line only; default 3)
//   deploy NAME N [CPU]         a Deployment of N replicas (CPU: request of each, default 100m)
//   scale NAME N                image NAME IMAGE          delete NAME
//   expose NAME                 a Service in front of it
//   kill PART | start PART      controllers, scheduler, node-0, ...: dies | is made anew
//   power-off NODE              as kill, and its containers are gone
//   cut PART | mend PART        its line to the server
//   crash server                with the store; it is back after 1 s
//   crash one-server            one API server alone
//   compact                     forgets the history
//   deafen N | hear N           API server N hears no news of the store | again
//   damage KEY                  its record cannot be read from the next opening on
//   purge KEY                   removes what cannot be read
//   fill-disk | free-disk       nothing can be written | again
//   jump SECONDS                the wall clock
//   faults lose_reply=0.1 ...   rates, by the names of NetworkFaults and SimDiskFaults;
//                               "faults none"
//   advance 30s | 5m            lets time pass
//   expect converged [5m]       waits up to that long (default 5m)
//   expect quiet 2m             nothing but Leases is written
//   expect pods NAME N          running and ready pods of a deployment, now
//   expect pods-on NODE N       live pods bound to a node, now
//   expect node NODE Ready|NotReady [1m]   waits up to that long
//   expect unreadable records N how many records the store cannot read
//
// A script's world is a perfect one but for what the script does; its first lines may say
// "servers 2", "wires" and "lag 500ms" (each server has a replica of its own, as late as that), and
// "planes 2" (controllers and controllers-b, scheduler and scheduler-b, of which one leads).
#pragma once

#include <string>

#include "base/status.h"
#include "sim/world.h"

namespace keles::sim {

// Runs the script; the error names its line. Invariants are checked throughout.
Status run_scenario(const std::string& script, uint64_t seed, bool verbose);

}  // namespace keles::sim
