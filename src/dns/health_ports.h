// What the name server says of itself over HTTP, at the ports that its Corefile names: /health,
// /ready and /metrics, as CoreDNS. A port that is taken is told in the log; the server works on
// without it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "dns/corefile.h"
#include "net/http.h"

namespace keles::dns {

class HealthPorts {
 public:
  // `ready`: whether the cluster's names are known. `own`: where a port without an address is.
  HealthPorts(Loop& loop, const DnsConfig& config, const std::string& own,
              std::function<bool()> ready);
  Task<void> stop(Context ctx);

 private:
  void listen(Loop& loop, const std::string& own, const ListenAddress& at, const char* path,
              std::function<net::Response()> answer);
  std::vector<std::unique_ptr<net::Server>> servers_;
};

}  // namespace keles::dns
