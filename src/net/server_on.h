// A server on a socket that was there before it.
#pragma once

#include <memory>
#include <vector>

#include "net/http.h"

namespace keles::net {

// As Server::start() on `listening`, a socket that listens and does not block; it is the server's,
// also when that cannot start. The options' address and port are not looked at.
Result<std::unique_ptr<Server>> start_server_on(int listening, std::vector<Loop*> loops,
                                                ServerOptions options, Handler handler);

}  // namespace keles::net
