// The components of a world, each made anew for every life.
#pragma once

#include <memory>

#include "sim/hollow_kubelet.h"
#include "sim/part.h"
#include "sim/workload.h"

namespace keles::sim {

std::unique_ptr<Part> make_controllers(Client& client);
std::unique_ptr<Part> make_scheduler(Client& client);
std::unique_ptr<Part> make_kubelet(Client& client, Machine& machine);
// Works as a workload does.
std::unique_ptr<Part> make_worker(Client& client, std::unique_ptr<Workload> workload);
// Holds informers and does nothing: what it has must in the end be what the store has.
std::unique_ptr<Part> make_observer(Client& client);
// "" or how the observer's copies differ from the store.
std::string observer_differs(Part& observer, const StoreSnapshot& snapshot);

}  // namespace keles::sim
