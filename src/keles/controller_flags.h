// Which controllers run, how many keys each works on, how often they may ask, and who of several
// control planes leads: flags of kube-controller-manager, and what they come to.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/address_pool.h"
#include "base/flags.h"
#include "client/leader_election.h"
#include "controllers/autoscaling/options.h"
#include "controllers/options.h"

namespace keles {

struct ControllerFlags {
  ControllerFlags();
  std::vector<std::string> controllers;
  std::map<std::string, int64_t, std::less<>> syncs;  // by flag
  controllers::AutoscalingOptions autoscaling;
  std::string tolerance = "0.1";
  std::string qps = "-1";
  int64_t burst = 30;
  std::string local_path_directory;
  bool leader_elect = true;
  std::string resource_lock = "leases", resource_name = "kube-controller-manager";
  controllers::NodeMaskSizes node_masks;
  bool local_load_balancers = false;
  std::string load_balancer_pool;
  LeaderElectionOptions election;  // the durations and the namespace

  AddressPool pool;                 // of check_controller_flags
  double requests_per_second = -1;  // of check_controller_flags; not above 0: no limit
  bool any() const;                 // whether a controller runs at all
  void apply(controllers::Options* out) const;
};

void add_controller_flags(Flags& f, ControllerFlags& c);
// Of the flag --load-balancer-pool, wherever it is given.
Result<AddressPool> read_load_balancer_pool(const std::string& flag);
// `cluster_cidr`: what nodes are given ranges of; "" when nobody gives any.
Status check_controller_flags(ControllerFlags* c, std::string_view cluster_cidr);

}  // namespace keles
