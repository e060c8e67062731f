#include "keles/control_plane.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "base/budget.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/host_port.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/sync.h"
#include "base/version.h"
#include "client/event_recorder.h"
#include "client/https_client.h"
#include "client/informer.h"
#include "client/kubeconfig.h"
#include "client/rate_limited_client.h"
#include "controllers/manager.h"
#include "dns/server.h"
#include "keles/allocator.h"
#include "keles/audited_client.h"
#include "keles/code_pages.h"
#include "keles/held_port.h"
#include "keles/host_address.h"
#include "keles/identity_flags.h"
#include "keles/leading.h"
#include "keles/local_client.h"
#include "keles/local_paths.h"
#include "keles/merged_client.h"
#include "keles/snapshot_flags.h"
#include "machines/live_certificates.h"
#include "net/certificate_bundle.h"
#include "net/http.h"
#include "net/key_pair.h"
#include "net/live_identity.h"
#include "net/server_on.h"
#include "scheduler/config.h"
#include "scheduler/scheduler.h"
#include "server/admission/config_file.h"
#include "server/audit/auditor.h"
#include "server/auth/auth.h"
#include "server/auth/ca_exchange.h"
#include "server/bootstrap.h"
#include "server/http/front.h"
#include "server/images/image_policy.h"
#include "server/registry/service_pools.h"
#include "server/server.h"
#include "server/usage/usage_source.h"
#include "server/webhooks/credentials.h"
#include "store/encryption/encryption.h"
#include "store/sealing.h"
#include "store/store.h"

namespace keles {
namespace {

// Who decides and what is admitted, as the flags say.
Status flow_options(const ControlPlaneOptions& f, flow::Options* flow) {
  for (auto [flag, n] : {std::pair("--max-requests-inflight", f.max_requests_inflight),
                         {"--max-mutating-requests-inflight", f.max_mutating_requests_inflight}}) {
    if (n >= 0 && n <= 1'000'000) continue;
    return Status::bad_request(std::string(flag) + ": want 0 to 1000000");
  }
  const int64_t seats = f.max_requests_inflight + f.max_mutating_requests_inflight;
  flow->enabled = f.priority_and_fairness;
  flow->seats = static_cast<int>(seats);
  if (seats > 0 || !flow->enabled) return {};
  return Status::bad_request(
      "invalid configuration: MaxRequestsInFlight=0 and MaxMutatingRequestsInFlight=0; they must "
      "add up to something positive (--max-requests-inflight, --max-mutating-requests-inflight), "
      "or --enable-priority-and-fairness be false");
}

Status check_address_types(const ControlPlaneOptions& f) {
  const registry::AddressTypes& known = registry::kubelet_address_types();
  for (const std::string& type : f.kubelet_addresses) {
    if (std::find(known.begin(), known.end(), type) != known.end()) continue;
    return Status::bad_request("--kubelet-preferred-address-types: \"" + type +
                               "\": want some of InternalIP, ExternalIP, InternalDNS, "
                               "ExternalDNS, Hostname");
  }
  if (!f.kubelet_addresses.empty()) return {};
  return Status::bad_request("--kubelet-preferred-address-types: want at least one");
}

Status policy_options(const ControlPlaneOptions& f, ApiServerOptions* options) {
  TRY(check_address_types(f));
  if (f.memory_budget_mb < 1 || f.memory_budget_mb > (int64_t{1} << 20))
    return Status::bad_request("--memory-budget-mb: want 1 to 1048576");
  TRY(flow_options(f, &options->flow));
  TRY_ASSIGN(modes, auth::parse_modes(f.authorization_modes));
  options->auth.modes = modes;
  options->auth.anonymous = f.anonymous_auth;
  if (options->auth.anonymous && f.identity.authorization_config.empty() &&
      std::find(modes.begin(), modes.end(), auth::Mode::kAlwaysAllow) != modes.end()) {
    log::warn(
        "AnonymousAuth is not allowed with the AlwaysAllow authorizer. Resetting "
        "AnonymousAuth to false. You should use a different authorizer");
    options->auth.anonymous = false;
  }
  options->auth.bootstrap_tokens = f.bootstrap_tokens;
  TRY(auth::check_account_tokens(f.issuers, f.account_tokens));
  options->auth.tokens = f.account_tokens;
  TRY_ASSIGN(admission, admission::make_config(f.enable_admission, f.disable_admission));
  options->admission = std::move(admission);
  options->admission.plugins.not_ready_seconds = f.not_ready_toleration_seconds;
  options->admission.plugins.unreachable_seconds = f.unreachable_toleration_seconds;
  admission::WebhookKubeconfigs told;
  if (!f.admission_config.empty()) {
    TRY_ASSIGN(text, read_file(f.admission_config));
    TRY(admission::parse_config(f.admission_config, std::move(text), &options->admission, &told));
  }
  for (auto [file, to] : {std::pair(&told.mutating, &options->mutating_webhooks),
                          {&told.validating, &options->validating_webhooks}}) {
    if (file->empty()) continue;
    TRY_ASSIGN(credentials, webhooks::credentials_of(*file));
    *to = std::move(credentials);
  }
  TRY(admission::check_config(options->admission));
  if (!options->admission.on.contains("ImagePolicyWebhook")) return {};
  TRY_ASSIGN(images, images::ImagePolicy::make(told.images));
  options->admission.dynamic.push_back(std::move(images));
  return {};
}

// Threads with a loop each, for the HTTP front.
class LoopThreads {
 public:
  explicit LoopThreads(size_t n) {
    for (size_t i = 0; i < n; ++i) loops_.push_back(make_real_loop());
    for (auto& loop : loops_) threads_.emplace_back([l = loop.get()] { l->run(); });
  }
  ~LoopThreads() { stop(); }
  // They run no more; what is posted from now on goes when they do.
  void stop() {
    for (auto& loop : loops_) loop->stop();
    for (auto& t : threads_) t.join();
    threads_.clear();
  }
  std::vector<Loop*> loops() const {
    std::vector<Loop*> out;
    for (const auto& l : loops_) out.push_back(l.get());
    return out;
  }

 private:
  std::vector<std::unique_ptr<RealLoop>> loops_;
  std::vector<std::thread> threads_;
};

std::string https_url(const std::string& ip, int64_t port) {
  return "https://" + host_port(ip, port);
}

// Where the administrator finds this server: where it listens, when that is one address.
std::string administrator_url(const ControlPlaneOptions& f, uint16_t port) {
  if (!f.kubeconfig_server.empty()) return f.kubeconfig_server;
  auto bound = IpAddress::parse(f.bind_address);
  const bool everywhere = !bound || bound->is_unspecified();
  return https_url(everywhere ? f.advertise_address : f.bind_address, port);
}

// Of a cluster that one is yet to join: where it is, and by which CA it is known.
std::string cluster_info_text(const KubeconfigEntry& e) {
  return "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: " +
         base64_encode(e.ca_pem) + "\n    server: " + e.server +
         "\n  name: \"\"\ncontexts: null\ncurrent-context: \"\"\nusers: null\n";
}

Status write_admin_kubeconfig(const ControlPlaneOptions& f, const server::PkiFiles& pki,
                              uint16_t port, WallTime now) {
  TRY_ASSIGN(admin, net::issue_client(pki.ca, "kubernetes-admin", {"system:masters"}, now));
  KubeconfigEntry entry;
  entry.name = "keles";
  entry.server = administrator_url(f, port);
  entry.ca_pem = pki.ca.certificate_pem;
  entry.client_certificate_pem = admin.certificate_pem;
  entry.client_key_pem = admin.key_pem;
  return write_file(f.write_kubeconfig, kubeconfig_text(entry), 0600);
}

// How kubelets are verified, and what is shown to them.
Status kubelet_access(const ControlPlaneOptions& f, const server::PkiFiles& pki,
                      server::FrontOptions* out) {
  out->kubelet_tls.ca_pem = pki.ca.certificate_pem;
  if (!pki.kubelet_client.certificate_pem.empty()) {
    out->kubelet_tls.identity = pki.kubelet_client;
  }
  if (!f.kubelet_ca.empty()) {
    TRY_ASSIGN(ca, read_file(f.kubelet_ca));
    out->kubelet_tls.ca_pem = ca;
    out->kubelet_subject = false;  // another CA has its own subjects
  }
  if (f.kubelet_certificate.empty() != f.kubelet_key.empty()) {
    return Status::bad_request("--kubelet-client-certificate and --kubelet-client-key go together");
  }
  if (!f.kubelet_certificate.empty()) {
    TRY_ASSIGN(certificate, read_file(f.kubelet_certificate));
    TRY_ASSIGN(key, read_file(f.kubelet_key));
    out->kubelet_tls.identity = net::TlsIdentity{certificate, key};
  }
  return Status();
}

// By which CAs a listener knows its clients.
std::string listener_ca(const std::string& clients, const std::string& proxies) {
  return proxies.empty() ? clients : clients + "\n" + proxies;
}

// What this server shows to others and whom it believes, exchanged as it is renewed.
class Identities {
 public:
  // `proxies`: the CA of front proxies, which stays.
  Identities(ControlPlaneOptions f, const Credentials& own, const net::ClientTls& kubelets,
             std::string proxies)
      : f_(std::move(f)),
        proxies_(std::move(proxies)),
        serving_(own.pki.apiserver),
        ca_(own.pki.ca),
        client_ca_(own.client_ca_pem) {
    if (kubelets.identity) kubelet_ = std::make_shared<net::LiveIdentity>(*kubelets.identity);
    if (!own.pki.proxy_client.certificate_pem.empty())
      proxy_ = std::make_shared<net::LiveIdentity>(own.pki.proxy_client);
    auth::expect_client_ca(client_ca_);
  }
  std::shared_ptr<const net::LiveIdentity> kubelet() const { return kubelet_; }
  std::shared_ptr<const net::LiveIdentity> proxy() const { return proxy_; }
  const net::TlsIdentity& ca() const { return ca_; }
  const std::string& client_ca() const { return client_ca_; }

  // All of what the files hold by now, or nothing. Blocking, small files.
  Status take(WallTime now, net::Server* server) {
    TRY_ASSIGN(own, f_.credentials(f_, now));
    server::FrontOptions kubelets;
    TRY(kubelet_access(f_, own.pki, &kubelets));
    const net::TlsIdentity none;
    const net::TlsIdentity& shown = kubelets.kubelet_tls.identity.value_or(none);
    TRY(check("apiserver", own.pki.apiserver));
    if (kubelet_) TRY(check("apiserver-kubelet-client", shown));
    if (proxy_) TRY(check("front-proxy-client", own.pki.proxy_client));
    const bool serving = differ(own.pki.apiserver, serving_);
    const bool clients = own.client_ca_pem != client_ca_;
    if (serving || clients)
      TRY(net::exchange_tls(*server, own.pki.apiserver, listener_ca(own.client_ca_pem, proxies_)));
    serving_ = own.pki.apiserver;
    client_ca_ = own.client_ca_pem;
    if (serving) log::info("A renewed certificate is in use", {{"certificate", "apiserver"}});
    if (clients) {
      auth::expect_client_ca(client_ca_);
      log::info("Another CA of clients is in use",
                {{"certificates", net::certificates_in(client_ca_).size()}});
    }
    ca_ = own.pki.ca;
    if (kubelet_ && f_.kubelet_ca.empty()) kubelet_->set_trust(ca_.certificate_pem);
    if (kubelet_) exchange("apiserver-kubelet-client", shown, kubelet_.get());
    if (proxy_) exchange("front-proxy-client", own.pki.proxy_client, proxy_.get());
    return {};
  }

 private:
  static bool differ(const net::TlsIdentity& a, const net::TlsIdentity& b) {
    return a.certificate_pem != b.certificate_pem || a.key_pem != b.key_pem;
  }
  static Status check(std::string_view name, const net::TlsIdentity& identity) {
    const std::string problem = net::key_pair_problem(identity.certificate_pem, identity.key_pem);
    if (problem.empty()) return {};
    return Status::bad_request(std::string(name) + ": " + problem);
  }
  static void exchange(std::string_view name, const net::TlsIdentity& next,
                       net::LiveIdentity* live) {
    if (!differ(next, *live->get())) return;
    live->set(next);
    log::info("A renewed certificate is in use", {{"certificate", name}});
  }

  ControlPlaneOptions f_;
  std::string proxies_;
  net::TlsIdentity serving_, ca_;
  std::string client_ca_;
  std::shared_ptr<net::LiveIdentity> kubelet_, proxy_;  // null: nothing is shown
};

// Which parts run in this process: what ComponentStatuses say of them.
struct RunningParts {
  using Up = std::shared_ptr<std::atomic<bool>>;
  Up controllers = std::make_shared<std::atomic<bool>>(false);
  Up scheduler = std::make_shared<std::atomic<bool>>(false);

  std::vector<registry::Component> statuses() const {
    auto component = [](std::string name, Up up) {
      return registry::Component{std::move(name), [up] {
                                   if (*up) return Status();
                                   return Status::unavailable("not running in this server");
                                 }};
    };
    return {component("controller-manager", controllers), component("scheduler", scheduler)};
  }
  static Task<void> shown(Task<void> work, Up up) {
    *up = true;
    co_await std::move(work);
    *up = false;
  }
};

// Null when nobody audits.
Result<std::unique_ptr<audit::Auditor>> make_auditor(Loop& loop, const audit::Options& options) {
  std::optional<audit::WebhookTarget> webhook;
  if (!options.webhook.config_file.empty()) {
    KubeconfigChoice choice;
    choice.path = options.webhook.config_file;
    auto config = load_client_config(choice);
    if (!config.ok()) return config.status().with_prefix("--audit-webhook-config-file");
    webhook.emplace();
    webhook->endpoint = config->endpoint;
    webhook->path = config->path_prefix.empty() ? "/" : config->path_prefix;
    webhook->token_file = config->token_file;
    if (!config->token.empty()) webhook->authorization = "Bearer " + config->token;
    if (!config->username.empty()) {
      webhook->authorization = "Basic " + base64_encode(config->username + ":" + config->password);
    }
  }
  return audit::Auditor::make(loop, options, std::move(webhook));
}

// This server's own front, as its garbage collector reaches it for what others serve.
Result<ClientConfig> front_config(const ControlPlaneOptions& f, const net::TlsIdentity& ca,
                                  uint16_t port, WallTime now) {
  if (ca.key_pem.empty()) return Status::unavailable("there is no key of the CA");
  const Caller who = controller_account("generic-garbage-collector");
  TRY_ASSIGN(identity, net::issue_client(ca, who.name, who.groups, now));
  ClientConfig out;
  const auto bound = IpAddress::parse(f.bind_address);
  out.endpoint.host = !bound || bound->is_unspecified() ? "127.0.0.1" : f.bind_address;
  out.endpoint.port = port;
  out.endpoint.tls.emplace();
  out.endpoint.tls->ca_pem = ca.certificate_pem;
  out.endpoint.tls->server_name = "kubernetes.default.svc";
  out.endpoint.tls->identity = std::move(identity);
  return out;
}

// Everything that runs on the main loop, as clients of the API server.
class Components {
 public:
  // `port`: where the front listens.
  Components(ApiServer& api, Loop& loop, const ControlPlaneOptions& f, const net::TlsIdentity& ca,
             const net::SigningKeys& keys, RunningParts running, uint16_t port,
             const audit::Auditor* auditor)
      : flags_(f),
        api_(&api),
        loop_(&loop),
        group_(loop),
        running_(std::move(running)),
        port_(port),
        auditor_(auditor) {
    if (f.controllers) {
      controller_client_ = local(api, loop, "system:kube-controller-manager");
      controllers::Options& o = controller_options_;
      f.controlling.apply(&o);
      o.cluster_cidr = f.cluster_cidr;
      o.service_cidr = f.service_cidr;
      // This server's, and those that kubelet and proxy listen on.
      o.reserved_node_ports = {f.secure_port, 10248, 10249, 10250, 10256};
      o.allocate_node_cidrs = f.allocate_node_cidrs && !f.cluster_cidr.empty();
      set_ca(ca);
      o.cluster_signing_duration = f.cluster_signing_duration;
      o.sign_token = [key = keys.front()](std::string_view claims) {
        return net::jwt_sign(*key, claims);
      };
      o.node_monitor_grace_period = f.node_monitor_grace_period;
      o.node_monitor_period = f.node_monitor_period;
      elsewhere_ = paths(api, controller_account("namespace-controller"));
      o.elsewhere = elsewhere_.get();
      metrics_ = paths(api, controller_account("horizontal-pod-autoscaler"));
      autoscaling_ = f.controlling.autoscaling;
      autoscaling_.elsewhere = metrics_.get();
      if (const double qps = f.controlling.requests_per_second; qps > 0) {
        limited_client_ =
            std::make_unique<RateLimitedClient>(*controller_client_, qps, f.controlling.burst);
      }
    }
    if (f.scheduler) scheduler_client_ = local(api, loop, "system:kube-scheduler");
    if (f.dns) {
      dns_client_ = local(api, loop, "system:kube-dns");
      dns_informers_ = std::make_unique<InformerFactory>(*dns_client_);
    }
  }

  Status start(Context ctx) {
    const ControllerFlags& c = flags_.controlling;
    LeaderElectionOptions election = c.election;
    if (controller_client_) {
      election.name = c.resource_name;
      auto lead = [this](Context leading) { return run_controllers(std::move(leading)); };
      group_.spawn(RunningParts::shown(run_leading(ctx, controller_client_.get(), c.leader_elect,
                                                   election, "kube-controller-manager", lead),
                                       running_.controllers));
    }
    if (scheduler_client_) {
      election.name = "kube-scheduler";
      TRY(read_scheduler_options(&election));
      auto lead = [this](Context leading) { return run_scheduler(std::move(leading)); };
      group_.spawn(RunningParts::shown(run_leading(ctx, scheduler_client_.get(), scheduler_elects_,
                                                   election, "default-scheduler", lead),
                                       running_.scheduler));
    }
    if (dns_informers_) {
      dns::DnsOptions o;
      o.address = flags_.bind_address;
      o.port = static_cast<uint16_t>(flags_.dns_port);
      // Not every address: an answer to a pod on this node must come from the address that it
      // asked.
      o.address = flags_.advertise_address;
      o.domain = flags_.cluster_domain;
      TRY_ASSIGN(ip, nth_address(flags_.service_cidr, 10));
      o.service_ip = ip;
      o.serves_health = true;
      o.endpoint_ip = flags_.advertise_address;
      if (c.leader_elect && !flags_.etcd.servers.empty()) {
        LeaderElectionOptions one = c.election;
        one.name = "kube-dns";
        o.while_leading = [this, one](Context leading, std::function<Task<void>(Context)> lead) {
          return run_leading(std::move(leading), dns_client_.get(), true, one, "kube-dns",
                             std::move(lead));
        };
      }
      if (Result<std::string> resolv = read_file("/etc/resolv.conf"); resolv.ok()) {
        o.upstreams = dns::name_servers(*resolv);
      }
      TRY_ASSIGN(server, dns::DnsServer::start(ctx.loop(), o));
      dns_ = std::move(server);
      group_.spawn(dns_->run(ctx, dns_client_.get(), dns_informers_.get()));
      dns_informers_->start(ctx);
    }
    return Status();
  }

  Status read_scheduler_options(LeaderElectionOptions* election) {
    scheduler_elects_ = flags_.controlling.leader_elect;
    if (flags_.scheduler_config.empty()) return {};
    TRY_ASSIGN(config, scheduler::read_scheduler_config(flags_.scheduler_config));
    for (const std::string& w : config.warnings) log::warn(w);
    if (!config.kubeconfig.empty()) {
      log::warn("clientConnection.kubeconfig: nothing acts on it: the scheduler runs in the server",
                {{"file", flags_.scheduler_config}});
    }
    scheduler_options_ = std::move(config.options);
    scheduler_elects_ = scheduler_elects_ && config.leader_elect;
    election->lease_duration = config.lease_duration;
    election->renew_deadline = config.renew_deadline;
    election->retry_period = config.retry_period;
    election->name = config.lease_name;
    election->ns = config.lease_namespace;
    return {};
  }

  // Made anew each time that this server leads, and when the CA is another: what they held is of
  // another time.
  Task<void> run_controllers(Context leading) {
    Client& client = limited_client_ ? *limited_client_ : *controller_client_;
    while (!leading.done()) {
      look_at_all_kinds();
      Context life = leading.child();
      controllers_life_ = life;
      controllers::Manager manager(client, controller_options_, autoscaling_);
      co_await manager.run(life);
      if (!life.done()) break;
    }
    controllers_life_.reset();
  }
  Task<void> run_scheduler(Context leading) {
    InformerFactory informers(*scheduler_client_);
    EventRecorder recorder(*scheduler_client_, "default-scheduler");
    scheduler::Scheduler scheduler(*scheduler_client_, informers, recorder, scheduler_options_);
    recorder.start(leading);
    informers.start(leading);
    co_await scheduler.run(leading);
    co_await recorder.join();
    co_await informers.join();
  }

  // The CA's files are read again: who signs and is published is what they hold.
  void use_ca(const net::TlsIdentity& ca) {
    if (!controller_client_ ||
        (ca.certificate_pem == ca_.certificate_pem && ca.key_pem == ca_.key_pem))
      return;
    set_ca(ca);
    log::info("Another CA is in use",
              {{"certificates", net::certificates_in(ca.certificate_pem).size()}});
    if (controllers_life_) controllers_life_->cancel(Status::cancelled("the CA is another"));
  }

  // The collector's own certificate, long before it ends.
  void renew(WallTime now) {
    if (!front_client_ || now - front_issued_ < kFrontRenewal) return;
    auto next = front_config(flags_, ca_, 0, now);
    if (!next.ok()) return;
    front_client_->set_identity(*next->endpoint.tls->identity);
    front_issued_ = now;
  }

  // After the context of start() has ended.
  Task<void> join() {
    co_await group_.join();
    if (dns_informers_) co_await dns_informers_->join();
  }

 private:
  void set_ca(const net::TlsIdentity& ca) {
    ca_ = ca;
    controllers::Options& o = controller_options_;
    o.root_ca_pem = ca.certificate_pem;
    o.sign_csr = nullptr;
    if (!ca.key_pem.empty()) {
      o.sign_csr = [ca](std::string_view csr, net::CsrTerms terms) {
        return net::sign_csr(ca, csr, terms);
      };
    }
    KubeconfigEntry whom;
    whom.server = flags_.control_plane_endpoint.empty()
                      ? https_url(flags_.advertise_address, flags_.secure_port)
                      : "https://" + flags_.control_plane_endpoint;
    whom.ca_pem = ca.certificate_pem;
    o.cluster_info = cluster_info_text(whom);
  }

  // Between two times that the controllers run: nobody uses the one before.
  void look_at_all_kinds() {
    front_client_ = nullptr;
    controller_options_.all_kinds = nullptr;
    all_kinds_.reset();
    Result<ClientConfig> front = front_config(flags_, ca_, port_, loop_->wall_now());
    if (!front.ok()) {
      log::warn("Objects of extension API servers are not collected", {{"err", front.status()}});
      return;
    }
    auto client = std::make_unique<HttpsClient>(*loop_, std::move(*front));
    front_client_ = client.get();
    front_issued_ = loop_->wall_now();
    all_kinds_ = make_merged_client(*api_, local(*api_, *loop_, "system:kube-controller-manager"),
                                    std::move(client));
    controller_options_.all_kinds = all_kinds_.get();
  }

  // The component's client, recorded where somebody audits.
  std::unique_ptr<Client> local(ApiServer& api, Loop& loop, std::string name) const {
    Caller who;
    who.name = name;
    who.groups = {"system:authenticated"};
    if (!auditor_) return make_local_client(api, loop, std::move(name));
    auto make = [&api, &loop, name](admission::AuditAnnotations* annotations) {
      return make_local_client(api, loop, name, annotations);
    };
    return make_audited_client(std::move(make), auditor_, std::move(who));
  }
  std::unique_ptr<PathsClient> paths(ApiServer& api, Caller who) const {
    std::unique_ptr<PathsClient> plain = make_local_paths(api, who);
    if (!auditor_) return plain;
    return make_audited_paths(std::move(plain), auditor_, std::move(who));
  }

  ControlPlaneOptions flags_;
  ApiServer* api_;
  Loop* loop_;
  TaskGroup group_;
  RunningParts running_;
  uint16_t port_;
  net::TlsIdentity ca_;
  std::optional<Context> controllers_life_;  // while they run
  scheduler::SchedulerOptions scheduler_options_;
  bool scheduler_elects_ = true;
  const audit::Auditor* auditor_;  // null: nobody audits
  std::unique_ptr<Client> controller_client_, scheduler_client_, dns_client_;
  std::unique_ptr<PathsClient> elsewhere_, metrics_;
  std::unique_ptr<Client> all_kinds_;
  static constexpr Duration kFrontRenewal = 24h * 90;
  HttpsClient* front_client_ = nullptr;  // within all_kinds_
  WallTime front_issued_;
  controllers::Options controller_options_;
  controllers::AutoscalingOptions autoscaling_;
  std::unique_ptr<Client> limited_client_;  // over controller_client_; null: without limit
  std::unique_ptr<InformerFactory> dns_informers_;
  std::unique_ptr<dns::DnsServer> dns_;
};

// At quiet times caches are given back: a form that nobody has asked for in a while is made again
// as cheaply, and who watches from before the last 75 seconds may list anew (upstream's watch cache
// keeps as much); a little stays. What the threads' own caches of the allocator hold then, as much
// as the burst needed, would keep most pages of what has gone.
Task<void> age_caches(Context ctx, Store* store, std::vector<Loop*> loops) {
  constexpr size_t kFloor = 4u << 20, kWorthTrimming = 1u << 20;
  constexpr Duration kTick = 5s;
  constexpr uint32_t kFormTicks = 2, kHistoryTicks = 15;
  Budget& budget = process_budget();
  // What was read to start, and what a burst needed, goes once it is over.
  int until_code_rests = 2;
  for (;;) {
    Status s = co_await ctx.sleep(kTick);
    if (!s.ok()) co_return;
    budget.tick();
    size_t freed = budget.age(Budget::Side::kForms, kFormTicks, kFloor);
    freed += budget.age(Budget::Side::kHistory, kHistoryTicks, kFloor);
    store->compact(0);  // of what was let go, not even the places are kept
    if (until_code_rests > 0 && --until_code_rests == 0) release_code_pages();
    if (freed < kWorthTrimming) continue;
    until_code_rests = 2;
    for (Loop* loop : loops) loop->post([] { release_thread_cache(); });
    release_thread_cache();
    release_freed_pages();
  }
}

// Until it is told, or ctx ends.
Task<void> tell_client_ca(Context ctx, ApiServer* api, std::string ca_pem, std::string former) {
  constexpr Duration kAgain = 5s;
  while (!ctx.done()) {
    Status s = co_await server::publish_client_ca(ctx, api, ca_pem, former);
    if (s.ok() || ctx.done()) co_return;
    log::warn("Extension API servers are not told of the CA yet", {{"err", s}});
    (void)co_await ctx.sleep(kAgain);
  }
}

void apply_credentials(const Credentials& c, ApiServerOptions* options) {
  options->auth.keys = c.keys;
  if (!c.issuers.empty()) {
    options->auth.issuer = c.issuers.front();
    options->auth.tokens.also_from.assign(c.issuers.begin() + 1, c.issuers.end());
  }
  options->auth.audiences = c.audiences;
  options->client_ca_pem = c.client_ca_pem;
  options->requestheader_ca_pem = c.requestheader_ca_pem;
  if (!c.requestheader_allowed_names.empty()) {
    options->requestheader_allowed_names = c.requestheader_allowed_names;
  }
}

}  // namespace

void add_api_server_flags(Flags& f, ControlPlaneOptions& s) {
  f.add("bind-address", &s.bind_address,
        "The IP address on which to listen for the --secure-port port.");
  f.add("advertise-address", &s.advertise_address,
        "The IP address on which to advertise the apiserver to members of the cluster. When empty: "
        "--bind-address, or where that is every address, that of the host's default route.");
  f.add("service-cluster-ip-range", &s.service_cidr,
        "A CIDR notation IP range from which to assign service cluster IPs; two, of IPv4 and IPv6, "
        "separated by a comma, where services may have both. The first is that of services that "
        "do not say.");
  f.add("service-node-port-range", &s.node_port_range, "The ports for services of type NodePort.");
  f.add("token-auth-file", &s.token_auth_file,
        "File of static bearer tokens (token,user,uid,\"groups\").");
  f.add("anonymous-auth", &s.anonymous_auth,
        "Requests without credentials are those of system:anonymous, of group "
        "system:unauthenticated; otherwise they are refused.");
  f.add("authorization-mode", &s.authorization_modes,
        "Ordered list of plug-ins to do authorization. Comma-delimited list of: "
        "AlwaysAllow,AlwaysDeny,Node,RBAC,Webhook. Not to be given with --authorization-config.");
  add_identity_flags(f, s);
  f.add("enable-admission-plugins", &s.enable_admission,
        "Admission plugins that should be enabled in addition to the default ones.");
  f.add("disable-admission-plugins", &s.disable_admission,
        "Admission plugins that should be disabled although they are in the default ones.");
  f.add("default-not-ready-toleration-seconds", &s.not_ready_toleration_seconds,
        "Seconds that pods tolerate notReady:NoExecute, which do not say so themselves.");
  f.add("default-unreachable-toleration-seconds", &s.unreachable_toleration_seconds,
        "Seconds that pods tolerate unreachable:NoExecute, which do not say so themselves.");
  f.add("admission-control-config-file", &s.admission_config,
        "File with admission control configuration: an AdmissionConfiguration.");
  audit::add_flags(f, s.audit);
  f.add("enable-priority-and-fairness", &s.priority_and_fairness,
        "Requests are sorted by FlowSchemas into priority levels, wait in queues, and are served "
        "fairly; otherwise they are only counted.");
  f.add("encryption-provider-config", &s.encryption_config,
        "The file containing configuration for encryption providers to be used for storing "
        "resources.");
  f.add("encryption-provider-config-automatic-reload", &s.encryption_reload,
        "Determines if the file set by --encryption-provider-config should be automatically "
        "reloaded if the disk contents change.");
  f.add("max-requests-inflight", &s.max_requests_inflight,
        "This and --max-mutating-requests-inflight are the seats of all priority levels together. "
        "Without priority and fairness: requests that read and are worked on at once; more are "
        "told to try again. 0: no limit.");
  f.add("max-mutating-requests-inflight", &s.max_mutating_requests_inflight,
        "This and --max-requests-inflight are the seats of all priority levels together. Without "
        "priority and fairness: requests that write and are worked on at once; more are told to "
        "try again. 0: no limit.");
  f.add("metrics-api", &s.metrics_api,
        "Serve metrics.k8s.io (kubectl top, autoscaling) from what the kubelets tell, unless its "
        "APIService leads elsewhere.");
  f.add("event-ttl", &s.event_ttl,
        "For how long Events are kept after they were last written. 0: for good.");
  f.add("kubelet-client-key", &s.kubelet_key, "Path to a client key file for TLS.");
  f.add("kubelet-preferred-address-types", &s.kubelet_addresses,
        "List of the preferred NodeAddressTypes to use for kubelet connections.");
  s.logging.add(f);
}

Result<std::string> nth_address(const std::string& cidr, uint32_t n) {
  TRY_ASSIGN(ranges, registry::parse_service_ranges(cidr));
  if (auto ip = ranges.front().range.nth(n)) return ip->text();
  return Status::bad_request("--service-cluster-ip-range: " + ranges.front().range.text() +
                             " is too small");
}

namespace {

std::string host_name() {
  char host[256] = "localhost";
  (void)::gethostname(host, sizeof host - 1);
  return host;
}

Result<std::unique_ptr<Store>> open_store(const ControlPlaneOptions& f,
                                          std::shared_ptr<Encryption> encryption) {
  const size_t window = static_cast<size_t>(std::max<int64_t>(1, f.event_window));
  if (!f.etcd.servers.empty()) {
    EtcdFlags etcd = f.etcd;
    etcd.event_life = f.event_ttl;
    return open_etcd_store(etcd, window, std::move(encryption));
  }
  EmbeddedOptions embedded;
  embedded.directory = f.data_dir + "/store";
  embedded.event_window = window;
  embedded.identity_file = f.store_identity_file;
  return open_sealed_store(embedded, std::move(encryption));
}

}  // namespace

std::string choose_advertise_address(const std::string& bind_address) {
  auto bound = IpAddress::parse(bind_address);
  if (bound && bound->is_global_unicast()) return bind_address;
  auto host = read_host_network();
  if (host.ok()) {
    std::string address = default_route_address(*host);
    if (!address.empty()) return address;
  }
  const std::string why =
      host.ok() ? "the host has no default route with an address" : host.status().message();
  log::warn("Advertising 127.0.0.1, which pods cannot reach: say --advertise-address",
            {{"reason", why}});
  return "127.0.0.1";
}

Task<Status> run_control_plane(Context ctx, ControlPlaneOptions f) {
  // They stop before what they serve goes, and go last: connections that the server keeps to others
  // are let go of on the loop that made them.
  size_t threads =
      f.front_loops > 0 ? static_cast<size_t>(f.front_loops) : std::thread::hardware_concurrency();
  LoopThreads loops(std::max<size_t>(1, threads));
  ApiServerOptions options;
  Status policy = policy_options(f, &options);  // before anything is made
  if (!policy.ok()) co_return policy;
  auto ranges = registry::parse_service_ranges(f.service_cidr);
  if (!ranges.ok()) co_return ranges.status();
  policy = check_snapshot_schedule(f.snapshots);
  if (!policy.ok()) co_return policy;
  if (f.advertise_address.empty()) f.advertise_address = choose_advertise_address(f.bind_address);
  Loop* loop = &ctx.loop();
  // Before anything is made for a server that could not run.
  Result<std::unique_ptr<audit::Auditor>> auditor = make_auditor(*loop, f.audit);
  if (!auditor.ok()) co_return auditor.status();
  std::shared_ptr<Encryption> encryption;
  if (!f.encryption_config.empty()) {
    Encryption::Options sealing;
    sealing.file = f.encryption_config;
    sealing.reload = f.encryption_reload;
    auto opened = Encryption::from_file(std::move(sealing));
    if (!opened.ok()) co_return opened.status();
    encryption = std::move(*opened);
  } else if (f.encryption_reload) {
    co_return Status::bad_request(
        "--encryption-provider-config-automatic-reload must be set with "
        "--encryption-provider-config");
  }
  if (f.event_ttl < Duration::zero()) co_return Status::bad_request("--event-ttl: want 0 or more");
  Result<HeldPort> port = HeldPort::take(f.bind_address, f.secure_port);
  if (!port.ok()) co_return port.status();
  f.secure_port = port->port();  // what is published, whether or not one was asked for
  Result<Credentials> own = f.credentials(f, loop->wall_now());
  if (!own.ok()) co_return own.status();
  const server::PkiFiles* pki = &own->pki;

  process_budget().set_limit(static_cast<size_t>(f.memory_budget_mb) << 20);
  Result<std::unique_ptr<Store>> store = open_store(f, encryption);
  if (!store.ok()) co_return store.status();
  options.host_name = host_name();
  if ((*store)->shared() && f.controlling.election.identity.empty()) {
    f.controlling.election.identity = options.host_name + "_" + loop->random().uuid();
  }

  options.event_life = f.event_ttl;
  // There they go by their leases. Left for the server are those that have none, being older than
  // that, or brought by a restore.
  if (!f.etcd.servers.empty() && f.event_ttl > Duration::zero()) options.event_life += 15min;
  options.service_cidr = f.service_cidr;
  options.node_port_range = f.node_port_range;
  options.advertise_address = f.advertise_address;
  options.advertise_port = static_cast<uint16_t>(f.secure_port);
  apply_credentials(*own, &options);
  if (options.auth.tokens.jwks_uri.empty()) {
    options.auth.tokens.jwks_uri =
        https_url(f.advertise_address, f.secure_port) + "/openid/v1/jwks";
  }
  if (!f.token_auth_file.empty()) {
    Result<std::string> text = read_file(f.token_auth_file);
    if (!text.ok()) co_return text.status();
    auto tokens = auth::parse_token_file(*text);
    if (!tokens.ok()) co_return tokens.status();
    options.auth.static_tokens = *tokens;
  }
  Status proxies =
      front_proxy_options(f.front_proxy_ca, f.front_proxy, own->client_ca_pem, &options.auth);
  if (!proxies.ok()) co_return proxies;
  auto others = ask_others(f.identity, options.auth);
  if (!others.ok()) co_return others.status();
  options.auth.live = (*others)->live();
  server::FrontOptions front_options;
  Status kubelets = kubelet_access(f, *pki, &front_options);
  if (!kubelets.ok()) co_return kubelets;
  const std::string& proxy_ca = options.auth.front_proxy.ca_pem;
  Identities identities(f, *own, front_options.kubelet_tls, proxy_ca);
  front_options.kubelet_identity = identities.kubelet();
  options.aggregation.proxy_identity = identities.proxy();
  ApiServer api(store->get(), options);
  const RunningParts running;
  api.registry().set_components(running.statuses());
  front_options.git_version = kGitVersion;
  front_options.started = loop->wall_now();
  front_options.flags = f.flags;
  front_options.kubelet_addresses = f.kubelet_addresses;
  std::shared_ptr<usage::UsageSource> usage;
  if (f.metrics_api) {
    usage::Options kubelet;
    kubelet.kubelet_tls = front_options.kubelet_tls;
    kubelet.kubelet_identity = identities.kubelet();
    kubelet.kubelet_subject = front_options.kubelet_subject;
    kubelet.kubelet_addresses = f.kubelet_addresses;
    usage = std::make_shared<usage::UsageSource>(*loop, store->get(), std::move(kubelet));
    usage::serve(usage, &api.registry());
  }
  if (encryption && (encryption->has_kms() || f.encryption_reload)) {
    HealthCheck services;
    services.name = "kms-providers";
    services.check = [encryption] { return encryption->health(); };
    api.health().add(std::move(services));
  }
  front_options.max_requests_inflight = static_cast<int>(f.max_requests_inflight);
  front_options.max_mutating_requests_inflight = static_cast<int>(f.max_mutating_requests_inflight);
  front_options.auditor = auditor->get();
  server::Front front(&api, front_options);

  struct Stopped {
    explicit Stopped(LoopThreads* l) : loops(l) {}
    ~Stopped() { loops->stop(); }
    LoopThreads* loops;
  };
  Stopped stopped(&loops);
  net::ServerOptions http;
  http.tls = pki->apiserver;
  // Neither: nobody is asked for a certificate.
  http.client_ca_pem = listener_ca(own->client_ca_pem, proxy_ca);
  http.bodies_on_demand = true;
  Result<std::unique_ptr<net::Server>> server =
      net::start_server_on(port->release(), loops.loops(), http, front.handler());
  if (!server.ok()) co_return server.status();
  log::info("Serving securely", {{"address", f.bind_address}, {"port", (*server)->port()}});

  Context serving = ctx.child();
  TaskGroup background(*loop);
  background.spawn(age_caches(serving, store->get(), loops.loops()));
  background.spawn(api.run(serving));
  if (encryption) background.spawn(encryption->run(serving));
  Context whole = Context::root(*loop);
  Context auditing = whole.child();  // until the last request has ended
  if (*auditor) background.spawn((*auditor)->run(auditing));
  background.spawn((*others)->run(serving));
  if (usage) background.spawn(usage->run(serving));
  if (f.beside) background.spawn(f.beside(serving, &api));
  Status s = co_await api.start(serving);
  Components components(api, *loop, f, pki->ca, own->keys, running, (*server)->port(),
                        auditor->get());
  if (s.ok()) s = components.start(serving);
  std::function<Status()> renew = [&identities, &components, &background, &api, serving, loop,
                                   listener = server->get()] {
    const std::string former = identities.client_ca();
    Status took = identities.take(loop->wall_now(), listener);
    if (took.ok()) components.use_ca(identities.ca());
    components.renew(loop->wall_now());
    if (took.ok() && identities.client_ca() != former)
      background.spawn(tell_client_ca(serving, &api, identities.client_ca(), former));
    return took;
  };
  std::vector<std::string> certificate_files = own->files;
  for (const std::string& file : {f.kubelet_certificate, f.kubelet_key})
    if (!file.empty()) certificate_files.push_back(file);
  background.spawn(
      machines::keep_certificates(serving, std::move(certificate_files), std::move(renew)));
  if (s.ok() && !f.write_kubeconfig.empty()) {
    s = write_admin_kubeconfig(f, *pki, (*server)->port(), loop->wall_now());
    if (!s.ok() && path_exists(f.write_kubeconfig)) {
      log::warn("The kubeconfig stays as it was", {{"err", s}});
      s = Status();
    }
  }
  if (s.ok() && !f.snapshots.cron.empty()) {
    complete_snapshot_schedule(f.data_dir, options.host_name, (*store)->shared(), &f.snapshots);
    background.spawn(keep_snapshots(serving, f.snapshots, snapshots_of(**store)));
  }
  if (s.ok()) {
    Event never;
    s = co_await never.wait(ctx);
  }
  api.health().report("shutdown", Status::unavailable("process is shutting down"));
  serving.cancel();
  Context last = Context::root(*loop);
  co_await (*server)->stop(last.with_timeout(5s));
  auditing.cancel();
  co_await components.join();
  co_await background.join();
  Status closed = co_await (*store)->close(last.with_timeout(10s));
  if (!closed.ok()) log::error("Store not closed", {{"err", closed}});
  co_return s;
}

}  // namespace keles
