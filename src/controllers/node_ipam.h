// Node IPAM controller: gives every node a range of pod addresses of its own out of each of the
// cluster's, which are one or two, of one family each (upstream: pkg/controller/nodeipam, the range
// allocator).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/core_v1.h"
#include "base/ip.h"
#include "controllers/kit.h"
#include "controllers/range_pool.h"

namespace keles::controllers {

struct NodeMaskSizes;  // options.h

// One of the cluster's ranges, and how long its nodes' are.
struct NodeRange {
  IpPrefix cluster;
  int node_bits = 0;
  bool operator==(const NodeRange&) const = default;
};
// From --cluster-cidr ("10.244.0.0/16,fd00:10:244::/56") and --node-cidr-mask-size*; kBadRequest in
// upstream's words where they do not fit together.
Result<std::vector<NodeRange>> read_node_ranges(std::string_view cluster_cidr,
                                                const NodeMaskSizes& sizes);

class NodeIpamController final : public ControllerFor<api::core_v1::Node> {
 public:
  explicit NodeIpamController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  using Ranges = std::vector<IpPrefix>;  // one of each pool
  static Ranges ranges_of(const Node& node);
  void on_change(const Ref<Node>& before, const Ref<Node>& now);
  Task<Status> learn_given(Context ctx);
  std::optional<Ranges> give(const std::string& uid);
  void forget_given(const std::string& uid);
  void count(const IpPrefix& used, bool add);

  std::vector<RangePool> pools_;
  std::string wrong_;                     // why there are none
  std::map<std::string, Ranges> ranges_;  // by uid: what the nodes have, in the pools
  std::map<std::string, Ranges> given_;   // by uid: written, perhaps not yet seen; in the pools
  bool learnt_ = false;                   // what was given by others before us
};

}  // namespace keles::controllers
