#include "keles/controller_flags.h"

#include <algorithm>
#include <charconv>

#include "base/beneath.h"
#include "base/text_parts.h"
#include "controllers/manager.h"
#include "controllers/node_ipam.h"
#include "keles/leading.h"

namespace keles {
namespace {

constexpr int64_t kMostSyncs = 1000;

// Of "/tmp/a/b": b, over no link.
Status remove_below_tmp(const std::string& path) {
  constexpr std::string_view kTmp = "/tmp/";
  std::string rest = path;
  while (rest.ends_with('/')) rest.pop_back();
  if (!rest.starts_with(kTmp))
    return Status(Reason::kInvalid,
                  "host_path deleter only supports /tmp/.+ but received provided " + path);
  rest.erase(0, kTmp.size());
  TRY_ASSIGN(at, open_directory("/tmp"));
  if (const size_t slash = rest.rfind('/'); slash != std::string::npos) {
    auto parent = open_directory_beneath(at, rest.substr(0, slash));
    if (parent.status().is(Reason::kNotFound)) return {};
    if (!parent.ok()) return parent.status();
    at = std::move(*parent);
    rest.erase(0, slash + 1);
  }
  return remove_tree_beneath(at, rest);
}

std::string names(bool on_by_default) {
  std::vector<std::string_view> all;
  for (const auto& c : controllers::known_controllers()) {
    if (on_by_default || !c.on_by_default) all.push_back(c.name);
  }
  std::sort(all.begin(), all.end());
  std::string out;
  for (std::string_view name : all) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

void add_election_flags(Flags& f, ControllerFlags& c) {
  f.add(
      "leader-elect", &c.leader_elect,
      "Lead by a Lease before controllers and scheduler are run, as several control planes on one "
      "store must. A server that finds its own Lease of before leads at once.");
  add_lease_durations(f, c.election);
  f.add("leader-elect-resource-lock", &c.resource_lock,
        "The kind of object that is the lock. Supported: 'leases'.");
  f.add("leader-elect-resource-name", &c.resource_name,
        "The name of the controllers' Lease; the scheduler's is kube-scheduler.");
  f.add("leader-elect-resource-namespace", &c.election.ns, "The namespace of the Leases.");
}

void add_autoscaler_flags(Flags& f, ControllerFlags& c) {
  controllers::AutoscalingOptions& o = c.autoscaling;
  f.add("horizontal-pod-autoscaler-sync-period", &o.sync_period,
        "The period for syncing the number of pods in horizontal pod autoscaler.");
  f.add("horizontal-pod-autoscaler-downscale-stabilization", &o.downscale_stabilization,
        "The period for which autoscaler will look backwards and not scale down below any "
        "recommendation it made during that period.");
  f.add("horizontal-pod-autoscaler-tolerance", &c.tolerance,
        "The minimum change (from 1.0) in the desired-to-actual metrics ratio for the horizontal "
        "pod autoscaler to consider scaling.");
  f.add("horizontal-pod-autoscaler-cpu-initialization-period", &o.cpu_initialization_period,
        "The period after pod start when CPU samples might be skipped.");
  f.add("horizontal-pod-autoscaler-initial-readiness-delay", &o.initial_readiness_delay,
        "The period after pod start during which readiness changes will be treated as initial "
        "readiness.");
}

Status check_autoscaler_flags(ControllerFlags* c) {
  const char* end = c->tolerance.data() + c->tolerance.size();
  auto read = std::from_chars(c->tolerance.data(), end, c->autoscaling.tolerance);
  if (read.ec != std::errc() || read.ptr != end || c->autoscaling.tolerance < 0) {
    return Status::bad_request("invalid argument \"" + c->tolerance +
                               "\" for \"--horizontal-pod-autoscaler-tolerance\" flag: want a "
                               "number that is not negative");
  }
  if (c->autoscaling.sync_period < 1s)
    return Status::bad_request("--horizontal-pod-autoscaler-sync-period: want at least 1s");
  return {};
}

Status check_balancer_flags(ControllerFlags* c, std::string_view cluster_cidr) {
  TRY_ASSIGN(pool, read_load_balancer_pool(c->load_balancer_pool));
  c->pool = std::move(pool);
  if (c->pool.empty()) return {};
  if (c->local_load_balancers)
    return Status::bad_request(
        "--load-balancer-pool: balancers are the nodes' own addresses already: leave out "
        "--local-load-balancers");
  for (std::string_view one : split_list(cluster_cidr)) {
    const auto pods = IpPrefix::parse(one);
    const std::string both = pods ? c->pool.overlap(*pods) : "";
    if (!both.empty())
      return Status::bad_request("--load-balancer-pool: \"" + both + "\" has addresses of pods (" +
                                 pods->text() + "): want addresses that nobody else uses");
  }
  return {};
}

}  // namespace

Result<AddressPool> read_load_balancer_pool(const std::string& flag) {
  auto pool = AddressPool::parse(flag);
  if (!pool.ok()) return pool.status().with_prefix("--load-balancer-pool");
  return pool;
}

ControllerFlags::ControllerFlags() : controllers(controllers::Options().controllers) {
  for (const auto& c : controllers::known_controllers()) {
    if (!c.syncs_flag.empty()) syncs.emplace(c.syncs_flag, c.syncs);
  }
}

bool ControllerFlags::any() const {
  const auto all = controllers::known_controllers();
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& c) { return wants_controller(controllers, c); });
}

void ControllerFlags::apply(controllers::Options* out) const {
  out->controllers = controllers;
  out->node_mask_sizes = node_masks;
  out->local_load_balancers = local_load_balancers;
  out->load_balancer_pool = pool;
  for (const auto& [flag, n] : syncs) out->syncs[flag] = static_cast<int>(n);
  out->storage.local_path_directory = local_path_directory;
  out->storage.remove_host_path = remove_below_tmp;
}

void add_controller_flags(Flags& f, ControllerFlags& c) {
  f.add("controllers", &c.controllers,
        "A list of controllers to enable. '*' enables all on-by-default controllers, 'foo' enables "
        "the controller named 'foo', '-foo' disables the controller named 'foo'; an empty list: "
        "none runs. When not given: *,bootstrap-signer-controller,token-cleaner-controller.\nAll "
        "controllers: " +
            names(true) + "\nDisabled-by-default controllers: " + names(false));
  for (const auto& known : controllers::known_controllers()) {
    if (known.syncs_flag.empty()) continue;
    f.add(std::string(known.syncs_flag), &c.syncs.find(known.syncs_flag)->second,
          "How many objects the " + std::string(known.name) + " works on at once.");
  }
  f.add("node-cidr-mask-size", &c.node_masks.any,
        "Mask size for node cidr in cluster. Default is 24 for IPv4 and 64 for IPv6.");
  f.add("node-cidr-mask-size-ipv4", &c.node_masks.v4,
        "Mask size for IPv4 node cidr in dual-stack cluster. Default is 24.");
  f.add("node-cidr-mask-size-ipv6", &c.node_masks.v6,
        "Mask size for IPv6 node cidr in dual-stack cluster. Default is 64.");
  f.add("local-load-balancers", &c.local_load_balancers,
        "Services of type LoadBalancer without a class are served at the nodes' own addresses, "
        "where no cloud is; for clusters whose users may have the nodes' ports.");
  f.add("load-balancer-pool", &c.load_balancer_pool,
        "Services of type LoadBalancer without a class have addresses of these ranges, separated "
        "by commas (10.0.0.16/28, 10.0.0.16-10.0.0.31; of either family), which nobody else uses "
        "on the nodes' network. For each a node answers there, which is to have the same flag.");
  f.add("local-path-directory", &c.local_path_directory,
        "Where on each node volumes of the default class \"standard\" are kept, which is made with "
        "the cluster. When empty: there is none, and nobody provisions volumes.");
  f.add("kube-api-qps", &c.qps,
        "Requests a second that the controllers may send to the API server, a number; not above 0: "
        "no limit, as they are calls within this process.");
  f.add("kube-api-burst", &c.burst, "Requests that may be sent at once beyond --kube-api-qps.");
  add_autoscaler_flags(f, c);
  add_election_flags(f, c);
}

Status check_controller_flags(ControllerFlags* c, std::string_view cluster_cidr) {
  TRY(controllers::check_controllers(c->controllers));
  TRY_ASSIGN(ranges, controllers::read_node_ranges(cluster_cidr, c->node_masks));
  (void)ranges;
  TRY(check_autoscaler_flags(c));
  TRY(check_balancer_flags(c, cluster_cidr));
  for (const auto& [flag, n] : c->syncs) {
    if (n > 0 && n <= kMostSyncs) continue;
    return Status::bad_request(flag + " must be " +
                               (n <= 0 ? "greater than 0" : "not more than 1000") + ", but got " +
                               std::to_string(n));
  }
  const char* end = c->qps.data() + c->qps.size();
  auto read = std::from_chars(c->qps.data(), end, c->requests_per_second);
  if (read.ec != std::errc() || read.ptr != end) {
    return Status::bad_request("invalid argument \"" + c->qps +
                               "\" for \"--kube-api-qps\" flag: want a number");
  }
  if (c->requests_per_second > 0 && c->burst < 1)
    return Status::bad_request("--kube-api-burst: want at least 1");
  if (!c->leader_elect) return {};
  TRY(check_resource_lock(c->resource_lock));
  if (c->resource_name.empty() || c->election.ns.empty())
    return Status::bad_request("--leader-elect-resource-name and -namespace must not be empty");
  LeaderElectionOptions with_identity = c->election;
  with_identity.identity = "anybody";
  return check_leader_election(with_identity);
}

}  // namespace keles
