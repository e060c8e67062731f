// What the service proxy has to make true on this node: services and endpoint slices reduced to
// forwarding entries. What the API says becomes values here; a part that is none of its kind
// (an address that does not parse, a port out of range) is skipped with a line in the log, and the
// rest of the service stands. Pure; one loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "proxy/address.h"

namespace keles::proxy {

struct Target {
  IpAddress ip;
  uint16_t port = 0;
  auto operator<=>(const Target&) const = default;
};

// One port of one service.
struct Forward {
  std::string name;  // "ns/service:port", whatever characters those have
  Protocol protocol = Protocol::kTcp;
  IpAddress cluster_ip;
  uint16_t port = 0;
  uint16_t node_port = 0;               // 0: none
  std::vector<IpAddress> external_ips;  // externalIPs and load balancer addresses
  std::vector<IpAddress> guarded_ips;   // of those: open to source_ranges only
  std::vector<IpPrefix> source_ranges;
  int32_t affinity_seconds = 0;                         // 0: none; else ClientIP's time-out
  bool internal_local = false, external_local = false;  // the traffic policies
  // In order, none twice: of the whole cluster, and of this node (where a policy is Local).
  std::vector<Target> cluster_targets, local_targets;
  bool operator==(const Forward&) const = default;

  const std::vector<Target>& internal() const {
    return internal_local ? local_targets : cluster_targets;
  }
  const std::vector<Target>& external() const {
    return external_local ? local_targets : cluster_targets;
  }
};

// What load balancers ask of a service with externalTrafficPolicy Local: whether to send here.
struct ServiceCheck {
  uint16_t port = 0;  // spec.healthCheckNodePort
  int local = 0;      // ready endpoints of this node
  bool operator==(const ServiceCheck&) const = default;
};

class ServiceTable {
 public:
  // Of one family: addresses of the other are passed over in silence.
  explicit ServiceTable(std::string node_name, bool v6 = false)
      : node_name_(std::move(node_name)), v6_(v6) {}
  void set_service(const api::core_v1::Service& service);
  void remove_service(std::string_view ns, std::string_view name);
  void set_slice(const api::discovery_v1::EndpointSlice& slice);
  void remove_slice(std::string_view ns, std::string_view name);
  // Of this node; endpoints that are hinted to it are preferred.
  bool set_zone(std::string_view zone);  // whether it is another one

  // The services ("ns/name") touched since the last call.
  std::set<std::string> take_dirty() { return std::exchange(dirty_, {}); }
  void mark_all_dirty();
  // The entries of one service, by name; none when it is gone or headless.
  std::map<std::string, Forward> forwards(const std::string& service) const;
  // Addresses of this node's own endpoints (a pod may reach itself through a service).
  std::set<IpAddress> local_ips(const std::string& service) const;
  // By "ns/name".
  std::map<std::string, ServiceCheck> checks() const;

 private:
  struct Port {
    std::string name;
    Protocol protocol = Protocol::kTcp;
    uint16_t port = 0, node_port = 0;
  };
  struct Service {
    std::string created;
    IpAddress cluster_ip;
    std::vector<Port> ports;
    std::vector<IpAddress> external_ips, guarded_ips;
    std::vector<IpPrefix> source_ranges;
    int32_t affinity_seconds = 0;
    bool external_local = false, internal_local = false;
    uint16_t check_port = 0;
  };
  enum class Hint : uint8_t { kNone, kHere, kElsewhere };
  struct Endpoint {
    IpAddress ip;
    bool ready, serving, terminating, local;
    Hint node = Hint::kNone;
    std::vector<std::string> zones;  // that it is hinted to
  };
  enum class Prefer : uint8_t { kAny, kNode, kZone };
  struct Slice {
    std::string service;
    std::vector<Endpoint> endpoints;
    std::vector<Port> ports;
  };
  static std::vector<Port> read_ports(const auto& ports, const std::string& key);
  void read_addresses(const api::core_v1::Service& service, const std::string& key,
                      Service& out) const;
  std::optional<IpAddress> target_address(std::string_view text, const std::string& object,
                                          std::string_view field) const;
  // An address that two services name belongs to one of them, or nftables would refuse the whole
  // transaction: to the one whose cluster IP it is, else to the older.
  using Front = std::tuple<IpAddress, Protocol, uint16_t>;
  struct Claim {
    bool external;
    std::string created, service;
    auto operator<=>(const Claim&) const = default;
  };
  void change_claims(const std::string& key, const Service& service, bool add);
  void drop_service(const std::string& key);
  bool owns(const std::string& service, IpAddress ip, const Port& port) const;
  Prefer preference(const std::vector<std::pair<const Endpoint*, uint16_t>>& endpoints) const;
  bool here(const Endpoint& e, Prefer prefer) const;
  std::vector<Target> pick(const std::string& service, const Port& port, bool local_only) const;

  std::string node_name_, zone_;
  bool v6_;
  std::map<std::string, Service, std::less<>> services_;
  std::map<std::string, Slice, std::less<>> slices_;
  std::map<std::string, std::set<std::string>, std::less<>> slices_of_;
  std::map<Front, std::set<Claim>> claims_;
  std::set<std::string> dirty_, checked_;  // checked_: those that load balancers ask about
};

}  // namespace keles::proxy
