// What the proxy says of itself over HTTP, at kube-proxy's ports:
//   10256, for load balancers:  /healthz (also whether the node may get traffic), /livez
//   10249, on loopback:         /healthz, /livez, /metrics (the proxy's own), /proxyMode, /configz
// A port that is taken is reported in the log; the proxy works on without it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "net/http.h"

namespace keles::proxy {

struct Health {
  bool healthy = true;          // every change of the last minute is in force
  bool node_eligible = true;    // the node is there, and nobody is about to remove it
  bool v4 = false, v6 = false;  // the families that are served
  WallTime updated, now;
};

// The body of /healthz (with the node's part) and /livez.
std::string health_json(const Health& health, bool with_node);
// Of a metrics page, the lines whose metric begins with `prefix`.
std::string metrics_of(const std::string& page, std::string_view prefix);

class Proxy;

struct HealthPorts {
  std::string address = "0.0.0.0", metrics_address = "127.0.0.1";
  uint16_t health = 10256, metrics = 10249;  // 0: none
  std::string configz;                       // JSON, for /configz; "": it is not served
};

// Serves on the loop of the proxy, which outlives it.
class HealthServer {
 public:
  HealthServer(Loop& loop, const Proxy* proxy, const HealthPorts& ports);
  Task<void> stop(Context ctx);

 private:
  void listen(Loop& loop, std::string address, uint16_t port, net::Handler handler);
  std::vector<std::unique_ptr<net::Server>> servers_;
};

}  // namespace keles::proxy
