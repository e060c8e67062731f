// NodeSpec: everything that a node's init must know, written to STATE/kind/CLUSTER/NODE/node.conf
// so that a stopped node can be started again as it was.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace keles::kind {

// A program that the node's init starts and keeps running.
struct Service {
  std::string name;               // its log is /var/log/NAME.log in the node
  std::vector<std::string> argv;  // argv[0]: absolute path inside the node, or found in PATH
};

struct ExtraMount {
  std::string host_path, container_path;
  bool read_only = false;
};

struct PortMapping {
  std::string listen_address = "0.0.0.0";
  uint16_t host_port = 0, container_port = 0;
  bool udp = false;
};

struct NodeSpec {
  std::string cluster, name, role;  // "control-plane", "worker" or kLoadBalancerRole
  int number = 0;                   // its place in the cluster from 2 (the control plane) on
  std::string address;              // "172.18.0.2/16"
  std::string gateway;              // "172.18.0.1", the bridge
  // Of the other family, where the cluster's nodes have both; else "".
  std::string second_address, second_gateway;
  std::string rootfs;               // on the host
  std::string binary;               // this program, on the host
  std::vector<Service> services;    // in the order of their start
  std::vector<std::string> images;  // archives to import once containerd answers, on the host
  std::vector<ExtraMount> mounts;
  std::vector<PortMapping> ports;
  std::vector<std::string> containerd_patches;  // TOML, merged into its configuration in turn

  std::string plain_address() const { return address.substr(0, address.find('/')); }
  // All of them, without their lengths.
  std::vector<std::string> plain_addresses() const {
    std::vector<std::string> out{plain_address()};
    if (!second_address.empty()) out.push_back(second_address.substr(0, second_address.find('/')));
    return out;
  }
};

// Of the node before several control planes, which is no node of the Kubernetes cluster.
constexpr char kLoadBalancerRole[] = "external-load-balancer";

// Of all of a cluster's nodes, control planes first: the one at which its API is to be reached.
const NodeSpec& front_of(const std::vector<NodeSpec>& nodes);

std::string format_node_spec(const NodeSpec& spec);
Result<NodeSpec> parse_node_spec(const std::string& text);
std::string node_spec_path(const std::string& cluster, const std::string& node);
Result<NodeSpec> load_node_spec(const std::string& cluster, const std::string& node);

// Inside every node.
constexpr char kNodeBinary[] = "/opt/keles/bin/keles";
constexpr char kNodeImages[] = "/opt/keles/images";
constexpr char kContainerdSocket[] = "/run/containerd/containerd.sock";

}  // namespace keles::kind
