// A server on a socket that was there before it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/http.h"

namespace keles::net {

// As Server::start() on `listening`, a socket that listens and does not block; it is the server's,
// also when that cannot start. The options' address and port are not looked at.
Result<std::unique_ptr<Server>> start_server_on(int listening, std::vector<Loop*> loops,
                                                ServerOptions options, Handler handler);

// What connections from now on are served with and by which CAs their clients are known; those that
// there are go on. An error: neither is exchanged. `server` is one that was started above, or by
// Server::start(), with TLS.
Status exchange_tls(Server& server, const TlsIdentity& identity, const std::string& client_ca_pem);

}  // namespace keles::net
