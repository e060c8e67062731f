// `keles kubelet`: everything that a node runs: the kubelet, the pod network, the service proxy.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/address_pool.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/text_parts.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "client/kubeconfig.h"
#include "keles/code_pages.h"
#include "keles/commands.h"
#include "keles/controller_flags.h"
#include "keles/flag_values.h"
#include "keles/healthz_port.h"
#include "keles/host_address.h"
#include "keles/kubelet_configz.h"
#include "keles/kubelet_identity.h"
#include "keles/log_flags.h"
#include "keles/manager_flags.h"
#include "keles/node_config.h"
#include "keles/proxy_flags.h"
#include "keles/runtime.h"
#include "machinery/quantity.h"
#include "net/pki.h"
#include "node/certificates.h"
#include "node/cri/runtime.h"
#include "node/network/link_guard.h"
#include "node/network/node_network.h"
#include "node/node_agent.h"
#include "node/shutdown/shutdown_plan.h"
#include "proxy/announce/announcer.h"
#include "proxy/policy/enforcer.h"
#include "proxy/proxy.h"

namespace keles {
namespace {

struct KubeletFlags {
  std::string config, proxy_config;
  std::string kubeconfig, bootstrap_kubeconfig, proxy_kubeconfig, node_ip, name, client_ca_file,
      runtime_endpoint, pod_network = "bridge", load_balancer_pool;
  std::string cert_file, key_file, authorization_mode = "Webhook";
  std::string healthz_address = "127.0.0.1";
  int64_t port = 10250, read_only_port = 0, healthz_port = 10248;
  std::vector<std::string> labels, taints;
  bool network_policy = true, rotate_certificates = false;
  ProxyFlags proxy;
  ManagerFlags managers;
  proxy::HealthPorts proxy_ports;
  AddressPool announced;
  std::string eviction_hard = node::signal_map_text(node::EvictionSettings::default_hard(), '<');
  std::string eviction_soft, eviction_soft_grace, eviction_reclaim;
  bool eviction_merge = false;
  node::ShutdownSettings shutdown;
  std::string log_max_size = "10Mi";
  int64_t log_max_files = 5;
  bool serialize_pulls = true;
  int64_t parallel_pulls = 0;
  std::string verify_pulls, kube_reserved, system_reserved;
  int64_t pod_max_pids = -1, user_ids_per_pod = 65536;
  std::string swap_behavior, provider_config, provider_bin_dir;
  std::vector<std::string> manifest_headers;
  LogFlags logging;
  node::NodeOptions node;
};

void add_eviction_flags(Flags& f, KubeletFlags& k) {
  f.add("eviction-hard", &k.eviction_hard,
        "A set of eviction thresholds (e.g. memory.available<1Gi) that if met would trigger a pod "
        "eviction.");
  f.add("merge-default-eviction-settings", &k.eviction_merge,
        "Thresholds that --eviction-hard does not name keep their defaults.");
  f.add("eviction-soft", &k.eviction_soft,
        "A set of eviction thresholds (e.g. memory.available<1.5Gi) that if met over a "
        "corresponding grace period would trigger a pod eviction.");
  f.add("eviction-soft-grace-period", &k.eviction_soft_grace,
        "A set of eviction grace periods (e.g. memory.available=1m30s) that correspond to how long "
        "a soft eviction threshold must hold before triggering a pod eviction.");
  f.add("eviction-pressure-transition-period", &k.node.eviction.transition_period,
        "Duration for which the kubelet has to wait before transitioning out of an eviction "
        "pressure condition.");
  f.add("eviction-max-pod-grace-period", &k.node.eviction.max_pod_grace_seconds,
        "Maximum allowed grace period (in seconds) to use when terminating pods in response to a "
        "soft eviction threshold being met.");
  f.add("eviction-minimum-reclaim", &k.eviction_reclaim,
        "A set of minimum reclaims (e.g. imagefs.available=2Gi) that describes the minimum amount "
        "of resource the kubelet will reclaim when performing a pod eviction if that resource is "
        "under pressure.");
  f.add("local-storage-capacity-isolation", &k.node.local_storage_isolation,
        "Enforce the limits of emptyDirs and of local ephemeral storage.");
}

void add_resource_flags(Flags& f, KubeletFlags& k) {
  f.add("kube-reserved", &k.kube_reserved,
        "A set of ResourceName=ResourceQuantity (e.g. cpu=200m,memory=500Mi,ephemeral-storage=1Gi,"
        "pid=1000) pairs that describe resources reserved for kubernetes system components.");
  f.add("system-reserved", &k.system_reserved, "The same, reserved for non-kubernetes components.");
  f.add("pod-max-pids", &k.pod_max_pids,
        "Set the maximum number of processes per pod. If -1, as many as the node has.");
  k.managers.add(f, k.node.managers);
  f.add("memory-swap-behavior", &k.swap_behavior,
        "What pods have of the node's swap: NoSwap (the default), or LimitedSwap.");
  f.add("user-namespace-ids-per-pod", &k.user_ids_per_pod,
        "How many user ids a pod has that has users of its own (hostUsers: false); a multiple of "
        "65536.");
}

void add_shutdown_flags(Flags& f, KubeletFlags& k) {
  f.add("shutdown-grace-period", &k.shutdown.whole,
        "How long a shutdown of the machine waits for its pods to end (0: it does not); needs "
        "systemd's logind.");
  f.add("shutdown-grace-period-critical-pods", &k.shutdown.critical,
        "How much of --shutdown-grace-period is for critical pods, which end after the others.");
  f.add("shutdown-grace-period-by-pod-priority", &k.shutdown.by_priority,
        "In place of the two: priorities, and the seconds that pods of each have "
        "(\"0:60,100000:10\").");
}

void add_static_pod_flags(Flags& f, KubeletFlags& k) {
  node::StaticPodOptions& o = k.node.static_pods;
  f.add("pod-manifest-path", &o.path,
        "Path to the directory containing static pod files to run, or the path to a single static "
        "pod file. Files starting with dots will be ignored.");
  f.add("file-check-frequency", &o.file_period,
        "Duration between checking config files for new data.");
  f.add("manifest-url", &o.url, "URL for accessing additional Pod specifications to run.");
  f.add_array("manifest-url-header", &k.manifest_headers,
              "A header (\"name:value\") to use when accessing the URL of --manifest-url; may be "
              "given more than once.");
  f.add("http-check-frequency", &o.url_period, "Duration between checking http for new data.");
}

void add_image_flags(Flags& f, KubeletFlags& k) {
  node::NodeOptions& o = k.node;
  f.add("image-gc-high-threshold", &o.image_gc.high_percent,
        "The percent of disk usage after which image garbage collection is always run.");
  f.add("image-gc-low-threshold", &o.image_gc.low_percent,
        "The percent of disk usage before which image garbage collection is never run. Lowest disk "
        "usage to garbage collect to.");
  f.add("minimum-image-ttl-duration", &o.image_gc.min_age,
        "Minimum age for an unused image before it is garbage collected.");
  f.add("maximum-image-ttl-duration", &o.image_gc.max_age,
        "How long an image may be unused before it is garbage collected (0: for ever).");
  f.add("serialize-image-pulls", &k.serialize_pulls, "Pull images one at a time.");
  f.add("max-parallel-image-pulls", &k.parallel_pulls,
        "How many images are pulled at once when they are not pulled one at a time (0: any "
        "number).");
  f.add("image-credential-provider-config", &k.provider_config,
        "Path to a credential provider plugin config file (or a directory of such).");
  f.add("image-credential-provider-bin-dir", &k.provider_bin_dir,
        "The path to the directory where credential provider plugin binaries are located.");
  f.add("image-pull-credentials-verification-policy", &k.verify_pulls,
        "Whether a pod must show credentials for an image that is on the node already: "
        "NeverVerify, NeverVerifyPreloadedImages (the default), NeverVerifyAllowlistedImages or "
        "AlwaysVerify.");
  f.add("preloaded-images-verification-allowlist", &o.pull_verification.allowlist,
        "Repositories of which a pod needs no credentials, with NeverVerifyAllowlistedImages.");
}

void add_flags(Flags& f, KubeletFlags& k) {
  f.add("config", &k.config,
        "Path to a KubeletConfiguration file. Flags that are given overrule what it says.");
  f.add("proxy-config", &k.proxy_config, "Path to a KubeProxyConfiguration file, likewise.");
  f.add("kubeconfig", &k.kubeconfig,
        "Path to a kubeconfig file, specifying how to connect to the API server.");
  f.add(
      "bootstrap-kubeconfig", &k.bootstrap_kubeconfig,
      "Path to a kubeconfig file that will be used to get client certificate for kubelet. If the "
      "file specified by --kubeconfig does not exist, the bootstrap kubeconfig is used to request "
      "a client certificate from the API server. On success, a kubeconfig file referencing the "
      "certificate and key is written to the path specified by --kubeconfig.");
  f.add(
      "proxy-kubeconfig", &k.proxy_kubeconfig,
      "The same for the service proxy and the pod network, which look at every node: a node's own "
      "identity may see itself only. Empty: --kubeconfig's.");
  f.add("node-ip", &k.node_ip,
        "IP address (or comma-separated dual-stack IP addresses) of the node.");
  f.add("hostname-override", &k.name,
        "If non-empty, will be used as the node's name instead of the hostname.");
  f.add("node-labels", &k.labels, "Labels to add when registering the node in the cluster.");
  f.add(
      "register-with-taints", &k.taints,
      "Register the node with the given list of taints (comma separated <key>=<value>:<effect>).");
  f.add("container-runtime-endpoint", &k.runtime_endpoint,
        "The endpoint of container runtime service.");
  f.add("root-dir", &k.node.root,
        "Directory path for managing kubelet files (volume mounts, etc).");
  f.add("pod-logs-dir", &k.node.logs, "Directory of the containers' logs.");
  f.add("cgroup-root", &k.node.cgroup_root, "Optional root cgroup to use for pods.");
  f.add("cluster-dns", &k.node.cluster_dns, "Comma-separated list of DNS server IP address.");
  f.add("cluster-domain", &k.node.cluster_domain, "Domain for this cluster.");
  f.add("resolv-conf", &k.node.resolv_conf, "Resolver configuration file that pods start from.");
  f.add("max-pods", &k.node.max_pods, "Number of Pods that can run on this kubelet.");
  f.add("allowed-unsafe-sysctls", &k.node.allowed_unsafe_sysctls,
        "Comma-separated whitelist of unsafe sysctls or unsafe sysctl patterns (ending in *).");
  add_eviction_flags(f, k);
  add_image_flags(f, k);
  add_resource_flags(f, k);
  add_static_pod_flags(f, k);
  add_shutdown_flags(f, k);
  f.add("client-ca-file", &k.client_ca_file,
        "If set, any request presenting a client certificate signed by one of these authorities is "
        "authenticated.");
  f.add(
      "tls-cert-file", &k.cert_file,
      "File containing the serving certificate; self-signed when empty, which the API server of a "
      "cluster refuses: see `keles node-identity`.");
  f.add("tls-private-key-file", &k.key_file, "File containing its private key.");
  f.add("rotate-certificates", &k.rotate_certificates,
        "Auto rotate the kubelet client certificates by requesting new certificates from the API "
        "server when the certificate expiration approaches.");
  f.add("rotate-server-certificates", &k.node.rotate_server_certificates,
        "Request the serving certificate from the API server by certificate signing requests, "
        "which somebody must approve, and again as it approaches its expiration.");
  f.add("anonymous-auth", &k.node.auth.anonymous,
        "Enables anonymous requests to the Kubelet server.");
  f.add("authentication-token-webhook", &k.node.auth.token_webhook,
        "Use the TokenReview API to determine authentication for bearer tokens.");
  f.add("authentication-token-webhook-cache-ttl", &k.node.auth.token_ttl,
        "The duration to cache responses from the webhook token authenticator.");
  f.add("authorization-mode", &k.authorization_mode,
        "Authorization mode for Kubelet server: AlwaysAllow or Webhook (SubjectAccessReview).");
  f.add("authorization-webhook-cache-authorized-ttl", &k.node.auth.allowed_ttl,
        "The duration to cache 'authorized' responses from the webhook authorizer.");
  f.add("authorization-webhook-cache-unauthorized-ttl", &k.node.auth.refused_ttl,
        "The duration to cache 'unauthorized' responses from the webhook authorizer.");
  f.add("address", &k.node.listen_address, "The IP address for the Kubelet to serve on.");
  f.add("port", &k.port, "The port for the Kubelet to serve on.");
  f.add("read-only-port", &k.read_only_port,
        "The read-only port for the Kubelet to serve on with no authentication/authorization (set "
        "to 0 to disable).");
  f.add("healthz-bind-address", &k.healthz_address,
        "The IP address for the healthz server to serve on.");
  f.add("healthz-port", &k.healthz_port,
        "The port of the localhost healthz endpoint (set to 0 to disable).");
  f.add("enable-debugging-handlers", &k.node.debugging_handlers,
        "Enables server endpoints for log collection and local running of containers and "
        "commands.");
  f.add("enable-system-log-handler", &k.node.system_log_handler,
        "Enables the system's logs at /logs/.");
  f.add("enable-system-log-query", &k.node.system_log_query,
        "Enables queries of services' logs at /logs/?query=.");
  f.add("container-log-max-size", &k.log_max_size,
        "Set the maximum size (e.g. 10Mi) of container log file before it is rotated.");
  f.add("container-log-max-files", &k.log_max_files,
        "Set the maximum number of container log files that can be present for a container. The "
        "number must be >= 2.");
  f.add("container-log-monitor-interval", &k.node.log_monitor_interval,
        "How often containers' logs are looked at for rotation.");
  k.proxy.add(f);
  f.add("pod-network", &k.pod_network,
        "bridge: configure CNI, routes between nodes that share a link and a tunnel (VXLAN) to "
        "others; vxlan: the tunnel to all; none: leave that to somebody else.");
  f.add("load-balancer-pool", &k.load_balancer_pool,
        "The addresses of Services that this node may answer for on the link of --node-ip, as "
        "keles server has them by its flag of this name. Empty: it answers for none.");
  f.add("network-policy", &k.network_policy,
        "Enforce network policies on this node's pods; with --pod-network=none that is left to "
        "somebody else, too.");
  k.logging.add(f);
}

// What the kubelet serves with, and whom it believes.
Status read_certificates(KubeletFlags& k) {
  if (!k.client_ca_file.empty()) {
    TRY_ASSIGN(ca, read_file(k.client_ca_file));
    k.node.client_ca_pem = ca;
  }
  k.node.tls_certificate_file = k.cert_file;
  k.node.tls_key_file = k.key_file;
  if (!k.cert_file.empty()) {
    TRY_ASSIGN(certificate, read_file(k.cert_file));
    TRY_ASSIGN(key, read_file(k.key_file));
    k.node.tls = net::TlsIdentity{certificate, key};
  } else {
    // Upstream's default. The API server of a keles cluster refuses it: logs, exec and the like
    // need a certificate of the cluster's CA.
    if (!k.node.rotate_server_certificates) {
      log::warn("The serving certificate is self-signed: give --tls-cert-file one of the cluster's",
                {{"node", k.name}});
    }
    net::CertificateSpec spec;
    spec.common_name = k.name + "-ca";
    spec.not_before = {::time(nullptr) * 1'000'000'000LL - 3'600'000'000'000LL};
    spec.not_after = spec.not_before + 24h * 365 * 10;
    TRY_ASSIGN(ca, net::make_ca(spec));
    spec.common_name = k.name;
    spec.dns_names = {k.name};
    spec.ip_addresses = {k.node.address, "127.0.0.1"};
    if (!k.node.second_address.empty()) spec.ip_addresses.push_back(k.node.second_address);
    spec.server = true;
    TRY_ASSIGN(identity, net::issue_certificate(ca, spec));
    k.node.tls = identity;
  }
  return Status();
}

// Wrong thresholds end the process here, not when the node is short.
Status read_eviction(KubeletFlags& k) {
  node::EvictionSettings& e = k.node.eviction;
  TRY_ASSIGN(hard, node::parse_signal_map(k.eviction_hard, '<'));
  TRY_ASSIGN(soft, node::parse_signal_map(k.eviction_soft, '<'));
  TRY_ASSIGN(grace, node::parse_signal_map(k.eviction_soft_grace, '='));
  TRY_ASSIGN(reclaim, node::parse_signal_map(k.eviction_reclaim, '='));
  e.hard = hard;
  if (k.eviction_merge) e.hard.merge(node::EvictionSettings::default_hard());
  e.soft = soft;
  e.soft_grace = grace;
  e.minimum_reclaim = reclaim;
  return node::parse_thresholds(e).status();
}

Status read_log_rotation(KubeletFlags& k) {
  const auto size = Quantity::parse(k.log_max_size);
  if (!size.ok() || size->value() <= 0) {
    return Status::bad_request("--container-log-max-size: \"" + k.log_max_size +
                               "\" is not a positive quantity");
  }
  if (k.log_max_files < 2) return Status::bad_request("--container-log-max-files: want 2 or more");
  if (k.node.log_monitor_interval < 3s) {
    return Status::bad_request("--container-log-monitor-interval: want 3s or more");
  }
  k.node.log_max_bytes = size->value();
  k.node.log_max_files = static_cast<int>(std::min<int64_t>(k.log_max_files, 1000));
  return {};
}

// What it tells of itself, on /flagz and /configz. `args` as they were given, `all` with what files
// say.
Status read_about(const std::vector<std::string>& args, const Flags& flags,
                  const std::vector<std::string>& all, KubeletFlags& k) {
  KubeletFlags unused;
  Flags given("");
  add_flags(given, unused);
  TRY(given.parse(args));
  k.node.flags = flag_values(flags, all);
  TRY_ASSIGN(configz, kubelet_configz(k.config, given, flag_values(given, args)));
  k.node.configz = configz;
  return {};
}

// One address, or one of each family.
Result<std::vector<IpAddress>> parse_node_ips(const std::string& flag) {
  std::vector<IpAddress> out;
  for (std::string_view part : split(flag, ',')) {
    const std::string text(part);
    auto ip = IpAddress::parse(text);
    if (!ip) return Status::bad_request("--node-ip: \"" + text + "\" is not an IP address");
    if (!ip->is_global_unicast()) {
      // The API server would refuse to dial it.
      return Status::bad_request("--node-ip: \"" + text +
                                 "\" can't be an unspecified, loopback, multicast or link-local "
                                 "address");
    }
    out.push_back(*ip);
  }
  if (out.size() > 2 || (out.size() == 2 && out[0].v6() == out[1].v6())) {
    return Status::bad_request(
        "--node-ip: must contain either a single IP or a dual-stack pair of IPs");
  }
  return out;
}

Status read_credential_providers(KubeletFlags& k) {
  if (k.provider_config.empty() && k.provider_bin_dir.empty()) return {};
  if (k.provider_config.empty() || k.provider_bin_dir.empty())
    return Status::bad_request(
        "--image-credential-provider-config and --image-credential-provider-bin-dir go together");
  TRY_ASSIGN(all, node::read_credential_providers(k.provider_config, k.provider_bin_dir));
  k.node.credential_providers =
      std::make_shared<node::CredentialProviders>(std::move(all), k.provider_bin_dir);
  return {};
}

Status finish_options(KubeletFlags& k) {
  if (k.name.empty()) {
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    k.name = host;
  }
  if (k.node_ip.empty()) {
    TRY_ASSIGN(host, read_host_network());
    k.node_ip = default_route_address(host);
    if (k.node_ip.empty())
      return Status::bad_request(
          "--node-ip: the host has no default route with an address: say it");
  }
  TRY_ASSIGN(ips, parse_node_ips(k.node_ip));
  if (k.pod_network != "bridge" && k.pod_network != "vxlan" && k.pod_network != "none") {
    return Status::bad_request("--pod-network: \"" + k.pod_network +
                               "\" is none of bridge, vxlan and none");
  }
  k.node.name = k.name;
  k.node.address = ips.front().text();
  if (ips.size() == 2) k.node.second_address = ips.back().text();
  k.node.version = kGitVersion;
  if (k.runtime_endpoint.starts_with("unix://")) k.runtime_endpoint.erase(5, 2);
  if (!k.runtime_endpoint.empty()) k.node.runtime_endpoint = k.runtime_endpoint;
  if (k.node.cgroup_root == "/") k.node.cgroup_root.clear();
  for (const std::string& l : k.labels) {
    auto eq = l.find('=');
    k.node.labels[l.substr(0, eq)] = eq == std::string::npos ? "" : l.substr(eq + 1);
  }
  for (const std::string& t : k.taints) {
    auto colon = t.rfind(':');
    if (colon == std::string::npos) {
      return Status::bad_request("--register-with-taints: \"" + t +
                                 "\": want <key>=<value>:<effect>");
    }
    std::string head = t.substr(0, colon);
    auto eq = head.find('=');
    node::NodeTaint taint;
    taint.key = head.substr(0, eq);
    taint.value = eq == std::string::npos ? "" : head.substr(eq + 1);
    taint.effect = t.substr(colon + 1);
    k.node.taints.push_back(std::move(taint));
  }
  if (k.port < 1 || k.port > 65535 || k.read_only_port < 0 || k.read_only_port > 65535) {
    return Status::bad_request("--port and --read-only-port: want a port number up to 65535");
  }
  if (k.healthz_port < 0 || k.healthz_port > 65535 || !IpAddress::parse(k.healthz_address)) {
    return Status::bad_request(
        "--healthz-port and --healthz-bind-address: want a port number up to 65535, and an IP "
        "address");
  }
  TRY_ASSIGN(announced, read_load_balancer_pool(k.load_balancer_pool));
  k.announced = std::move(announced);
  TRY_ASSIGN(proxy_ports, k.proxy.ports());
  k.proxy_ports = proxy_ports;
  k.node.port = static_cast<uint16_t>(k.port);
  k.node.read_only_port = static_cast<uint16_t>(k.read_only_port);
  if (k.authorization_mode != "Webhook" && k.authorization_mode != "AlwaysAllow") {
    return Status::bad_request("--authorization-mode: \"" + k.authorization_mode +
                               "\" is neither Webhook nor AlwaysAllow");
  }
  k.node.auth.always_allow = k.authorization_mode == "AlwaysAllow";
  TRY(read_eviction(k));
  TRY_ASSIGN(shutdown, node::shutdown_periods(k.shutdown));
  k.node.shutdown = shutdown;
  TRY(read_log_rotation(k));
  if (k.serialize_pulls && k.parallel_pulls > 1)
    return Status::bad_request(
        "--max-parallel-image-pulls: cannot be larger than 1 unless --serialize-image-pulls=false");
  k.node.parallel_pulls = k.serialize_pulls ? 1 : k.parallel_pulls;
  TRY_ASSIGN(policy, node::verification_policy(k.verify_pulls));
  k.node.pull_verification.policy = policy;
  TRY(node::check(k.node.image_gc));
  for (const std::string& h : k.manifest_headers) {
    size_t colon = h.find(':');
    if (colon == std::string::npos || colon == 0)
      return Status::bad_request("--manifest-url-header: \"" + h + "\": want name:value");
    size_t value = std::min(h.find_first_not_of(' ', colon + 1), h.size());
    k.node.static_pods.url_headers.emplace_back(h.substr(0, colon), h.substr(value));
  }
  TRY_ASSIGN(kube, node::parse_reservation(k.kube_reserved));
  TRY_ASSIGN(system, node::parse_reservation(k.system_reserved));
  k.node.kube_reserved = kube;
  k.node.system_reserved = system;
  TRY(k.managers.finish(k.node.managers));
  k.node.pod_pids_limit = std::max<int64_t>(k.pod_max_pids, 0);
  if (!k.swap_behavior.empty() && k.swap_behavior != "NoSwap" && k.swap_behavior != "LimitedSwap")
    return Status::bad_request("--memory-swap-behavior: \"" + k.swap_behavior +
                               "\" is neither NoSwap nor LimitedSwap");
  k.node.limited_swap = k.swap_behavior == "LimitedSwap";
  if (k.user_ids_per_pod <= 0 || k.user_ids_per_pod > UINT32_MAX / 2)
    return Status::bad_request("--user-namespace-ids-per-pod is out of range");
  k.node.user_ids_per_pod = static_cast<uint32_t>(k.user_ids_per_pod);
  TRY(read_credential_providers(k));
  return read_certificates(k);
}
std::vector<IpAddress> own_addresses(const KubeletFlags& k) {
  std::vector<IpAddress> out;
  for (const std::string& ip : {k.node.address, k.node.second_address}) {
    if (auto address = IpAddress::parse(ip)) out.push_back(*address);
  }
  return out;
}

Task<void> run_proxy(proxy::Proxy* proxy, Context ctx) { co_await proxy->run(ctx); }
Task<void> run_enforcer(policy::Enforcer* enforcer, Context ctx) { co_await enforcer->run(ctx); }

Task<void> run_announcer(announce::Announcer* announcer, Context ctx) {
  co_await announcer->run(ctx);
}

// Of load balancer addresses of the pool, on the link of the node's own.
std::unique_ptr<announce::Announcer> make_announcer(Loop& loop, InformerFactory& informers,
                                                    const KubeletFlags& k) {
  announce::AnnouncerOptions o;
  o.node_name = k.name;
  o.pool = k.announced;
  o.node_ips = own_addresses(k);
  Loop* l = &loop;
  auto open = [l, ips = o.node_ips] { return announce::open_link(*l, ips); };
  return std::make_unique<announce::Announcer>(informers, std::move(o), std::move(open));
}

Task<void> run_links(LinkGuard* links, Context ctx) { co_await links->run(ctx); }

Task<Result<std::vector<std::string>>> sandbox_ids(Context ctx, node::cri::Runtime* runtime) {
  TRY_ASSIGN_CO(all, runtime->list_sandboxes(ctx, ""));
  std::vector<std::string> out;
  for (const node::cri::Sandbox& s : all) out.push_back(s.id);
  co_return out;
}

using GuardNetwork = decltype(node::NodeOptions::guard_network);
Task<Status> guard_both(Context ctx, LinkGuard* links, GuardNetwork policies,
                        Ref<api::core_v1::Pod> pod, std::string sandbox,
                        std::vector<std::string> ips) {
  TRY_CO(links->admit(ctx, sandbox, ips));
  if (!policies) co_return Status();
  co_return co_await policies(ctx, std::move(pod), std::move(sandbox), std::move(ips));
}

// What its link may say comes before what policies say of it.
GuardNetwork guard_links(LinkGuard* links, GuardNetwork policies) {
  return
      [links, policies = std::move(policies)](Context ctx, Ref<api::core_v1::Pod> pod,
                                              std::string sandbox, std::vector<std::string> ips) {
        return guard_both(ctx, links, policies, std::move(pod), std::move(sandbox), std::move(ips));
      };
}

// What starting needed, and now and then what pods that came and went did, need not stay mapped.
Task<void> release_code_at_rest(Context ctx) {
  Status s = co_await ctx.sleep(15s);
  while (s.ok()) {
    release_code_pages();
    s = co_await ctx.sleep(600s);
  }
}

Task<Status> run_node(Context ctx, KubeletFlags k) {
  if (!k.bootstrap_kubeconfig.empty()) {
    const BootstrapOptions own{k.name, k.bootstrap_kubeconfig, k.kubeconfig, k.node.root + "/pki"};
    Status known = co_await ensure_identity(ctx, own);
    if (!known.ok()) co_return known;
  }
  KubeconfigChoice choice;
  choice.path = k.kubeconfig;
  Result<ClientConfig> config = load_client_config(choice);
  if (!config.ok()) co_return config.status();
  HttpsClientOptions client_options;
  client_options.user_agent = "kubelet/" + std::string(kGitVersion);
  auto client = std::make_unique<HttpsClient>(ctx.loop(), *config, client_options);
  choice.path = k.proxy_kubeconfig.empty() ? k.kubeconfig : k.proxy_kubeconfig;
  Result<ClientConfig> proxy_config = load_client_config(choice);
  if (!proxy_config.ok()) co_return proxy_config.status();
  client_options.user_agent = "kube-proxy/" + std::string(kGitVersion);
  auto proxy_client = std::make_unique<HttpsClient>(ctx.loop(), *proxy_config, client_options);
  Context all = ctx.child();
  TaskGroup group(ctx.loop());
  InformerFactory informers(*proxy_client);
  std::unique_ptr<proxy::Proxy> proxy;
  std::unique_ptr<proxy::HealthServer> proxy_health;
  if (k.proxy.enabled) {
    auto options = k.proxy.options(k.name, own_addresses(k));
    if (!options.ok()) co_return options.status();
    proxy = std::make_unique<proxy::Proxy>(informers, proxy::make_kernel(), std::move(*options));
    group.spawn(run_proxy(proxy.get(), all));
    proxy_health = std::make_unique<proxy::HealthServer>(ctx.loop(), proxy.get(), k.proxy_ports);
  }
  std::unique_ptr<announce::Announcer> announcer;
  if (!k.announced.empty()) {
    announcer = make_announcer(ctx.loop(), informers, k);
    group.spawn(run_announcer(announcer.get(), all));
    k.node.lease_renewed = [a = announcer.get()](TimePoint begun) { a->renewed(begun); };
  }
  std::unique_ptr<policy::Enforcer> enforcer;
  if (k.network_policy && k.pod_network != "none") {
    if (!proxy::bridge_passes_ip_hooks()) {
      log::error(
          "Network policies do not hold between pods of this node: the kernel does not show what "
          "passes a bridge (br_netfilter is missing)",
          {{"node", k.name}});
    }
    enforcer =
        std::make_unique<policy::Enforcer>(*proxy_client, k.name, policy::apply_policy_rules);
    group.spawn(run_enforcer(enforcer.get(), all));
    k.node.guard_network = [e = enforcer.get()](Context c, Ref<api::core_v1::Pod> pod, std::string,
                                                std::vector<std::string> ips) {
      return e->admit(c, std::move(pod), std::move(ips));
    };
  }
  informers.start(all);
  std::unique_ptr<node::cri::Runtime> runtime;
  std::unique_ptr<LinkGuard> links;
  if (k.pod_network != "none") {
    NodeNetworkOptions network;
    network.tunnel_to_all = k.pod_network == "vxlan";
    group.spawn(run_node_network(all, proxy_client.get(), k.name, network));
    runtime = node::cri::make_cri_runtime(ctx.loop(), k.node.runtime_endpoint);
    links =
        std::make_unique<LinkGuard>([r = runtime.get()](Context c) { return sandbox_ids(c, r); },
                                    LinkPlaces(), LinkTable::real_kernel());
    group.spawn(run_links(links.get(), all));
    k.node.guard_network = guard_links(links.get(), std::move(k.node.guard_network));
  }
  if (k.rotate_certificates && config->endpoint.tls && config->endpoint.tls->identity) {
    node::ClientCertificateOptions o;
    o.node_name = k.name;
    o.certificate_pem = config->endpoint.tls->identity->certificate_pem;
    o.directory = k.node.root + "/pki";
    o.ca_pem = config->endpoint.tls->ca_pem;
    HttpsClient* proxies = k.proxy_kubeconfig.empty() ? proxy_client.get() : nullptr;
    std::function<void(net::TlsIdentity)> use = [c = client.get(),
                                                 proxies](net::TlsIdentity identity) {
      if (proxies != nullptr) proxies->set_identity(identity);
      c->set_identity(std::move(identity));
    };
    group.spawn(node::keep_client_certificate(all, std::move(o), client.get(), std::move(use)));
  }
  HealthzPort healthz(ctx.loop(), k.healthz_address, static_cast<uint16_t>(k.healthz_port));
  group.spawn(release_code_at_rest(all));
  Status s = co_await node::run_node_agent(all, k.node, client.get());
  all.cancel();
  if (proxy_health) co_await proxy_health->stop(ctx);
  co_await healthz.stop(ctx);
  co_await group.join();
  co_await informers.join();
  co_return s;
}

// The arguments with what configuration files say before them. One that is wrong ends the process.
std::vector<std::string> with_files(const std::vector<std::string>& args) {
  KubeletFlags k;
  Flags given("");
  add_flags(given, k);
  if (!given.parse(args).ok() || given.help_wanted()) return args;  // it will be told
  auto all = with_node_config(given, args, k.config, k.proxy_config);
  if (all.ok()) return *all;
  std::fprintf(stderr, "error: %s\n", all.status().message().c_str());
  std::exit(1);
}

}  // namespace

namespace {

int run_kubelet(const std::vector<std::string>& args, const char* help, bool alone) {
  KubeletFlags k;
  Flags flags(help);
  add_flags(flags, k);
  const std::vector<std::string> all = with_files(args);
  flags.require("kubeconfig");
  if (!alone) flags.require("node-ip");
  return run_command(&flags, all, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(read_about(args, flags, all, k));
    TRY(finish_options(k));
    TRY(k.logging.apply());
    log::info("Starting kubelet", {{"version", kGitVersion}, {"node", k.name}});
    return run_program([k](Context ctx) { return run_node(ctx, k); });
  });
}

}  // namespace

int kubelet_main(const std::vector<std::string>& args) {
  return run_kubelet(args,
                     "Runs a node: the kubelet, its pod network, its service proxy and its network "
                     "policies.\n\nUsage:\n  keles kubelet [flags]",
                     false);
}

// What else a node runs is then somebody else's, unless flags say otherwise.
int own_kubelet_main(const std::vector<std::string>& args) {
  std::vector<std::string> own{"--proxy=false", "--pod-network=none"};
  own.insert(own.end(), args.begin(), args.end());
  return run_kubelet(own,
                     "Runs the kubelet by itself, without pod network, service proxy and network "
                     "policies.\n\nUsage:\n  kubelet [flags]",
                     true);
}

}  // namespace keles
