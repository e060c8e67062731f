// HAProxy under our hand: its files are written, it is started with the first of them, and told to
// read each set that follows; where nothing but endpoints differs the worker is told those as it
// runs (proxy_runtime.h). Requests under way, and connections that wait to be taken, go on: its
// master hands the listening sockets from one worker to the next.
//
// Files of a set lie in a directory of their own, which is not changed any more; the configuration
// that the master reads is exchanged in one step, after HAProxy has said that it would take it.
// One loop's thread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/process.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "ingress/haproxy_config.h"
#include "ingress/proxy_runtime.h"

namespace keles::ingress {

// Whoever the routing table is for.
class Proxy {
 public:
  virtual ~Proxy() = default;
  // Why it would not serve that certificate; OK when it would.
  virtual Task<Status> try_certificate(Context ctx, net::TlsIdentity identity) = 0;
  // Likewise of an Expression's text.
  virtual Task<Status> try_expression(Context ctx, std::string expression) = 0;
  // Nothing is done when the table is the one that it has.
  virtual Task<Status> apply(Context ctx, RoutingTable table) = 0;
  // Where a listener's port is at the pod.
  virtual uint16_t inner_port(uint16_t listener) const = 0;
};

class ProxyProcess final : public Proxy {
 public:
  // `ended` is called when HAProxy has ended by itself.
  ProxyProcess(Loop& loop, std::string program, ProxyOptions options, std::function<void()> ended);
  Task<Status> try_certificate(Context ctx, net::TlsIdentity identity) override;
  Task<Status> try_expression(Context ctx, std::string expression) override;
  uint16_t inner_port(uint16_t listener) const override { return options_.inner_port(listener); }
  Task<Status> apply(Context ctx, RoutingTable table) override;
  // No new connections; waits for those that are there, until ctx ends.
  Task<void> stop(Context ctx);

 private:
  Task<Status> check(Context ctx, std::string configuration);
  Task<Status> try_files(Context ctx, std::string key, ProxyFiles files, std::string place);
  Task<void> watch(Context ctx);
  // OK: the worker has these endpoints.
  Task<Status> tell_endpoints(Context ctx, Backends backends);
  std::string place() const { return options_.directory + "/" + std::to_string(generation_); }

  Loop& loop_;
  std::string program_;
  ProxyOptions options_;
  std::function<void()> ended_;
  std::unique_ptr<Process> process_;
  TaskGroup group_;
  ProxyFiles shape_;   // as for the place "", without endpoints
  Backends backends_;  // as the worker has them
  Parked parked_;
  uint64_t generation_ = 0;
  std::map<std::string, Status> judged_;  // digests of certificates and expressions
};

}  // namespace keles::ingress
