// The flags of the service proxy that runs beside the kubelet, and what they come to.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/flags.h"
#include "base/status.h"
#include "proxy/health.h"
#include "proxy/proxy.h"

namespace keles {

struct ProxyFlags {
  bool enabled = true, masquerade_all = false;
  std::string cluster_cidr;
  std::vector<std::string> node_port_addresses;
  int64_t masquerade_bit = 14;
  std::string healthz_address = "0.0.0.0", metrics_address = "127.0.0.1";
  int64_t healthz_port = 10256, metrics_port = 10249;
  int64_t conntrack_max_per_core = 0, conntrack_min = 0;
  proxy::ConntrackSettings conntrack;

  // Of a node's process that runs the proxy, too.
  void add(Flags& flags);
  // Of whoever runs it.
  void add_rules(Flags& flags);
  // "0.0.0.0:10256", "[::]:10256", "10256", "0": of the flag of that name; "" changes nothing.
  static Status read_address(const char* flag, std::string_view text, std::string* address,
                             int64_t* port);
  Result<proxy::HealthPorts> ports() const;
  // `node_ips`: the node's own addresses. Blocking: asks the kernel for this host's.
  Result<proxy::ProxyOptions> options(const std::string& node_name,
                                      const std::vector<IpAddress>& node_ips) const;
  // Of the cluster's pods, by family.
  Result<std::vector<IpPrefix>> cluster_cidrs() const;
};

}  // namespace keles
