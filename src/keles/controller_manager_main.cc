// `kube-controller-manager`: the controllers as a process of their own, with upstream's flags,
// against any API server.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

#include "base/file.h"
#include "base/flags.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "client/https_client.h"
#include "client/https_paths.h"
#include "client/rate_limited_client.h"
#include "controllers/manager.h"
#include "keles/account_clients.h"
#include "keles/commands.h"
#include "keles/component_client.h"
#include "keles/component_server.h"
#include "keles/controller_flags.h"
#include "keles/flag_values.h"
#include "keles/leading.h"
#include "keles/log_flags.h"
#include "keles/remote_catalog.h"
#include "keles/runtime.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "net/pki.h"
#include "server/auth/auth.h"

namespace keles {
namespace {

struct ManagerFlags {
  ControllerFlags controlling;
  ServingFlags serving;
  controllers::Options options;
  std::string kubeconfig, master, cluster_name = "kubernetes";
  std::string root_ca, signing_key, signer_certificate, signer_key;
  std::string eviction_rate = "0.1", secondary_rate = "0.01", unhealthy_zone = "0.55";
  int64_t large_cluster = 50, terminated_pods = 12500, slice_endpoints = 100;
  bool own_accounts = false, allow_untagged = false;
  LogFlags logging;
};

void add_node_flags(Flags& f, ManagerFlags& m) {
  controllers::Options& o = m.options;
  f.add("allocate-node-cidrs", &o.allocate_node_cidrs,
        "Should CIDRs for Pods be allocated and set on the nodes. Requires --cluster-cidr.");
  f.add("cluster-cidr", &o.cluster_cidr,
        "CIDR Range for Pods in cluster. Only used when --allocate-node-cidrs=true; if false, this "
        "option will be ignored.");
  f.add("service-cluster-ip-range", &o.service_cidr,
        "CIDR Range for Services in cluster. Only used when --allocate-node-cidrs=true; if false, "
        "this option will be ignored.");
  f.add("node-monitor-period", &o.node_monitor_period, "How often nodes are looked at.");
  f.add("node-monitor-grace-period", &o.node_monitor_grace_period,
        "How long a node may be silent before it is marked unhealthy.");
  f.add("node-startup-grace-period", &o.node_startup_grace_period,
        "How long a node that starts may be silent before it is marked unhealthy.");
  f.add("node-eviction-rate", &m.eviction_rate,
        "Number of nodes per second on which pods are deleted in case of node failure when a zone "
        "is healthy.");
  f.add("secondary-node-eviction-rate", &m.secondary_rate,
        "Number of nodes per second on which pods are deleted in case of node failure when a zone "
        "is unhealthy.");
  f.add("unhealthy-zone-threshold", &m.unhealthy_zone,
        "Fraction of Nodes in a zone which needs to be not Ready (minimum 3) for zone to be "
        "treated as unhealthy.");
  f.add("large-cluster-size-threshold", &m.large_cluster,
        "Number of nodes from which the cluster is treated as large for the eviction logic. "
        "--secondary-node-eviction-rate is implicitly overridden to 0 for clusters this size or "
        "smaller.");
}

void add_flags(Flags& f, ManagerFlags& m) {
  f.add("kubeconfig", &m.kubeconfig,
        "Path to kubeconfig file with authorization and master location information (the master "
        "location can be overridden by the master flag).");
  f.add("master", &m.master,
        "The address of the Kubernetes API server (overrides any value in kubeconfig).");
  m.serving.add(f);
  add_controller_flags(f, m.controlling);
  add_node_flags(f, m);
  f.add("use-service-account-credentials", &m.own_accounts,
        "If true, use individual service account credentials for each controller.");
  f.add("root-ca-file", &m.root_ca,
        "If set, this root certificate authority will be included in service account's token "
        "secret and published as kube-root-ca.crt. This must be a valid PEM-encoded CA bundle.");
  f.add("service-account-private-key-file", &m.signing_key,
        "Filename containing a PEM-encoded private RSA or ECDSA key used to sign service account "
        "tokens of Secrets.");
  f.add("cluster-signing-cert-file", &m.signer_certificate,
        "Filename containing a PEM-encoded X509 CA certificate used to issue cluster-scoped "
        "certificates.");
  f.add("cluster-signing-key-file", &m.signer_key,
        "Filename containing a PEM-encoded RSA or ECDSA private key used to sign cluster-scoped "
        "certificates.");
  f.add("cluster-signing-duration", &m.options.cluster_signing_duration,
        "The max length of duration signed certificates will be given. Individual CSRs may request "
        "shorter certs by setting spec.expirationSeconds.");
  f.add("cluster-name", &m.cluster_name,
        "The instance prefix for the cluster, which the names of what is made at a cloud provider "
        "bear.");
  f.add("terminated-pod-gc-threshold", &m.terminated_pods,
        "Number of terminated pods that can exist before the terminated pod garbage collector "
        "starts deleting terminated pods. If <= 0, the terminated pod garbage collector is "
        "disabled.");
  f.add("max-endpoints-per-slice", &m.slice_endpoints,
        "The maximum number of endpoints that will be added to an EndpointSlice.");
  f.add("legacy-service-account-token-clean-up-period", &m.options.legacy_token_unused_for,
        "The period of time since the last usage of a legacy service account token before it can "
        "be deleted.");
  m.logging.add(f);
}

Status read_rates(ManagerFlags* m) {
  controllers::Options& o = m->options;
  TRY_ASSIGN(rate, number_of("node-eviction-rate", m->eviction_rate));
  TRY_ASSIGN(secondary, number_of("secondary-node-eviction-rate", m->secondary_rate));
  TRY_ASSIGN(unhealthy, number_of("unhealthy-zone-threshold", m->unhealthy_zone));
  o.node_eviction_rate = rate;
  o.secondary_node_eviction_rate = secondary;
  o.unhealthy_zone_threshold = unhealthy;
  for (auto [flag, n, least] : {std::tuple("--large-cluster-size-threshold", m->large_cluster, 0),
                                {"--max-endpoints-per-slice", m->slice_endpoints, 1}}) {
    if (n < least || n > 1'000'000) {
      return Status::bad_request(std::string(flag) + ": want " + std::to_string(least) +
                                 " to 1000000");
    }
  }
  o.large_cluster_size_threshold = static_cast<int>(m->large_cluster);
  o.terminated_pod_gc_threshold =
      static_cast<int>(std::clamp<int64_t>(m->terminated_pods, 0, 1'000'000'000));
  o.endpoints_per_slice = static_cast<int>(m->slice_endpoints);
  return {};
}

// With what certificates and tokens are signed.
Status read_keys(ManagerFlags* m) {
  controllers::Options& o = m->options;
  if (!m->root_ca.empty()) {
    TRY_ASSIGN(ca, read_file(m->root_ca));
    TRY(net::parse_certificate(ca).status());
    o.root_ca_pem = ca;
  }
  if (!m->signing_key.empty()) {
    TRY_ASSIGN(keys, auth::read_keys({m->signing_key}));
    if (keys.front()->private_pem().empty()) {
      return Status::bad_request("--service-account-private-key-file: " + m->signing_key +
                                 " holds no private key");
    }
    o.sign_token = [key = keys.front()](std::string_view claims) {
      return net::jwt_sign(*key, claims);
    };
  }
  if (m->signer_certificate.empty() != m->signer_key.empty()) {
    return Status::bad_request(
        "--cluster-signing-cert-file and --cluster-signing-key-file go together");
  }
  if (m->signer_certificate.empty()) return {};
  net::TlsIdentity ca;
  TRY_ASSIGN(certificate, read_file(m->signer_certificate));
  TRY_ASSIGN(key, read_file(m->signer_key));
  ca.certificate_pem = certificate;
  ca.key_pem = key;
  o.sign_csr = [ca](std::string_view csr, net::CsrTerms terms) {
    return net::sign_csr(ca, csr, terms);
  };
  return {};
}

Status finish(ManagerFlags* m) {
  controllers::Options& o = m->options;
  TRY(check_controller_flags(&m->controlling, o.allocate_node_cidrs ? o.cluster_cidr : ""));
  if (o.allocate_node_cidrs && o.cluster_cidr.empty()) {
    return Status::bad_request("--cluster-cidr is needed with --allocate-node-cidrs");
  }
  TRY(read_rates(m));
  TRY(read_keys(m));
  m->controlling.apply(&o);
  return {};
}

// The parts of a KubeControllerManagerConfiguration that are told by flags here.
std::string configz(const ManagerFlags& m) {
  Document d;
  Arena& a = d.arena;
  const auto text = [&a](std::string_view s) { return Value::string(a.copy(s)); };
  const auto period = [&](Duration t) { return text(format_duration(t)); };
  const ControllerFlags& c = m.controlling;
  Value election = Value::map(), connection = Value::map(), names = Value::list();
  election.set(a, "LeaderElect", Value(c.leader_elect));
  election.set(a, "LeaseDuration", period(c.election.lease_duration));
  election.set(a, "RenewDeadline", period(c.election.renew_deadline));
  election.set(a, "RetryPeriod", period(c.election.retry_period));
  election.set(a, "ResourceLock", text(c.resource_lock));
  election.set(a, "ResourceName", text(c.resource_name));
  election.set(a, "ResourceNamespace", text(c.election.ns));
  connection.set(a, "Kubeconfig", text(m.kubeconfig));
  connection.set(a, "QPS", Value(c.requests_per_second));
  connection.set(a, "Burst", Value(c.burst));
  for (const std::string& name : c.controllers) names.append(a, text(name));
  Value generic = Value::map(), shared = Value::map(), nodes = Value::map();
  generic.set(a, "Port", Value(m.serving.secure_port));
  generic.set(a, "Address", text(m.serving.bind_address));
  generic.set(a, "ClientConnection", connection);
  generic.set(a, "Controllers", names);
  generic.set(a, "LeaderElection", election);
  shared.set(a, "UseServiceAccountCredentials", Value(m.own_accounts));
  shared.set(a, "ClusterName", text(m.cluster_name));
  shared.set(a, "ClusterCIDR", text(m.options.cluster_cidr));
  shared.set(a, "AllocateNodeCIDRs", Value(m.options.allocate_node_cidrs));
  shared.set(a, "NodeMonitorPeriod", period(m.options.node_monitor_period));
  nodes.set(a, "NodeMonitorGracePeriod", period(m.options.node_monitor_grace_period));
  nodes.set(a, "NodeStartupGracePeriod", period(m.options.node_startup_grace_period));
  Value config = Value::map();
  config.set(a, "kind", text("KubeControllerManagerConfiguration"));
  config.set(a, "apiVersion", text("kubecontrollermanager.config.k8s.io/v1alpha1"));
  config.set(a, "Generic", generic);
  config.set(a, "KubeCloudShared", shared);
  config.set(a, "NodeLifecycleController", nodes);
  d.root = Value::map();
  d.root.set(a, "kubecontrollermanager.config.k8s.io", config);
  return to_json(d.root);
}

// The clients of one manager, and what they are made of.
class Clients {
 public:
  Clients(Loop& loop, const ManagerFlags& m, const ClientConfig& config)
      : main_(loop, config, agent()), paths_(main_), catalog_(main_, paths_) {
    AccountClients::Options o;
    o.server = config;
    o.http = agent();
    o.requests_per_second = m.controlling.requests_per_second;
    o.burst = m.controlling.burst;
    if (o.requests_per_second > 0) {
      limited_ = std::make_unique<RateLimitedClient>(main_, o.requests_per_second, o.burst);
    }
    accounts_ = std::make_unique<AccountClients>(main_, o);
    own_ = m.own_accounts;
  }

  HttpsClient& main() { return main_; }
  // As `account`, where accounts have their own.
  PathsClient& paths(const std::string& account) {
    if (!own_) return paths_;
    of()(account);  // made with the kinds that it is to know
    return accounts_->paths(account);
  }
  RemoteCatalog& catalog() { return catalog_; }
  // As whom controllers ask, each by its account where they have their own.
  controllers::ClientOf of() {
    if (!own_) return {};
    return [this](std::string_view account) -> Client& {
      // What else is in a namespace is looked up when it is emptied: a catalog could be too old.
      CatalogSource* kinds = account == "namespace-controller" ? nullptr : &catalog_.kinds();
      return accounts_->of(std::string(account), kinds);
    };
  }
  Client& shared() { return limited_ ? static_cast<Client&>(*limited_) : main_; }
  // Of all kinds, for the garbage collector.
  Client& all_kinds() {
    if (own_) return accounts_->of("generic-garbage-collector", &catalog_.kinds());
    return everything_;
  }

 private:
  static HttpsClientOptions agent() {
    HttpsClientOptions o;
    o.user_agent = "kube-controller-manager/" + std::string(kGitVersion);
    return o;
  }
  // The main client, to which the catalog's kinds are known.
  class Everything final : public Client {
   public:
    Everything(Client& inner, CatalogSource& kinds) : inner_(inner), kinds_(kinds) {}
    Task<Result<ObjectPtr>> get(Context c, const KindDesc* k, std::string ns,
                                std::string name) override {
      return inner_.get(std::move(c), k, std::move(ns), std::move(name));
    }
    Task<Result<ListResult>> list(Context c, const KindDesc* k, std::string ns,
                                  ListOptions o) override {
      return inner_.list(std::move(c), k, std::move(ns), std::move(o));
    }
    Task<Result<std::unique_ptr<Watch>>> watch(Context c, const KindDesc* k, std::string ns,
                                               WatchOptions o) override {
      return inner_.watch(std::move(c), k, std::move(ns), std::move(o));
    }
    Task<Result<ObjectPtr>> create(Context c, const KindDesc* k, std::string ns, std::string name,
                                   Document body, WriteOptions o) override {
      return inner_.create(std::move(c), k, std::move(ns), std::move(name), std::move(body),
                           std::move(o));
    }
    Task<Result<ObjectPtr>> update(Context c, const KindDesc* k, std::string ns, std::string name,
                                   Document body, WriteOptions o) override {
      return inner_.update(std::move(c), k, std::move(ns), std::move(name), std::move(body),
                           std::move(o));
    }
    Task<Result<ObjectPtr>> patch(Context c, const KindDesc* k, std::string ns, std::string name,
                                  PatchType type, Document body, WriteOptions o) override {
      return inner_.patch(std::move(c), k, std::move(ns), std::move(name), type, std::move(body),
                          std::move(o));
    }
    Task<Result<ObjectPtr>> remove(Context c, const KindDesc* k, std::string ns, std::string name,
                                   DeleteOptions o) override {
      return inner_.remove(std::move(c), k, std::move(ns), std::move(name), std::move(o));
    }
    Loop& loop() override { return inner_.loop(); }
    CatalogSource& kinds() override { return kinds_; }

   private:
    Client& inner_;
    CatalogSource& kinds_;
  };

  HttpsClient main_;
  HttpsPaths paths_;
  RemoteCatalog catalog_;
  std::unique_ptr<Client> limited_;  // null: without limit
  std::unique_ptr<AccountClients> accounts_;
  Everything everything_{main_, catalog_.kinds()};
  bool own_ = false;
};

// Made anew each time that this process leads: what they held is of another time.
Task<void> run_controllers(Context leading, Clients* clients, const ManagerFlags* m) {
  controllers::Options options = m->options;
  options.elsewhere = &clients->paths("namespace-controller");
  options.all_kinds = &clients->all_kinds();
  controllers::AutoscalingOptions autoscaling = m->controlling.autoscaling;
  autoscaling.elsewhere = &clients->paths("horizontal-pod-autoscaler");
  controllers::Manager manager(clients->shared(), std::move(options), autoscaling, clients->of());
  co_await manager.run(leading);
}

Task<Status> run(Context ctx, ManagerFlags m, std::map<std::string, std::string> shown) {
  auto config = component_config(m.kubeconfig, m.master);
  if (!config.ok()) co_return config.status();
  Clients clients(ctx.loop(), m, *config);
  Health health;
  HealthCheck election;
  election.name = m.controlling.leader_elect ? "leaderElection" : "ping";
  health.add(std::move(election));
  ComponentPages pages;
  pages.name = "kube-controller-manager";
  pages.flags = std::move(shown);
  pages.configz = configz(m);
  pages.health = &health;
  auto server = co_await ComponentServer::start(ctx, m.serving, std::move(pages));
  if (!server.ok()) co_return server.status();
  Context all = ctx.child();
  TaskGroup group(ctx.loop());
  group.spawn(clients.catalog().run(all));
  LeaderElectionOptions options = m.controlling.election;
  options.name = m.controlling.resource_name;
  options.identity = unique_identity(ctx.loop());
  auto lead = [&clients, &m](Context leading) {
    return run_controllers(std::move(leading), &clients, &m);
  };
  co_await run_leading(all, &clients.main(), m.controlling.leader_elect, options,
                       "kube-controller-manager", lead);
  all.cancel();
  co_await group.join();
  if (*server) {
    Context last = Context::root(ctx.loop()).with_timeout(5s);
    co_await (*server)->stop(last);
  }
  co_return Status();
}

}  // namespace

int kube_controller_manager_main(const std::vector<std::string>& args) {
  ManagerFlags m;
  m.serving.secure_port = 10257;
  m.controlling.qps = "20";
  m.options.allocate_node_cidrs = false;
  m.options.cluster_cidr.clear();
  Flags flags(
      "Runs the controllers by themselves, against any API server.\n\nUsage:\n  "
      "kube-controller-manager [flags]");
  add_flags(flags, m);
  return run_command(&flags, args, [&](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    TRY(finish(&m));
    TRY(m.logging.apply());
    log::info("Starting controller manager", {{"version", kGitVersion}});
    auto shown = flag_values(flags, args);
    return run_program([m, shown](Context ctx) { return run(ctx, m, shown); });
  });
}

}  // namespace keles
