// Node IPAM controller: gives every node a range of pod addresses of its own out of the cluster's
// (upstream: pkg/controller/nodeipam, the range allocator). IPv4.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/core_v1.h"
#include "base/ip.h"
#include "controllers/controller.h"

namespace keles::controllers {

// The lowest range of `node_bits` within `cluster` that overlaps none of `used`.
std::optional<IpPrefix> plan_node_cidr(const IpPrefix& cluster, int node_bits,
                                       const std::vector<IpPrefix>& used);

class NodeIpamController final : public Controller {
 public:
  explicit NodeIpamController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  Informer<Node> nodes_;
  std::map<std::string, std::vector<IpPrefix>> ranges_;  // by uid: what the nodes have, kept level
  std::map<std::string, std::string> given_;  // node's uid: written, perhaps not yet seen
};

}  // namespace keles::controllers
