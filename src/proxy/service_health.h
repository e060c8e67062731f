// The health checks that load balancers make of services with externalTrafficPolicy Local: each
// such service has a port of every node (spec.healthCheckNodePort), which says whether the node has
// an endpoint of it (kube-proxy: pkg/proxy/healthcheck). A port that is taken is tried again at the
// next change.
//
// One loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/recurring.h"
#include "net/http.h"
#include "proxy/services.h"

namespace keles::proxy {

// The body of the answer.
std::string service_check_json(const std::string& service, int local, bool proxy_healthy);

class ServiceHealth {
 public:
  // `healthy`: whether the proxy itself is.
  ServiceHealth(std::string address, std::function<bool()> healthy);
  // Listens for what is in `checks` ("ns/name"), and no longer for what is not.
  Task<void> sync(Context ctx, std::map<std::string, ServiceCheck> checks);
  Task<void> stop(Context ctx);
  uint16_t port(const std::string& service) const;  // 0: not served

 private:
  struct Served {
    ServiceCheck check;
    std::unique_ptr<net::Server> server;
  };
  void listen(Loop& loop, const std::string& service, const ServiceCheck& check);

  std::string address_;
  std::function<bool()> healthy_;
  std::map<std::string, std::shared_ptr<Served>> served_;
  Recurring failing_;
};

}  // namespace keles::proxy
