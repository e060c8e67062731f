// What the balancers of Services are to be: of a local cluster's nodes, or addresses of a pool that
// one node announces. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/address_pool.h"
#include "base/ip.h"
#include "base/status.h"

namespace keles::controllers {

// What a Service asks for: addresses of the pool, one of each of its families at most ("10.0.0.16",
// "10.0.0.16,fd00::10"); spec.loadBalancerIP has room for one.
inline constexpr std::string_view kWantedAddresses = "keles.dev/load-balancer-ips";

// One address at which a balancer takes connections.
struct BalancerAddress {
  std::string ip, hostname, mode = "VIP";  // mode: of an ip
  bool operator==(const BalancerAddress&) const = default;
};

// What keeps a Service until its balancer is gone.
inline constexpr std::string_view kBalancerFinalizer =
    "service.kubernetes.io/load-balancer-cleanup";

// Of type LoadBalancer, and of no class.
bool is_balanced(const api::core_v1::Service& service);
bool has_balancer_finalizer(const api::core_v1::Service& service);
// Those that its status has.
std::vector<BalancerAddress> addresses_of(const api::core_v1::Service& service);

enum class BalancerWish : uint8_t { kNothing, kEnsure, kRemove };
BalancerWish plan_balancer(const api::core_v1::Service& service);
// Whether a balancer sends anything to the node: it lives, and no label excludes it.
bool takes_balanced(const api::core_v1::Node& node);
// The node's first InternalIP of each family.
std::vector<IpAddress> internal_ips(const api::core_v1::Node& node);

// What the balancer of a local cluster knows when it decides.
struct LocalBalancerView {
  std::vector<Ref<api::core_v1::Service>> services;  // all
  std::set<std::string> nodes_with_endpoints;        // ready ones of this Service
  std::set<int64_t> reserved_ports;                  // the nodes' own
};
// The balancer of a local cluster is the nodes themselves: each takes connections to the Service's
// ports at its own address, as its proxy serves them. An error when a port is the node's own, or
// another Service has it (of two that want it, the older one gets it).
Result<std::vector<BalancerAddress>> plan_local_balancer(
    const api::core_v1::Service& service, const std::vector<Ref<api::core_v1::Node>>& nodes,
    const LocalBalancerView& view);

// What the pool's owner knows when it decides.
struct PoolView {
  const AddressPool* pool = nullptr;
  std::vector<Ref<api::core_v1::Service>> services;     // all, as last heard of
  std::map<std::string, std::vector<IpAddress>> given;  // by "ns/name": what they were given here
  std::set<IpAddress> nodes;                            // addresses of nodes
};
struct PoolPlan {
  // What the Service has from now on. With an error: what it may keep.
  std::vector<IpAddress> addresses;
  Status status;
};
// An address of each of the Service's families: what it asks for, else what it has, else the first
// that is free. It keeps none that is not the pool's, is a node's, or belongs to another Service
// (of two that show one, the older has it). Where no address of a second family can be had, a
// Service that prefers two has one.
PoolPlan plan_pool_addresses(const api::core_v1::Service& service, const PoolView& view);

// Which node announces the Service's addresses: the one that does already, while it may; else one
// that follows from the names, so that many Services spread and one node's going moves its own
// only. It must be ready, and have a ready endpoint where the policy is Local. "": none can.
std::string plan_announcer(const api::core_v1::Service& service,
                           const std::vector<Ref<api::core_v1::Node>>& nodes,
                           const std::set<std::string>& nodes_with_endpoints);

}  // namespace keles::controllers
