// The components of a world, each made anew for every life.
#pragma once

#include <memory>

#include "sim/hollow_kubelet.h"
#include "sim/world.h"

namespace keles::sim {

std::unique_ptr<Part> make_controllers(Client& client);
std::unique_ptr<Part> make_scheduler(Client& client);
std::unique_ptr<Part> make_kubelet(Client& client, Machine& machine);
// A user at work: creates, scales, updates and deletes deployments, and deletes pods under them.
std::unique_ptr<Part> make_user(Client& client);
// Another, who works with all other kinds, hangs his own finalizer (kHold) on things, and deletes
// them in every way.
std::unique_ptr<Part> make_tenant(Client& client);
// Takes every kHold off, as the tenant's own controller would.
Task<Status> release_holds(Context ctx, Client* client);
// Holds informers and does nothing: what it has must in the end be what the store has.
std::unique_ptr<Part> make_observer(Client& client);
// "" or how the observer's copies differ from the store.
std::string observer_differs(Part& observer, const StoreSnapshot& snapshot);

}  // namespace keles::sim
