// The cluster's DNS server: UDP and TCP on one port, answering from the Zone and forwarding the
// rest.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/informer.h"
#include "dns/zone.h"

namespace keles::dns {

struct DnsOptions {
  std::string address = "0.0.0.0";
  uint16_t port = 53;  // 0: any free one
  std::string domain = "cluster.local";
  // What a Corefile calls /etc/resolv.conf: name servers for everything else; empty: REFUSED.
  std::vector<std::string> upstreams;
  int max_forwards_in_flight = 1000;
  std::string corefile;  // to begin with, and while the cluster says nothing; "" for the default
  // Whether the ports that the Corefile names for health, readiness and metrics are opened.
  bool serves_health = false;
  int max_tcp_connections = 200;
  // Published as the kube-dns Service and its EndpointSlice when not empty.
  std::string service_ip, endpoint_ip;
  // Of several servers one is the endpoint: runs what publishes, given to it, while this one is to;
  // null: always.
  std::function<Task<void>(Context, std::function<Task<void>(Context)>)> while_leading;
};

// Name servers of a resolv.conf text, loopback ones left out (they mean another host's).
std::vector<std::string> name_servers(std::string_view resolv_conf);

class DnsServer {
 public:
  // Binds at once.
  static Result<std::unique_ptr<DnsServer>> start(Loop& loop, DnsOptions options);
  virtual ~DnsServer() = default;
  virtual uint16_t port() const = 0;
  virtual Zone& zone() = 0;
  // Feeds the zone from `informers`, follows the Corefile of the ConfigMap kube-system/coredns,
  // keeps that and the kube-dns Service in place through `client`, and serves until ctx ends. A
  // Corefile that is wrong is told in the log, and the one before stays.
  virtual Task<void> run(Context ctx, Client* client, InformerFactory* informers) = 0;
};

}  // namespace keles::dns
