#include "kind/cluster.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/host_port.h"
#include "base/ip.h"
#include "client/node_identity.h"
#include "kind/api_wait.h"
#include "kind/cgroups.h"
#include "kind/cluster_network.h"
#include "kind/cluster_pki.h"
#include "kind/control_planes.h"
#include "kind/host_check.h"
#include "kind/host_network.h"
#include "kind/layout.h"
#include "kind/node_mounts.h"
#include "kind/node_process.h"
#include "kind/pause_image.h"
#include "kind/run_program.h"
#include "kind/storage.h"

namespace keles::kind {
namespace {

constexpr char kVersion[] = "v1.36";
constexpr Duration kApiTimeout = 60s;
constexpr Duration kJoinTimeout = 60s;

// The image of every pod's sandbox, out of this program.
std::string pause_archive(const std::string& cluster) {
  return cluster_directory(cluster) + "/pause.tar";
}

// Runs `work(0)` ... `work(n - 1)` side by side; the first error.
Status in_parallel(size_t n, const std::function<Status(size_t)>& work) {
  std::vector<Status> results(n);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < n; ++i) threads.emplace_back([&, i] { results[i] = work(i); });
  for (std::thread& t : threads) t.join();
  for (Status& s : results)
    if (!s.ok()) return s;
  return Status();
}

std::string joined(const std::vector<std::pair<std::string, std::string>>& labels) {
  std::string out;
  for (const auto& [key, value] : labels) out += (out.empty() ? "" : ",") + key + "=" + value;
  return out;
}

const char* every_address(const ClusterConfig& config) {
  return config.family == IpFamily::kV4 ? "0.0.0.0" : "::";
}

// What a node says that its addresses are: those of the cluster's families.
std::string node_ips(const ClusterConfig& config, const NodeSpec& node) {
  if (config.family != IpFamily::kDual) return node.plain_address();
  const auto both = node.plain_addresses();
  return both.front() + "," + both.back();
}

// What of a subnet is for load balancers: by number, before the last few of it (of its first 65,536
// if it has more).
struct PoolNumbers {
  uint64_t first, last;
};
PoolNumbers pool_numbers(const IpPrefix& subnet) {
  const int bits = std::min(subnet.whole() - subnet.length, 16);
  const uint64_t end = uint64_t{1} << bits;
  return {end - 56, end - 6};
}

std::string pool_in(const IpPrefix& subnet) {
  const PoolNumbers numbers = pool_numbers(subnet);
  return subnet.nth(numbers.first)->text() + "-" + subnet.nth(numbers.last)->text();
}

// "": there is none.
std::string balancer_pool(const ClusterConfig& config, const NodeSubnets& subnets) {
  if (config.load_balancer_pool != "auto") return config.load_balancer_pool;
  std::string out;
  if (config.family != IpFamily::kV6) out = pool_in(subnets.v4);
  if (config.family != IpFamily::kV4 && subnets.v6)
    out += (out.empty() ? "" : ",") + pool_in(*subnets.v6);
  return out;
}

// `balancer`: before several control planes; null: there is one. `pool`: of Services' balancers.
Service server_service(const ClusterConfig& config, const NodeSpec& node, const NodeSpec* balancer,
                       const std::string& pool) {
  Service s{
      "server",
      {kNodeBinary, "server", std::string("--data-dir=") + kServerData,
       "--advertise-address=" + node.plain_address(), "--secure-port=" + std::to_string(kApiPort),
       "--service-cluster-ip-range=" + config.service_subnet, "--cluster-cidr=" + config.pod_subnet,
       std::string("--bind-address=") + every_address(config), "--dns-port=53",
       pool.empty() ? "--local-load-balancers" : "--load-balancer-pool=" + pool}};
  for (const std::string& san : config.tls_sans) s.argv.push_back("--tls-san=" + san);
  s.argv.insert(s.argv.end(), config.server_flags.begin(), config.server_flags.end());
  if (!config.api_server_address.empty() && config.api_server_address != "0.0.0.0" &&
      config.api_server_address != "::")
    s.argv.push_back("--tls-san=" + config.api_server_address);
  if (balancer)
    for (std::string& flag : shared_server_flags(*balancer)) s.argv.push_back(std::move(flag));
  return s;
}

bool in_namespace_of(std::string_view key, std::string_view domain) {
  std::string_view ns = key.substr(0, key.find('/'));
  return ns.size() < key.size() &&
         (ns == domain || (ns.ends_with(domain) && ns[ns.size() - domain.size() - 1] == '.'));
}

// The labels of a node, apart: those that its kubelet gives itself, and those that it may not
// (NodeRestriction), which the administrator gives. Those few of the system's labels that a node
// may set cost a request.
NodeLabels labels_of(const NodeConfig& wanted, bool own) {
  NodeLabels out, all(wanted.labels.begin(), wanted.labels.end());
  if (wanted.role == "control-plane") all.emplace_back("node-role.kubernetes.io/control-plane", "");
  for (auto& label : all) {
    const bool system =
        in_namespace_of(label.first, "kubernetes.io") || in_namespace_of(label.first, "k8s.io");
    if (system != own) out.push_back(std::move(label));
  }
  return out;
}

Service kubelet_service(const ClusterConfig& config, const NodeSpec& node, const NodeConfig& wanted,
                        const std::string& pool) {
  const NodeFiles files;
  Service s{
      "kubelet",
      {kNodeBinary, "kubelet", "--kubeconfig=" + files.kubeconfig,
       "--node-ip=" + node_ips(config, node), std::string("--address=") + every_address(config),
       "--hostname-override=" + node.name, "--cluster-dns=" + cluster_dns(config.service_subnet),
       "--cluster-domain=cluster.local", "--cgroup-root=/", "--cluster-cidr=" + config.pod_subnet,
       "--client-ca-file=" + files.ca, "--tls-cert-file=" + files.serving_certificate,
       "--tls-private-key-file=" + files.serving_key,
       std::string("--container-runtime-endpoint=unix://") + kContainerdSocket,
       // The machine is its owner's, who may like it full.
       "--eviction-hard=imagefs.available<0%,nodefs.available<0%,nodefs.inodesFree<0%"}};
  s.argv.push_back(std::string("--proxy-kubeconfig=") + kProxyKubeconfig);
  auto labels = labels_of(wanted, true);
  if (wanted.role == "control-plane" && !config.single_node() && !wanted.taints)
    s.argv.push_back("--register-with-taints=node-role.kubernetes.io/control-plane=:NoSchedule");
  if (wanted.taints)
    for (const std::string& t : *wanted.taints) s.argv.push_back("--register-with-taints=" + t);
  s.argv.insert(s.argv.end(), wanted.kubelet_flags.begin(), wanted.kubelet_flags.end());
  if (!labels.empty()) s.argv.push_back("--node-labels=" + joined(labels));
  if (!pool.empty()) s.argv.push_back("--load-balancer-pool=" + pool);
  if (config.disable_default_cni) s.argv.push_back("--pod-network=none");
  return s;
}

std::string address_in(const IpPrefix& subnet, int number) {
  return IpPrefix{*subnet.nth(static_cast<uint64_t>(number)), subnet.length}.text();
}

// A node with its name and place, and nothing in it yet.
NodeSpec place_node(const ClusterConfig& config, const NodeSubnets& subnets,
                    const std::string& name, const std::string& role, int number) {
  NodeSpec n;
  n.cluster = config.name;
  n.name = name;
  n.role = role;
  n.number = number;
  n.gateway = subnets.v4.nth(1)->text();
  n.address = address_in(subnets.v4, n.number);
  if (subnets.v6) {
    n.second_gateway = subnets.v6->nth(1)->text();
    n.second_address = address_in(*subnets.v6, n.number);
  }
  if (subnets.v6 && config.family == IpFamily::kV6) {
    std::swap(n.gateway, n.second_gateway);
    std::swap(n.address, n.second_address);
  }
  n.rootfs = node_rootfs(config.name, n.name);
  n.binary = program_path();
  return n;
}

// Where the API is reached from the host, if a port of it was asked for.
void add_api_port(const ClusterConfig& config, NodeSpec* front) {
  if (!config.api_server_port) return;
  const bool named = !config.api_server_address.empty();
  front->ports.push_back(
      {named ? config.api_server_address : "127.0.0.1", config.api_server_port, kApiPort});
}

}  // namespace

std::vector<NodeSpec> plan_nodes(const ClusterConfig& config, const NodeSubnets& subnets) {
  std::vector<NodeSpec> out;
  auto names = node_names(config);
  const std::string pool = balancer_pool(config, subnets);
  std::optional<NodeSpec> balancer;
  if (config.control_planes() > 1) {
    balancer = place_node(config, subnets, load_balancer_name(config.name), kLoadBalancerRole,
                          static_cast<int>(names.size()) + 2);
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const NodeConfig& wanted = config.nodes[i];
    NodeSpec n = place_node(config, subnets, names[i], wanted.role, static_cast<int>(i) + 2);
    n.mounts = wanted.mounts;
    n.ports = wanted.ports;
    n.containerd_patches = config.containerd_patches;
    n.images.push_back(pause_archive(config.name));
    n.services.push_back({"containerd", {"containerd"}});
    if (wanted.role == "control-plane") {
      n.services.push_back(server_service(config, n, balancer ? &*balancer : nullptr, pool));
      if (!balancer) add_api_port(config, &n);
    }
    n.services.push_back(storage_service(n));
    n.services.push_back(kubelet_service(config, n, wanted, pool));
    out.push_back(std::move(n));
  }
  if (!balancer) return out;
  const std::vector<NodeSpec> planes(
      out.begin(), out.begin() + static_cast<std::ptrdiff_t>(config.control_planes()));
  balancer->services = load_balancer_services(*balancer, planes, every_address(config));
  add_api_port(config, &*balancer);
  out.push_back(std::move(*balancer));
  return out;
}

namespace {

std::string hosts_file(const std::vector<NodeSpec>& nodes) {
  std::string out = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  for (const NodeSpec& n : nodes)
    for (const std::string& ip : n.plain_addresses()) out += ip + "\t" + n.name + "\n";
  return out;
}

std::string server_url(const ClusterConfig& config) {
  if (!config.api_server_port) return "";
  std::string address = config.api_server_address;
  if (address.empty() || address == "0.0.0.0") address = "127.0.0.1";
  if (address == "::") address = "::1";
  return "https://" + host_port(address, config.api_server_port);
}

Result<std::vector<NodeSpec>> prepare_nodes(const ClusterConfig& config) {
  TRY(make_directories(cluster_directory(config.name), 0700));
  std::vector<IpPrefix> reserved;
  for (const std::string& list : {config.pod_subnet, config.service_subnet}) {
    for (const IpPrefix& range : subnets_of(list)) reserved.push_back(range);
  }
  TRY(write_file(pause_archive(config.name), pause_image()));
  TRY_ASSIGN(subnets, ensure_bridge(config.name, reserved, config.family != IpFamily::kV4));
  const IpPrefix& subnet = subnets.v4;
  // The first is the bridge's, the last the load balancer's.
  const size_t last = config.nodes.size() + (config.control_planes() > 1 ? 2 : 1);
  const bool pooled = config.load_balancer_pool == "auto";
  if (!subnet.nth(last + 1) || (pooled && last >= pool_numbers(subnet).first)) {
    return Status::bad_request("no room for " + std::to_string(config.nodes.size()) + " nodes in " +
                               subnet.text());
  }
  TRY(open_outside(config.name, subnets));
  auto nodes = plan_nodes(config, subnets);
  std::string hosts = hosts_file(nodes);
  TRY(in_parallel(nodes.size(), [&](size_t i) -> Status {
    TRY(make_directories(nodes[i].rootfs));
    TRY(prepare_rootfs(nodes[i], hosts));
    return write_file(node_spec_path(config.name, nodes[i].name), format_node_spec(nodes[i]));
  }));
  return nodes;
}

Status wait_for_server(const KubeconfigEntry& entry, const NodeSpec& node) {
  Status s = wait_for_api(entry, kApiTimeout);
  if (s.ok()) return s;
  return s.with_prefix("the API server does not get ready (its log: " + node.rootfs +
                       "/var/log/server.log)");
}

// Every node is started, its server ready, its kubelet known.
Status start_cluster(const ClusterConfig& config, const std::vector<NodeSpec>& nodes,
                     const KubeconfigEntry& entry, Progress* progress) {
  const size_t planes = config.control_planes();
  if (planes > 1) {
    // First: the store is there when the servers look for it.
    progress->start("Configuring the external load balancer ⚖️");
    TRY(start_node(front_of(nodes)));
  }
  progress->start("Starting control-plane 🕹️");
  TRY(in_parallel(config.nodes.size(), [&](size_t i) { return start_node(nodes[i]); }));
  TRY(wait_for_server(entry, nodes[0]));
  progress->start("Installing StorageClass 💾");
  TRY(install_storage(entry, kApiTimeout));
  if (planes > 1) progress->start("Joining more control-plane nodes 🎮");
  for (size_t i = 0; planes > 1 && i < planes; ++i) {
    KubeconfigEntry own = entry;
    own.server = "https://" + host_port(nodes[i].plain_address(), kApiPort);
    TRY(wait_for_server(own, nodes[i]));
  }
  if (config.nodes.size() > planes) progress->start("Joining worker nodes 🚜");
  return wait_for_nodes(entry, config.nodes.size(), false, kJoinTimeout);
}

// The steps of `create`, each told to `progress`.
Status build_cluster(const ClusterConfig& config, const CreateOptions& options,
                     Progress* progress) {
  auto begin = std::chrono::steady_clock::now();
  progress->start(std::string("Ensuring node programs (keles ") + kVersion + ") 🖼");
  TRY(check_host());
  TRY(check_ports(config));
  std::string boxes;
  for (size_t i = 0; i < config.nodes.size(); ++i) boxes += "📦 ";
  progress->start("Preparing nodes " + boxes);
  TRY_ASSIGN(nodes, prepare_nodes(config));
  progress->start("Writing configuration 📜");
  TRY_ASSIGN(entry, make_cluster_identity(nodes, server_url(config)));
  TRY(in_parallel(nodes.size(), [&](size_t i) { return write_node_identity(nodes, nodes[i]); }));
  TRY(start_cluster(config, nodes, entry, progress));
  for (size_t i = 0; i < config.nodes.size(); ++i) {
    NodeLabels labels = labels_of(config.nodes[i], false);
    if (!labels.empty()) TRY(label_node(entry, nodes[i].name, labels, kJoinTimeout));
  }
  TRY(merge_kubeconfig(kubeconfig_to_write(options.kubeconfig), entry));
  if (options.wait.count() > 0) {
    progress->start("Waiting ≤ " + std::to_string(options.wait / 1s) + "s for nodes = Ready ⏳");
    Status ready = wait_for_nodes(entry, config.nodes.size(), true, options.wait);
    progress->end(ready.ok());
    double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    char text[64];
    std::snprintf(text, sizeof text, " • Ready after %.1fs 💚", seconds);
    progress->say(ready.ok() ? text : " • WARNING: Timed out waiting for Ready ⚠️");
  }
  progress->end(true);
  if (const NodeSpec& front = front_of(nodes); front.role == kLoadBalancerRole)
    progress->say(shared_store_note(front));
  return Status();
}

// The balancer apart ("": it is not among them): its store is there as long as a server is.
std::pair<std::vector<std::string>, std::string> without_balancer(const std::string& cluster,
                                                                  std::vector<std::string> nodes) {
  std::string name = load_balancer_name(cluster);
  if (std::erase(nodes, name) == 0) name.clear();
  return {std::move(nodes), std::move(name)};
}

// What an image archive can begin with: a tar header, or a compressed one.
bool looks_like_archive(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string head(512, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(in.gcount()));
  return (head.size() == 512 && head.compare(257, 5, "ustar") == 0) ||
         head.starts_with("\x1f\x8b") || head.starts_with("\x28\xb5\x2f\xfd");
}

}  // namespace

Status create_cluster(const ClusterConfig& config, const CreateOptions& options) {
  TRY(check_cluster_name(config.name));
  auto lock = StateLock::acquire();
  TRY(lock);
  if (!list_nodes(config.name).empty())
    return Status(Reason::kAlreadyExists,
                  "node(s) already exist for a cluster with the name \"" + config.name + "\"");
  Progress progress(options.quiet);
  progress.say("Creating cluster \"" + config.name + "\" ...");
  for (const std::string& w : config.warnings) progress.say("WARNING: " + w);
  Status s = build_cluster(config, options, &progress);
  if (s.ok()) return s;
  progress.end(false);
  if (!options.retain) (void)delete_cluster(config.name, options.kubeconfig);
  return s;
}

Result<std::vector<std::string>> delete_cluster(const std::string& cluster,
                                                const std::string& kubeconfig_flag) {
  TRY(check_cluster_name(cluster));
  auto nodes = list_nodes(cluster);
  TRY(in_parallel(nodes.size(), [&](size_t i) { return kill_node(cluster, nodes[i]); }));
  // What a killed `create` left without a record.
  TRY(remove_cgroup(cluster_cgroup(cluster)));
  TRY(close_outside(cluster));
  for (const std::string& node : nodes) release_storage(node_rootfs(cluster, node));
  TRY(remove_cluster_links(cluster));
  TRY(remove_tree(cluster_directory(cluster)));
  TRY(remove_from_kubeconfig(kubeconfig_to_write(kubeconfig_flag), context_name(cluster)));
  if (list_clusters().empty()) {
    restore_forwarding();
    remove_state_directory();
  }
  return nodes;
}

Status stop_nodes(const std::string& cluster, const std::vector<std::string>& nodes) {
  auto [others, balancer] = without_balancer(cluster, nodes);
  TRY(in_parallel(others.size(), [&](size_t i) { return stop_node(cluster, others[i]); }));
  return balancer.empty() ? Status() : stop_node(cluster, balancer);
}

Status start_nodes(const std::string& cluster, const std::vector<std::string>& nodes) {
  TRY_ASSIGN(subnets, ensure_bridge(cluster, {}, false));
  TRY(open_outside(cluster, subnets));
  auto start = [&cluster](const std::string& node) -> Status {
    if (node_pid(cluster, node)) return Status();
    TRY_ASSIGN(spec, load_node_spec(cluster, node));
    return start_node(spec);
  };
  auto [others, balancer] = without_balancer(cluster, nodes);
  if (!balancer.empty()) TRY(start(balancer));
  return in_parallel(others.size(), [&](size_t i) { return start(others[i]); });
}

Status load_archive(const std::string& cluster, const std::vector<std::string>& nodes,
                    const std::string& archive) {
  if (!path_exists(archive)) return Status::bad_request("no such file: " + archive);
  if (!looks_like_archive(archive))
    return Status::bad_request(
        archive +
        " is no image archive: wanted is what `docker save` or `podman save` "
        "writes (a tar file, also compressed)");
  return in_parallel(nodes.size(), [&](size_t i) -> Status {
    pid_t pid = node_pid(cluster, nodes[i]);
    if (!pid) return Status::unavailable("node \"" + nodes[i] + "\" is not running");
    std::string socket = "/proc/" + std::to_string(pid) + "/root" + kContainerdSocket;
    for (int i = 0; i < 200 && !path_exists(socket); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    TRY_ASSIGN(ctr,
               run_program({"ctr", "-a", socket, "-n", "k8s.io", "images", "import", archive}));
    if (ctr.exit_code == 0) return Status();
    return Status::bad_request("node \"" + nodes[i] + "\" cannot take the images of " + archive +
                               ": " + ctr.output);
  });
}

Result<KubeconfigEntry> admin_entry(const std::string& cluster) {
  auto entry = load_admin_entry(cluster);
  if (entry.ok()) return entry;
  return Status(Reason::kNotFound, "could not locate any control plane nodes for cluster named '" +
                                       cluster +
                                       "'. Use the --name option to select a different cluster");
}

Status export_logs(const std::string& cluster, const std::string& directory) {
  namespace fs = std::filesystem;
  auto nodes = list_nodes(cluster);
  if (nodes.empty()) return Status(Reason::kNotFound, "unknown cluster \"" + cluster + "\"");
  for (const std::string& node : nodes) {
    TRY(make_directories(directory + "/" + node));
    std::error_code e;
    fs::copy(node_rootfs(cluster, node) + "/var/log", directory + "/" + node,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing |
                 fs::copy_options::skip_symlinks,
             e);
    if (e) return Status::internal("copy logs of " + node + ": " + e.message());
  }
  return Status();
}

std::string cluster_of_node(const std::string& node) {
  for (const std::string& c : list_clusters())
    for (const std::string& n : list_nodes(c))
      if (n == node) return c;
  return "";
}

}  // namespace keles::kind
