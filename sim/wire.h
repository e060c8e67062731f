// Wire: TCP connections in memory, in virtual time, beneath the real HTTP of both sides: what is
// written arrives in pieces, later, in order; the receiver's window fills; a partition holds bytes
// back and lets them go when it is over (so that a request may act long after its sender gave it
// up); a connection may be reset at any byte. All chance comes from the loop. One loop's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/sync.h"
#include "net/server_connection.h"

namespace keles::sim {

struct Line;

struct WireOptions {
  Duration delay_min = 20us, delay_max = 500us;  // of a piece, one way
  double slow = 0;                               // chance of a delay of up to slow_max
  Duration slow_max = 2s;
  size_t piece_max = 16384;      // bytes that travel together
  size_t window = 256 * 1024;    // bytes under way or unread, beyond which a writer waits
  double short_read = 0;         // chance that a read brings less than there is
  double reset = 0;              // per piece: the connection is reset
  double http1 = 0;              // chance that a connection speaks HTTP/1.1
  Duration patience = 120s;      // a peer that is cut off for so long is given up
  bool deliver_of_dead = false;  // whether what a component sent before it died arrives
};

// The two ends of a new connection of `line`'s component. `options` outlives both.
struct WirePair {
  net::TransportPtr client, server;
};
WirePair connect_wire(Loop& loop, const WireOptions* options, std::shared_ptr<Line> line);

// What listens: one life of an HTTP server over wires.
class WireServer {
 public:
  WireServer(Loop& loop, net::ServerOptions options, net::Handler handler);
  // Serves a connection whose client has shown this certificate.
  void serve(net::TransportPtr transport, std::string remote, net::PeerCertificate peer,
             bool http2);
  // Ends every connection and waits for their handlers.
  Task<void> stop();

 private:
  net::ServerOptions options_;
  net::Handler handler_;
  std::shared_ptr<net::ByteBudget> budget_;
  Context ctx_;
  TaskGroup tasks_;
};

}  // namespace keles::sim
