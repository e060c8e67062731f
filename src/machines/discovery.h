// How a machine that has a token comes to know the cluster: kube-public/cluster-info, read from a
// server that nobody has vouched for yet, is signed by the token, and holds the cluster's CA, whose
// public key may be pinned (upstream: kubeadm's token discovery); then, as the token's holder, what
// a node is to know of the cluster's network (kube-system/kubeadm-config).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "client/client.h"
#include "client/kubeconfig.h"
#include "machines/bootstrap_token.h"

namespace keles::machines {

struct JoinTarget {
  JoinTarget() = default;
  ClientConfig server;  // without a CA
  std::string url;      // "https://10.0.0.1:6443"
  BootstrapToken token;
  std::vector<std::string> pins;  // "sha256:HEX"; none: any CA that the token signs
};
// `token`: "abcdef.0123456789abcdef", or that, "::" and a pin (or several, with "::" between them).
Result<JoinTarget> parse_join(std::string_view server, std::string_view token);

// Without pins whoever stands between this machine and the server, and knows the token, is
// believed: to be asked for (upstream: --discovery-token-unsafe-skip-ca-verification).
Status check_pins(const JoinTarget& target, bool unsafe_skip_ca_verification);
// From `given`, a file or the environment (KELES_TOKEN), in this order of precedence: what other
// processes of the machine may see of the command line is then no secret. kBadRequest when two are
// given by flags; "" when there is none.
Result<std::string> read_token(const std::string& given, const std::string& file,
                               const char* environment);

// The kubeconfig in cluster-info's `data`, whose signature is the token's.
Result<std::string> signed_kubeconfig(const Value& data, const BootstrapToken& token);
// The CA in it, one of whose keys is pinned, where there are pins.
Result<std::string> pinned_ca(std::string_view kubeconfig, const std::vector<std::string>& pins);

struct ClusterNetwork {
  ClusterNetwork() = default;
  std::string domain = "cluster.local", pods, services;  // ranges
  std::string load_balancer_pool;  // of the server's flag of this name; "": none
};
// Beside the ClusterConfiguration in kube-system/kubeadm-config.
inline constexpr char kPoolKey[] = "keles.dev.loadBalancerPool";
// A ClusterConfiguration of kubeadm's (YAML), and back; with a pool its text is this machine's own,
// and not kubeadm's any more.
Result<ClusterNetwork> parse_network(std::string_view cluster_configuration);
std::string format_network(const ClusterNetwork& network);

struct FoundCluster {
  FoundCluster() = default;
  std::string ca_pem;
  ClusterNetwork network;
};
// The pool that the cluster has by now, as this node is told it; an error: it was not told.
Task<Result<std::string>> published_pool(Context ctx, Client* client);
// Asks again until ctx ends, and fails with the last error.
Task<Result<FoundCluster>> discover(Context ctx, JoinTarget target);

// For the kubelet: how to ask for its certificate.
// The CA that the cluster tells of itself by now, asked of a server that `server.tls` vouches for.
Task<Result<std::string>> published_ca(Context ctx, net::Endpoint server, std::string path_prefix);

std::string bootstrap_kubeconfig(const JoinTarget& target, const std::string& ca_pem);
// A kubeconfig of this machine's own that was made so leads to `url` from now on; OK where it does
// already, or where there is none.
Status lead_to(const std::string& kubeconfig, const std::string& url);

}  // namespace keles::machines
