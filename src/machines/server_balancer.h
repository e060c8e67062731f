// The way to several API servers, of a node that has no balancer outside, or of all of a cluster:
// what connects is carried, untouched (TLS is between the two ends), to a server that is well. A
// server is asked now and then; one that does not answer twice in a row loses its connections, so
// that whoever waits on them connects again, elsewhere, and is the last to be tried until it
// answers. One that ends a connection by itself may have begun anew and not be ready yet: it is
// asked at once, and until it has answered others are preferred. Nodes begin at different servers; a
// balancer of many takes them in turn. One loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "net/stream.h"

namespace keles::machines {

struct ServerAddress {
  ServerAddress() = default;
  std::string host;
  uint16_t port = 0;
  std::string text() const;  // "10.0.0.1:6443"
};

// Whether the server of this number is well.
using ServerProbe = std::function<Task<Status>(Context, size_t server)>;

class ServerBalancer {
 public:
  struct Options {
    Options() = default;
    std::vector<ServerAddress> servers;  // at least one
    std::string address = "127.0.0.1";   // where it listens
    uint16_t port = 0;                   // 0: any
    bool in_turn = false;                // each connection begins at the next server
    ServerProbe probe;
    Duration every = 10s, patience = 3s;  // between two probes; for a probe, or to connect
    size_t most = 1000;                   // connections at once; more are closed
  };
  // kUnavailable when the port cannot be had.
  static Result<std::unique_ptr<ServerBalancer>> listen(Loop& loop, Options options);
  ServerBalancer(const ServerBalancer&) = delete;

  uint16_t port() const { return listener_->port(); }
  // Until ctx ends. Once.
  Task<void> run(Context ctx);

 private:
  struct Server {
    explicit Server(Context context) : life(std::move(context)) {}
    bool well = true;
    int failures = 0;
    Event doubted;  // it has ended a connection, and has not answered since
    Context life;  // its connections'; another one each time that it is given up
  };
  ServerBalancer(Options options, std::unique_ptr<net::StreamListener> listener, size_t first)
      : options_(std::move(options)), listener_(std::move(listener)), first_(first) {}
  std::vector<size_t> order() const;  // in which they are tried
  Task<void> look_after(Context ctx, size_t server);
  Task<void> carry(Context ctx, std::shared_ptr<net::ByteStream> from);
  void failed(const Context& whole, size_t server, const Status& why, bool give_up);

  const Options options_;
  std::unique_ptr<net::StreamListener> listener_;
  size_t first_;
  std::deque<Server> servers_;  // while it runs
  size_t open_ = 0;
};

// "https://HOST:PORT" each; one of several has no path. kBadRequest names the flag --server.
Result<std::vector<ServerAddress>> server_addresses(const std::vector<std::string>& urls);

// Whether a server answers /readyz for itself, over TLS by the CA of the file, which may change
// while it is asked; who may not ask for its health is answered, too. Blocking for moments (a small
// file). An error when there is no such file now.
Result<ServerProbe> ready_probe(Loop& loop, const std::vector<ServerAddress>& servers,
                                const std::string& ca_file);

}  // namespace keles::machines
