// The components of a world, each made anew for every life.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "sim/hollow_kubelet.h"
#include "sim/part.h"
#include "sim/workload.h"

namespace keles::sim {

std::unique_ptr<Part> make_controllers(Client& client);
std::unique_ptr<Part> make_scheduler(Client& client);
// One of several control planes: the part is at work while it leads by its Lease, which every
// control plane calls the same; `identity` is this one's name, whichever of its lives it is.
std::unique_ptr<Part> make_elected(Client& client, std::string lease, std::string identity,
                                   std::function<std::unique_ptr<Part>(Client&)> make);
std::unique_ptr<Part> make_kubelet(Client& client, Machine& machine);
// Works as a workload does.
std::unique_ptr<Part> make_worker(Client& client, std::unique_ptr<Workload> workload);
// Holds informers and does nothing: what it has must in the end be what the store has.
std::unique_ptr<Part> make_observer(Client& client);
// "" or how the observer's copies differ from the store.
std::string observer_differs(Part& observer, const StoreSnapshot& snapshot);

}  // namespace keles::sim
