// What can be set about the controllers, with upstream's defaults (kube-controller-manager flags).
// Who reads a setting includes this; controller.h does not, so that a new setting compiles few
// anew.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/address_pool.h"
#include "base/loop.h"
#include "base/status.h"
#include "controllers/storage/options.h"
#include "net/pki.h"

namespace keles {
class Client;
class PathsClient;
}  // namespace keles

namespace keles::controllers {

class LoadBalancers;  // load_balancer.h

// --node-cidr-mask-size, -ipv4, -ipv6. 0: not said, which is 24, and 64 for IPv6.
struct NodeMaskSizes {
  int64_t any = 0, v4 = 0, v6 = 0;
};

struct Options {
  std::string cluster_cidr = "10.244.0.0/16";  // --cluster-cidr: one range, or one of each family
  NodeMaskSizes node_mask_sizes;
  std::string service_cidr;  // what nodes do not get of it, likewise; "" for none
  bool allocate_node_cidrs = true;
  // Who has load balancers for Services; null: nobody, or the nodes themselves. Outlives the
  // controllers; of the same loop.
  LoadBalancers* load_balancers = nullptr;
  bool local_load_balancers = false;      // the nodes' own addresses are balancers
  AddressPool load_balancer_pool;         // or those of a pool are, which one node each announces
  std::set<int64_t> reserved_node_ports;  // which no balancer takes there
  std::string root_ca_pem;                // published as kube-root-ca.crt; "" publishes nothing
  // What kube-public/cluster-info tells of the cluster: a kubeconfig without a user, with the CA
  // and the server's URL. "": nobody makes that ConfigMap.
  std::string cluster_info;
  // Signs the claims (JSON) of the tokens in service-account-token Secrets; none: nobody fills them
  // (--service-account-private-key-file).
  std::function<Result<std::string>(std::string_view claims)> sign_token;
  // Signs approved CertificateSigningRequests of the cluster's signers; none: nobody does
  // (--cluster-signing-cert-file, --cluster-signing-key-file).
  std::function<Result<std::string>(std::string_view csr_pem, net::CsrTerms terms)> sign_csr;
  // What extension API servers hold; null: there are none. It outlives the controllers.
  PathsClient* elsewhere = nullptr;
  // Of all kinds, those of extension API servers too, for the garbage collector; null: it knows
  // what the server itself has. Outlives the controllers; of the same loop.
  Client* all_kinds = nullptr;
  StorageOptions storage;
  Duration cluster_signing_duration = 8760h;  // --cluster-signing-duration
  Duration node_monitor_period = 5s;          // --node-monitor-period
  Duration node_monitor_grace_period = 40s;   // --node-monitor-grace-period
  Duration node_startup_grace_period = 60s;   // --node-startup-grace-period
  // --legacy-service-account-token-clean-up-period
  Duration legacy_token_unused_for = 8760h;
  double node_eviction_rate = 0.1;  // nodes a second --node-eviction-rate
  double secondary_node_eviction_rate = 0.01;
  double unhealthy_zone_threshold = 0.55;
  int large_cluster_size_threshold = 50;
  int terminated_pod_gc_threshold = 12500;  // --terminated-pod-gc-threshold
  Duration pod_gc_period = 20s;
  Duration pod_gc_quarantine = 40s;  // how long a pod's node must have been gone
  int endpoints_per_slice = 100;     // --max-endpoints-per-slice
  int parallel_writes = 64;          // creates or deletes in flight for one object
  // Which run (manager.h, wants_controller); these two are off otherwise, as upstream's.
  std::vector<std::string> controllers = {"*", "bootstrap-signer-controller",
                                          "token-cleaner-controller"};
  // By the names of flags (manager.h, ControllerName): keys that are reconciled at once.
  std::map<std::string, int, std::less<>> syncs;
};

}  // namespace keles::controllers
