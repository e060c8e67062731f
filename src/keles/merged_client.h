// MergedClient: a Client of everything that the API has: what this server serves, by function
// calls, and what extension API servers serve in its place, through its own front, which relays.
// For who goes through all kinds (the garbage collector).
//
// Belongs to one loop; the server outlives it.
#pragma once

#include <memory>

#include "client/client.h"
#include "server/server.h"

namespace keles {

// `here` and `elsewhere` are clients of the one server; the second goes over its front.
std::unique_ptr<Client> make_merged_client(ApiServer& server, std::unique_ptr<Client> here,
                                           std::unique_ptr<Client> elsewhere);

}  // namespace keles
