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

// The ranges of `node_bits` within `cluster`, by number, and how often each is in use. A range that
// is added may be smaller or larger than one of them, or lie elsewhere: all that it overlaps are in
// use then. What adding, removing and asking cost does not grow with the number of ranges.
class RangePool {
 public:
  RangePool(const IpPrefix& cluster, int node_bits);

  void add(const IpPrefix& used) { count(used, 1); }
  void remove(const IpPrefix& used) { count(used, -1); }
  // The lowest that nothing overlaps; none when all are in use, or no range of that size fits.
  std::optional<IpPrefix> lowest_free() const;

 private:
  void count(const IpPrefix& used, int by);

  IpPrefix cluster_, first_;
  uint64_t size_ = 0, count_ = 0;  // addresses of a range; ranges
  std::vector<uint32_t> users_;    // by number, up to the highest that was ever in use
  mutable uint64_t lowest_ = 0;    // none below is free
};

class NodeIpamController final : public Controller {
 public:
  explicit NodeIpamController(Deps deps);
  Task<ReconcileResult> reconcile(Context ctx, std::string key) override;

 private:
  using Node = api::core_v1::Node;
  void forget_given(const std::string& uid);

  Informer<Node> nodes_;
  std::optional<RangePool> pool_;  // none: the cluster's range is no IPv4 range
  std::map<std::string, std::vector<IpPrefix>> ranges_;  // by uid: what the nodes have, in the pool
  std::map<std::string, IpPrefix> given_;  // by uid: written, perhaps not yet seen; in the pool
};

}  // namespace keles::controllers
