// What the service proxy has to make true on this node: services and endpoint slices reduced to
// forwarding entries. Pure; one loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"

namespace keles::proxy {

struct Target {
  std::string ip;
  uint16_t port;
  auto operator<=>(const Target&) const = default;
};

// One port of one service.
struct Forward {
  std::string name;      // "ns/service:port"
  std::string protocol;  // tcp, udp, sctp
  std::string cluster_ip;
  uint16_t port = 0;
  uint16_t node_port = 0;                 // 0: none
  std::vector<std::string> external_ips;  // externalIPs and load balancer addresses
  int32_t affinity_seconds = 0;           // 0: none; else ClientIP affinity with this time-out
  bool external_local = false;            // externalTrafficPolicy: Local
  std::set<Target> targets;               // for traffic inside the cluster
  std::set<Target> external_targets;      // for traffic from outside
  bool operator==(const Forward&) const = default;
};

class ServiceTable {
 public:
  explicit ServiceTable(std::string node_name) : node_name_(std::move(node_name)) {}
  void set_service(const api::core_v1::Service& service);
  void remove_service(std::string_view ns, std::string_view name);
  void set_slice(const api::discovery_v1::EndpointSlice& slice);
  void remove_slice(std::string_view ns, std::string_view name);

  // The services ("ns/name") touched since the last call.
  std::set<std::string> take_dirty() { return std::exchange(dirty_, {}); }
  void mark_all_dirty();
  // The entries of one service, by name; none when it is gone or headless.
  std::map<std::string, Forward> forwards(const std::string& service) const;
  // Addresses of this node's own endpoints (a pod may reach itself through a service).
  std::set<std::string> local_ips(const std::string& service) const;

 private:
  struct Port {
    std::string name, protocol;
    uint16_t port = 0, node_port = 0;
  };
  struct Service {
    std::string cluster_ip;
    std::vector<Port> ports;
    std::vector<std::string> external_ips;
    int32_t affinity_seconds = 0;
    bool external_local = false, internal_local = false;
  };
  struct Endpoint {
    std::string ip;
    bool ready, serving, terminating, local;
  };
  struct Slice {
    std::string service;
    std::vector<Endpoint> endpoints;
    std::vector<Port> ports;
  };
  std::set<Target> pick(const std::string& service, const Port& port, bool local_only) const;

  std::string node_name_;
  std::map<std::string, Service, std::less<>> services_;
  std::map<std::string, Slice, std::less<>> slices_;
  std::map<std::string, std::set<std::string>, std::less<>> slices_of_;
  std::set<std::string> dirty_;
};

}  // namespace keles::proxy
