// A control plane in one process: API server, store, controllers, scheduler, DNS; and what its
// commands (`server`, `kube-apiserver`) decide from their flags.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/flags.h"
#include "base/loop.h"
#include "base/status.h"
#include "base/task.h"
#include "keles/controller_flags.h"
#include "keles/etcd_flags.h"
#include "keles/log_flags.h"
#include "net/pki.h"
#include "server/audit/options.h"
#include "server/auth/auth.h"
#include "server/http/pki_files.h"
#include "server/identity/reload.h"
#include "server/objects/kubelet_address.h"
#include "server/server.h"
#include "store/snapshots.h"

namespace keles {

// What the server shows, whom it believes, and how it signs.
struct Credentials {
  server::PkiFiles pki;       // ca: that of kubelets and of the administrator's certificate
  std::string client_ca_pem;  // "": client certificates say nothing
  net::SigningKeys keys;
  std::vector<std::string> issuers;  // the first signs; none: the cluster's own
  std::vector<std::string> audiences;
  // By which CA extension API servers know this server, and by which names; "": by none.
  std::string requestheader_ca_pem;
  std::vector<std::string> requestheader_allowed_names;
  // Where certificates and keys lie: what changes in them is taken into use as it is.
  std::vector<std::string> files;
};

struct ControlPlaneOptions {
  std::string data_dir = "/var/lib/keles";  // holds "store" and, unless told otherwise, "pki"
  std::string store_identity_file;          // EmbeddedOptions::identity_file
  SnapshotSchedule snapshots;               // taken by the server itself
  EtcdFlags etcd;                           // where the store is instead, if servers are named
  std::string bind_address = "0.0.0.0", advertise_address;
  int64_t secure_port = 6443;
  std::string service_cidr = "10.96.0.0/16", cluster_cidr = "10.244.0.0/16";
  std::string node_port_range = "30000-32767", cluster_domain = "cluster.local";
  std::vector<std::string> tls_sans;
  // HOST or HOST:PORT under which all servers of the cluster are reached; "": there is but this.
  std::string control_plane_endpoint;
  std::string write_kubeconfig, kubeconfig_server, token_auth_file;
  std::string kubelet_ca, kubelet_certificate, kubelet_key;
  registry::AddressTypes kubelet_addresses = registry::kubelet_address_types();
  int64_t dns_port = 10053;
  std::vector<std::string> enable_admission, disable_admission;
  std::vector<std::string> authorization_modes = {"Node", "RBAC"};
  // Whom else is asked who somebody is and what they may do, by files and flags.
  identity::Sources identity;
  bool bootstrap_tokens = false;
  // Of --service-account-*: what is not about keys.
  auth::AccountTokens account_tokens;
  std::vector<std::string> issuers, audiences, account_key_files;
  // A proxy in front that says for whom it asks, if a CA is given and a field for the user.
  std::string front_proxy_ca;
  auth::FrontProxy front_proxy;
  std::string admission_config;
  int64_t not_ready_toleration_seconds = 300;
  int64_t unreachable_toleration_seconds = 300;
  audit::Options audit;
  std::string encryption_config;
  bool encryption_reload = false;
  ControllerFlags controlling;
  std::string scheduler_config;  // a file; empty: the default profile
  bool dns = true, controllers = true, scheduler = true, allocate_node_cidrs = true;
  bool anonymous_auth = true;
  bool metrics_api = false;  // metrics.k8s.io is served, of what the kubelets tell
  int64_t memory_budget_mb = 64;
  int64_t event_window = 100'000;
  Duration event_ttl = 1h;
  bool priority_and_fairness = true;
  int64_t max_requests_inflight = 400, max_mutating_requests_inflight = 200;
  int64_t front_loops = 0;
  Duration node_monitor_grace_period = 40s, node_monitor_period = 5s;
  Duration cluster_signing_duration = 8760h;
  LogFlags logging;
  std::map<std::string, std::string> flags;  // as they were given: /flagz
  // Reads, makes or renews the credentials. Blocking; called before anything is opened, and again
  // when Credentials::files change and once an hour: of what it tells then, certificates count.
  std::function<Result<Credentials>(const ControlPlaneOptions&, WallTime now)> credentials;
  // Runs beside the server until its context ends; may be null.
  std::function<Task<void>(Context ctx, ApiServer* api)> beside;
};

// The flags that every command with an API server has.
void add_api_server_flags(Flags& f, ControlPlaneOptions& options);

// Until ctx ends, which is no error.
Task<Status> run_control_plane(Context ctx, ControlPlaneOptions options);

// The first address of a service range "10.96.0.0/16", the second, ...
Result<std::string> nth_address(const std::string& cidr, uint32_t n);
// Where members of the cluster find a server that is bound there, when nobody has said so.
std::string choose_advertise_address(const std::string& bind_address);

}  // namespace keles
