// A watch over a websocket: an event is one message (text for JSON, binary for protobuf), as
// browsers can read them.
#pragma once

#include "server/http/exchange.h"
#include "server/registry/registry.h"

namespace keles::server {

bool is_websocket(const Exchange& x);

// Answers `x` with the stream's events until it ends, `until` does or the client closes. The
// stream outlives the call.
Task<void> watch_over_websocket(Context until, Exchange* x, registry::WatchStream* stream);

}  // namespace keles::server
