// `keles server`: a control plane with certificates and a store of its own, in one directory.
#include <cstdio>

#include "base/flags.h"
#include "base/host_port.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/version.h"
#include "client/kubeconfig.h"
#include "keles/commands.h"
#include "keles/control_plane.h"
#include "keles/controller_flags.h"
#include "keles/flag_file.h"
#include "keles/flag_values.h"
#include "keles/identity_flags.h"
#include "keles/runtime.h"
#include "keles/server_node.h"
#include "keles/snapshot_flags.h"
#include "server/auth/auth.h"
#include "server/http/pki_files.h"

namespace keles {
namespace {

void add_flags(Flags& f, ControlPlaneOptions& s) {
  add_api_server_flags(f, s);
  f.add("data-dir", &s.data_dir, "Where the store and the certificates are kept.");
  f.add(
      "etcd-servers", &s.etcd.servers,
      "The URLs of an etcd cluster that holds the store, which several servers may share, instead "
      "of the data directory.");
  add_etcd_flags(f, s.etcd);
  add_snapshot_flags(f, s.snapshots);
  f.add("secure-port", &s.secure_port, "The port on which to serve HTTPS. 0: any free one.");
  f.add("cluster-cidr", &s.cluster_cidr,
        "The address range of pods in the cluster; two, of IPv4 and IPv6, separated by a comma, "
        "where "
        "nodes are given one of each.");
  f.add("allocate-node-cidrs", &s.allocate_node_cidrs,
        "Give each node a range of --cluster-cidr for its pods; off when that is empty.");
  f.add("cluster-domain", &s.cluster_domain, "Domain for this cluster.");
  f.add("control-plane-endpoint", &s.control_plane_endpoint,
        "HOST or HOST:PORT of what leads to all servers of the cluster (a load balancer): told to "
        "machines that join, and in the serving certificate. Empty: this server by itself.");
  f.add("tls-san", &s.tls_sans, "More names or addresses for the serving certificate.");
  f.add("write-kubeconfig", &s.write_kubeconfig,
        "Write a kubeconfig for the administrator to this file.");
  f.add("write-kubeconfig-server", &s.kubeconfig_server,
        "The URL in that file. When empty: https://<bind-address>:<secure-port>, or where that is "
        "every address, https://<advertise-address>:<secure-port>.");
  f.add("kubelet-certificate-authority", &s.kubelet_ca,
        "Path to a cert file for the certificate authority of kubelets; the cluster's own when "
        "empty.");
  f.add("kubelet-client-certificate", &s.kubelet_certificate,
        "Path to a client cert file for TLS towards kubelets; made in the data directory when "
        "empty.");
  f.add("memory-budget-mb", &s.memory_budget_mb,
        "Megabytes that encoded forms, decoded objects and recent events may take together, beyond "
        "the stored objects themselves; the oldest go first.");
  f.add("event-window", &s.event_window,
        "Recent events that are kept for watchers that come back; who comes later lists anew.");
  f.add("dns", &s.dns, "Run the cluster's DNS server.");
  f.add("dns-port", &s.dns_port,
        "The port of the cluster's DNS server behind the kube-dns service.");
  add_controller_flags(f, s.controlling);
  f.add("scheduler", &s.scheduler, "Run the scheduler.");
  f.add("scheduler-config", &s.scheduler_config,
        "A KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1) for the scheduler: its "
        "profiles with their plugins and arguments.");
  f.add("http-threads", &s.front_loops, "Threads that serve requests; 0: one per processor.");
  f.add_array("service-account-key-file", &s.account_key_files,
              "File containing a PEM-encoded x509 RSA or ECDSA private or public key, or a "
              "certificate of one, used to verify ServiceAccount tokens beside the server's own. "
              "May be given more than once.");
  f.add("node-monitor-grace-period", &s.node_monitor_grace_period,
        "How long a node may be silent before it is marked unhealthy.");
  f.add("node-monitor-period", &s.node_monitor_period, "How often nodes are looked at.");
  f.add("cluster-signing-duration", &s.cluster_signing_duration,
        "The max length of duration signed certificates will be given. Individual CSRs may request "
        "shorter certs by setting spec.expirationSeconds.");
}

// HOST or HOST:PORT; without one the port is kubeadm's.
Result<net::Endpoint> endpoint_of(const std::string& text) {
  constexpr uint16_t kPort = 6443;
  net::Endpoint out;
  if (IpAddress::parse(text)) {
    out.host = text;
    out.port = kPort;
    return out;
  }
  ClientConfig config;
  Status s = parse_server_url("https://" + text, &config);
  if (!s.ok() || config.endpoint.host.empty() || text.find('/') != std::string::npos)
    return Status::bad_request("--control-plane-endpoint: \"" + text +
                               "\": want HOST or HOST:PORT, an IPv6 address with a port as "
                               "[ADDRESS]:PORT");
  out.host = config.endpoint.host;
  out.port =
      text.ends_with(":" + std::to_string(config.endpoint.port)) ? config.endpoint.port : kPort;
  return out;
}

// All are the server's own, made at its first start below the data directory.
Result<Credentials> own_credentials(const ControlPlaneOptions& f, WallTime now) {
  TRY_ASSIGN(api_ip, nth_address(f.service_cidr, 1));
  const std::string directory = f.data_dir + "/pki";
  server::PkiNames names;
  names.dns_names = {"kubernetes", "kubernetes.default", "kubernetes.default.svc",
                     "kubernetes.default.svc." + f.cluster_domain, "localhost"};
  names.ip_addresses = {api_ip, f.advertise_address, "127.0.0.1"};
  if (auto bound = IpAddress::parse(f.bind_address); bound && !bound->is_unspecified())
    names.ip_addresses.push_back(f.bind_address);
  for (const std::string& san : f.tls_sans) {
    (IpAddress::parse(san) ? names.ip_addresses : names.dns_names).push_back(san);
  }
  Credentials c;
  TRY_ASSIGN(pki, server::ensure_pki(directory, names, now));
  TRY_ASSIGN(keys, auth::load_signing_keys(directory));
  c.pki = pki;
  c.keys = keys;
  TRY_ASSIGN(more, auth::read_keys(f.account_key_files));
  for (const auto& key : more) auth::add_key(key, &c.keys);
  c.issuers = f.issuers;
  c.audiences = f.audiences;
  c.client_ca_pem = pki.ca.certificate_pem;
  c.requestheader_ca_pem = pki.proxy_ca.certificate_pem;
  for (const char* name : {"ca", "apiserver", "apiserver-kubelet-client", "front-proxy-client"})
    for (const char* part : {".crt", ".key"}) c.files.push_back(directory + "/" + name + part);
  return c;
}

}  // namespace

int server_main(const std::vector<std::string>& args) {
  ControlPlaneOptions f;
  ServerNode node;
  f.bootstrap_tokens = true;
  f.metrics_api = true;
  std::string config;
  Flags flags(
      "Runs a control plane: API server, store, controllers, scheduler, DNS; and with --node a "
      "node, "
      "too.\n\nUsage:\n  keles "
      "server [flags]");
  add_flags(flags, f);
  add_server_node_flags(flags, node);
  flags.add("config", &config,
            "A YAML file of flags and their values, which those of the command line go before. "
            "Empty: /etc/keles/server.yaml, where there is one.");
  const auto with_file = with_flag_file(flags, "/etc/keles/server.yaml", args);
  if (!with_file.ok()) {
    std::fprintf(stderr, "error: %s\n", with_file.status().message().c_str());
    return 1;
  }
  const std::vector<std::string>& all = *with_file;
  return run_command(&flags, all, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(check_identity_flags(flags, &f));
    TRY(check_controller_flags(&f.controlling, f.allocate_node_cidrs ? f.cluster_cidr : ""));
    f.controllers = f.controlling.any();
    f.flags = flag_values(flags, all);
    if (!f.control_plane_endpoint.empty()) {
      TRY_ASSIGN(endpoint, endpoint_of(f.control_plane_endpoint));
      f.control_plane_endpoint = host_port(endpoint.host, endpoint.port);
      f.tls_sans.push_back(endpoint.host);
    }
    f.store_identity_file = f.data_dir + "/pki/store-identity";
    f.credentials = own_credentials;
    TRY(set_beside(&f, node));
    TRY(f.logging.apply());
    log::info("Starting control plane", {{"version", kGitVersion}});
    return run_program([f](Context ctx) { return run_control_plane(ctx, f); });
  });
}

}  // namespace keles
