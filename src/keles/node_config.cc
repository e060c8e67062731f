#include "keles/node_config.h"

#include "api/core_v1.h"
#include "api/kubeletconfig_v1beta1.h"
#include "api/kubeproxyconfig_v1alpha1.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/config_file.h"

namespace keles {
namespace {

namespace kubelet = api::kubeletconfig_v1beta1;
namespace proxy = api::kubeproxyconfig_v1alpha1;

class Args {
 public:
  explicit Args(const Flags& given) : given_(given) {}
  void add(const char* flag, const std::string& value) {
    if (!given_.given(flag)) out_.push_back(std::string("--") + flag + "=" + value);
  }
  void text(const char* flag, std::string_view value) {
    if (!value.empty()) add(flag, std::string(value));
  }
  void number(const char* flag, int64_t value) { add(flag, std::to_string(value)); }
  void flag(const char* flag, bool value) { add(flag, value ? "true" : "false"); }
  void texts(const char* flag, const List<std::string_view>& values) {
    std::string all;
    for (std::string_view v : values) all += (all.empty() ? "" : ",") + std::string(v);
    text(flag, all);
  }
  // "memory.available<1Gi,..." of a map.
  void pairs(const char* flag, const Map<std::string_view>& map, char separator) {
    std::string all;
    for (auto [name, value] : map)
      all += (all.empty() ? "" : ",") + std::string(name) + separator + std::string(value);
    text(flag, all);
  }
  std::vector<std::string> take() { return std::move(out_); }

 private:
  const Flags& given_;
  std::vector<std::string> out_;
};

// [{numaNode: 0, limits: {memory: 1Gi}}]
Status read_reserved_memory(const ConfigFile& file, const Value& list, Args& args) {
  for (const Value& one : list.items()) {
    std::string amounts;
    for (const Member& m : one["limits"].members())
      amounts += (amounts.empty() ? "" : ",") + std::string(m.key()) + "=" +
                 std::string(m.value.as_string());
    if (!one["numaNode"].is_int() && !one["numaNode"].is_null())
      return file.error("reservedMemory", "numaNode: want a number");
    args.add("reserved-memory", std::to_string(one["numaNode"].as_int()) + ":" + amounts);
  }
  return {};
}

// [{priority: 1000, shutdownGracePeriodSeconds: 10}]
Status read_shutdown(const ConfigFile& file, const kubelet::KubeletConfiguration& c, Args& args) {
  args.text("shutdown-grace-period", c.shutdown_grace_period());
  args.text("shutdown-grace-period-critical-pods", c.shutdown_grace_period_critical_pods());
  std::string all;
  for (const Value& one : c.shutdown_grace_period_by_pod_priority().items()) {
    for (const Member& m : one.members())
      if ((m.key() != "priority" && m.key() != "shutdownGracePeriodSeconds") || !m.value.is_int())
        return file.error("shutdownGracePeriodByPodPriority",
                          std::string(m.key()) + ": unknown field, or no number");
    all += (all.empty() ? "" : ",") + std::to_string(one["priority"].as_int()) + ":" +
           std::to_string(one["shutdownGracePeriodSeconds"].as_int());
  }
  args.text("shutdown-grace-period-by-pod-priority", all);
  return {};
}

void read_managers(const kubelet::KubeletConfiguration& c, Args& args) {
  args.text("cpu-manager-policy", c.cpu_manager_policy());
  for (auto [name, value] : c.cpu_manager_policy_options())
    args.add("cpu-manager-policy-options", std::string(name) + "=" + std::string(value));
  args.text("cpu-manager-reconcile-period", c.cpu_manager_reconcile_period());
  args.text("reserved-cpus", c.reserved_system_cpus());
  args.text("memory-manager-policy", c.memory_manager_policy());
  args.text("topology-manager-policy", c.topology_manager_policy());
  args.text("topology-manager-scope", c.topology_manager_scope());
  args.pairs("topology-manager-policy-options", c.topology_manager_policy_options(), '=');
}

void read_eviction(const kubelet::KubeletConfiguration& c, Args& args) {
  args.pairs("eviction-hard", c.eviction_hard(), '<');
  args.flag("merge-default-eviction-settings", c.merge_default_eviction_settings());
  args.pairs("eviction-soft", c.eviction_soft(), '<');
  args.pairs("eviction-soft-grace-period", c.eviction_soft_grace_period(), '=');
  args.pairs("eviction-minimum-reclaim", c.eviction_minimum_reclaim(), '=');
  args.text("eviction-pressure-transition-period", c.eviction_pressure_transition_period());
  args.number("eviction-max-pod-grace-period", c.eviction_max_pod_grace_period());
  args.flag("local-storage-capacity-isolation", c.local_storage_capacity_isolation());
}

void read_images(const kubelet::KubeletConfiguration& c, Args& args) {
  args.number("image-gc-high-threshold", c.image_gc_high_threshold_percent());
  args.number("image-gc-low-threshold", c.image_gc_low_threshold_percent());
  args.text("minimum-image-ttl-duration", c.image_minimum_gc_age());
  args.text("maximum-image-ttl-duration", c.image_maximum_gc_age());
  args.flag("serialize-image-pulls", c.serialize_image_pulls());
  if (c.has_max_parallel_image_pulls())
    args.number("max-parallel-image-pulls", c.max_parallel_image_pulls());
  args.text("image-pull-credentials-verification-policy",
            c.image_pull_credentials_verification_policy());
  args.texts("preloaded-images-verification-allowlist",
             c.preloaded_images_verification_allowlist());
}

void read_kubelet(const kubelet::KubeletConfiguration& c, Args& args) {
  args.text("address", c.address());
  args.number("port", c.port());
  args.number("read-only-port", c.read_only_port());
  args.number("healthz-port", c.healthz_port());
  args.text("healthz-bind-address", c.healthz_bind_address());
  args.text("tls-cert-file", c.tls_cert_file());
  args.text("tls-private-key-file", c.tls_private_key_file());
  args.flag("rotate-certificates", c.rotate_certificates());
  args.flag("rotate-server-certificates", c.server_tls_bootstrap());
  const kubelet::KubeletAuthentication who = c.authentication();
  args.text("client-ca-file", who.x509().client_ca_file());
  args.flag("authentication-token-webhook", who.webhook().enabled());
  args.text("authentication-token-webhook-cache-ttl", who.webhook().cache_ttl());
  args.flag("anonymous-auth", who.anonymous().enabled());
  args.text("authorization-mode", c.authorization().mode());
  args.text("authorization-webhook-cache-authorized-ttl",
            c.authorization().webhook().cache_authorized_ttl());
  args.text("authorization-webhook-cache-unauthorized-ttl",
            c.authorization().webhook().cache_unauthorized_ttl());
  args.text("cluster-domain", c.cluster_domain());
  args.texts("cluster-dns", c.cluster_dns());
  args.text("cgroup-root", c.cgroup_root());
  args.number("max-pods", c.max_pods());
  args.text("resolv-conf", c.resolv_conf());
  args.texts("allowed-unsafe-sysctls", c.allowed_unsafe_sysctls());
  args.text("pod-logs-dir", c.pod_logs_dir());
  args.text("container-runtime-endpoint", c.container_runtime_endpoint());
  args.flag("enable-debugging-handlers", c.enable_debugging_handlers());
  args.flag("enable-system-log-handler", c.enable_system_log_handler());
  args.flag("enable-system-log-query", c.enable_system_log_query());
  args.text("container-log-max-size", c.container_log_max_size());
  args.number("container-log-max-files", c.container_log_max_files());
  args.text("container-log-monitor-interval", c.container_log_monitor_interval());
  std::string taints;
  for (const api::core_v1::Taint& t : c.register_with_taints()) {
    taints += (taints.empty() ? "" : ",") + std::string(t.key()) + "=" + std::string(t.value()) +
              ":" + std::string(t.effect());
  }
  args.text("register-with-taints", taints);
  read_eviction(c, args);
  read_images(c, args);
  args.text("pod-manifest-path", c.static_pod_path());
  args.text("file-check-frequency", c.file_check_frequency());
  args.text("manifest-url", c.static_pod_url());
  for (const Member& m : c.static_pod_url_header().members())
    for (const Value& v : m.value.items())
      args.add("manifest-url-header", std::string(m.key()) + ":" + std::string(v.as_string()));
  args.text("http-check-frequency", c.http_check_frequency());
  args.pairs("kube-reserved", c.kube_reserved(), '=');
  args.pairs("system-reserved", c.system_reserved(), '=');
  args.number("pod-max-pids", c.pod_pids_limit());
  read_managers(c, args);
  args.text("memory-swap-behavior", c.memory_swap()["swapBehavior"].as_string());
  if (const Value& ids = c.user_namespaces()["idsPerPod"]; ids.is_int())
    args.number("user-namespace-ids-per-pod", ids.as_int());
}

// "0.0.0.0:10256": the port, and that the address is the one where it is served.
Status read_port(const ConfigFile& file, const char* field, std::string_view value,
                 std::string_view address, const char* flag, Args& args) {
  const size_t colon = value.rfind(':');
  const std::string_view host = value.substr(0, colon);
  if (host != address) {
    return file.error(field, "want " + std::string(address) + ":PORT: it is served nowhere else");
  }
  args.text(flag, colon == std::string_view::npos ? "" : value.substr(colon + 1));
  return {};
}

// KubeProxyNFTablesConfiguration. Changes are applied as they come: the periods say nothing here.
Status read_nftables(const ConfigFile& file, const Value& rules, Args& args) {
  for (const Member& m : rules.members()) {
    const std::string field = "nftables." + std::string(m.key());
    if (m.key() == "masqueradeBit" && m.value.is_int()) {
      args.number("masquerade-bit", m.value.as_int());
    } else if (m.key() == "masqueradeAll" && m.value.is_bool()) {
      args.flag("masquerade-all", m.value.as_bool());
    } else if (m.key() != "syncPeriod" && m.key() != "minSyncPeriod") {
      return file.error(field.c_str(), "unknown field, or a value of another type");
    } else {
      log::warn("Configuration", {{"warning", field + ": nothing acts on it"}});
    }
  }
  return {};
}

Status read_proxy_rules(const ConfigFile& file, Args& args) {
  const proxy::KubeProxyConfiguration c(file.root());
  args.text("cluster-cidr", c.cluster_cidr());
  args.text("conntrack-tcp-timeout-established", c.conntrack().tcp_established_timeout());
  const proxy::KubeProxyConntrackConfiguration tracking = c.conntrack();
  args.text("conntrack-tcp-timeout-close-wait", tracking.tcp_close_wait_timeout());
  args.text("conntrack-udp-timeout", tracking.udp_timeout());
  args.text("conntrack-udp-timeout-stream", tracking.udp_stream_timeout());
  args.flag("conntrack-tcp-be-liberal", tracking.tcp_be_liberal());
  args.number("conntrack-max-per-core", tracking.max_per_core());
  args.number("conntrack-min", tracking.min());
  args.texts("nodeport-addresses", c.node_port_addresses());
  return read_nftables(file, c.nftables(), args);
}

// Of a proxy that runs in a node's process, which has a name and a connection already.
Status read_proxy(const ConfigFile& file, Args& args) {
  const proxy::KubeProxyConfiguration c(file.root());
  TRY(read_proxy_rules(file, args));
  const auto unread = [](const char* field, std::string_view value) {
    if (value.empty()) return;
    log::warn("Configuration", {{"warning", std::string(field) + ": nothing acts on it here"}});
  };
  unread("clientConnection.kubeconfig", c.client_connection().kubeconfig());
  unread("hostnameOverride", c.hostname_override());
  TRY(read_port(file, "healthzBindAddress", c.healthz_bind_address(), "0.0.0.0",
                "proxy-healthz-port", args));
  return read_port(file, "metricsBindAddress", c.metrics_bind_address(), "127.0.0.1",
                   "proxy-metrics-port", args);
}

Status read_own_proxy(const ConfigFile& file, Args& args) {
  const proxy::KubeProxyConfiguration c(file.root());
  TRY(read_proxy_rules(file, args));
  const auto connection = c.client_connection();
  args.text("kubeconfig", connection.kubeconfig());
  // Which upstream's defaults fill in where they are zero.
  if (connection.qps() > 0) args.text("kube-api-qps", std::to_string(connection.qps()));
  if (connection.burst() > 0) args.number("kube-api-burst", connection.burst());
  args.text("hostname-override", c.hostname_override());
  args.text("bind-address", c.bind_address());
  args.text("healthz-bind-address", c.healthz_bind_address());
  args.text("metrics-bind-address", c.metrics_bind_address());
  return {};
}

void tell(const ConfigFile& file) {
  for (const std::string& w : file.warnings()) log::warn("Configuration", {{"warning", w}});
}

}  // namespace

Result<std::vector<std::string>> with_node_config(const Flags& given,
                                                  const std::vector<std::string>& args,
                                                  const std::string& kubelet_file,
                                                  const std::string& proxy_file) {
  Args out(given);
  if (!kubelet_file.empty()) {
    TRY_ASSIGN(file, ConfigFile::read(kubelet_file,
                                      {"kubelet.config.k8s.io/v1beta1", "KubeletConfiguration"}));
    const kubelet::KubeletConfiguration config(file.root());
    read_kubelet(config, out);
    TRY(read_reserved_memory(file, config.reserved_memory(), out));
    TRY(read_shutdown(file, config, out));
    tell(file);
  }
  if (!proxy_file.empty()) {
    TRY_ASSIGN(file, ConfigFile::read(proxy_file, {"kubeproxy.config.k8s.io/v1alpha1",
                                                   "KubeProxyConfiguration"}));
    TRY(read_proxy(file, out));
    tell(file);
  }
  std::vector<std::string> all = out.take();
  all.insert(all.end(), args.begin(), args.end());
  return all;
}

Result<std::vector<std::string>> with_proxy_config(const Flags& given,
                                                   const std::vector<std::string>& args,
                                                   const std::string& file, std::string* json) {
  const ConfigKind kind{"kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"};
  Args out(given);
  TRY_ASSIGN(config, file.empty()
                         ? ConfigFile::parse("the defaults",
                                             "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n"
                                             "kind: KubeProxyConfiguration\n",
                                             kind)
                         : ConfigFile::read(file, kind));
  TRY(read_own_proxy(config, out));
  tell(config);
  *json = to_json(config.root());
  std::vector<std::string> all = out.take();
  all.insert(all.end(), args.begin(), args.end());
  return all;
}

}  // namespace keles
