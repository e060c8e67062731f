// The cluster configuration file of kind (kind.x-k8s.io/v1alpha4): what `create cluster --config`
// reads. Unknown fields, and known ones that mean nothing here, are refused by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ip.h"
#include "base/status.h"
#include "kind/node_spec.h"

namespace keles::kind {

struct NodeConfig {
  std::string role = "control-plane";
  bool joins = false;  // all but the first control plane: kubeadm's JoinConfiguration is for them
  std::vector<std::pair<std::string, std::string>> labels;
  std::vector<ExtraMount> mounts;
  std::vector<PortMapping> ports;
  // From kubeadmConfigPatches.
  std::optional<std::vector<std::string>> taints;  // none: what the role gives
  std::vector<std::string> kubelet_flags;          // "--max-pods=50"
};

enum class IpFamily : uint8_t { kV4, kV6, kDual };

struct ClusterConfig {
  std::string name = "kind";
  std::vector<NodeConfig> nodes;  // the control plane first
  IpFamily family = IpFamily::kV4;
  std::string pod_subnet = "10.244.0.0/16";  // of two families where there are two: "V4,V6"
  std::string service_subnet = "10.96.0.0/16";
  std::string api_server_address;  // "" with port 0: the control plane's own address, port 6443
  uint16_t api_server_port = 0;
  bool disable_default_cni = false;
  // Of Services of type LoadBalancer: ranges, or "auto" for some at the end of the nodes' subnets.
  // "": they have the nodes' addresses.
  std::string load_balancer_pool;
  std::vector<std::string> containerd_patches;      // TOML that parses
  std::vector<std::string> tls_sans, server_flags;  // from kubeadmConfigPatches
  // What the configuration asks for and cannot have here, each with its field and the reason.
  std::vector<std::string> warnings;

  bool single_node() const { return nodes.size() == 1; }
  // One: the API is reached at that node; several: at a load balancer before them.
  size_t control_planes() const;
};

// "" gives the default cluster: one control-plane node.
Result<ClusterConfig> parse_cluster_config(std::string_view yaml);

// The ranges of a checked list such as pod_subnet.
std::vector<IpPrefix> subnets_of(std::string_view list);

// The tenth address of the (first) service range, as the server gives it to kube-dns; "" in a range
// of fewer.
std::string cluster_dns(std::string_view service_subnet);

// kind's rule for names.
Status check_cluster_name(std::string_view name);

// NAME-control-plane, NAME-worker, NAME-worker2...
std::vector<std::string> node_names(const ClusterConfig& config);

}  // namespace keles::kind
