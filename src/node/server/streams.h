// Internal to node/server: what relays a client's streams to the runtime's streaming server.
#pragma once

#include <memory>
#include <string>

#include "net/http.h"
#include "net/stream.h"
#include "node/server/node_server.h"

namespace keles::node {

// Of the runtime's streaming server.
struct Target {
  net::Endpoint endpoint;
  std::string path, query;
};

// Answers with a line of text.
Task<void> fail(net::Responder* responder, int code, std::string text);
// A SPDY connection of our own to the runtime, in the protocol named.
Task<Result<std::unique_ptr<net::ByteStream>>> open_spdy(Context ctx, Target target,
                                                         std::string protocol);

// channels.cc: exec and attach, from the channels of a websocket, or from a client's SPDY streams
// in the fourth protocol, to SPDY streams of the runtime.
Task<void> serve_channels(Context ctx, net::Responder* responder, Target target,
                          cri::Runtime::StreamOptions o, AttachedContainer attached);
bool asks_for_spdy_channels(const net::Request& request);
Task<void> serve_spdy(Context ctx, net::Responder* responder, Target target,
                      cri::Runtime::StreamOptions o, AttachedContainer attached);

}  // namespace keles::node
