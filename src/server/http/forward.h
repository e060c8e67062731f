// What all relayed requests have in common: which fields go on and come back, upgrades, bodies as
// they are. relay.cc relays to kubelets, pods and services, aggregate.cc to extension API servers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "net/http.h"
#include "server/http/exchange.h"

namespace keles::server {

// Field names, compared without case.
bool same_name(std::string_view a, std::string_view b);
bool has_prefix(std::string_view name, std::string_view prefix);

bool asks_for_upgrade(const Exchange& x);
// HTTP/2 inside an upgraded connection would be requests that nobody authorizes one by one.
bool tunnels_requests(const Exchange& x);
// The websocket protocols that a client offers, but for the one that carries its token.
std::vector<std::string> offered_protocols(const net::Headers& headers);
std::string joined(const std::vector<std::string>& list);

// The client's fields as they go on: without its credentials, which stay here, and what concerns
// this connection alone; with X-Forwarded-For.
net::Headers forwarded_headers(const Exchange& x, bool upgrade);
// The answer's. `cors`: with its Access-Control-Allow-* fields, which are this server's to give.
net::Headers passed_back(const net::Headers& from, bool cors);

// Passes an upgrade on, and bytes both ways until either side ends.
Task<void> relay_upgrade(Context ctx, Exchange* x, net::HttpClient* client, net::Request request,
                         bool cors);
// The rest of an answer that has begun, byte for byte.
Task<void> pass_as_it_is(Context ctx, Exchange* x, net::ResponseStream* stream);

}  // namespace keles::server
