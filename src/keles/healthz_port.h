// The kubelet's /healthz over plain HTTP, for who supervises it on the same machine (upstream:
// --healthz-port, 10248 on loopback). A port that is taken is reported in the log; the kubelet
// works on without it.
#pragma once

#include <memory>
#include <string>

#include "base/loop.h"
#include "net/http.h"

namespace keles {

class HealthzPort {
 public:
  // 0: nothing is served.
  HealthzPort(Loop& loop, const std::string& address, uint16_t port);
  Task<void> stop(Context ctx);

 private:
  std::unique_ptr<net::Server> server_;
};

}  // namespace keles
