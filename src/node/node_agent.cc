#include "node/node_agent.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "api/node_v1.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/recurring.h"
#include "client/event_recorder.h"
#include "client/informer.h"
#include "machinery/time.h"
#include "node/certificates.h"
#include "node/dra/cdi.h"
#include "node/eviction/manager.h"
#include "node/logs/cri_log.h"
#include "node/plugins/plugin_registry.h"
#include "node/pods/containers.h"
#include "node/pods/labels.h"
#include "node/pods/pod_host.h"
#include "node/pods/pod_set.h"
#include "node/server/node_server.h"
#include "node/shutdown/shutdown_manager.h"
#include "node/shutdown/system_bus.h"
#include "node/static_pods/static_pods.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Node;
using api::core_v1::Pod;
using api::core_v1::Service;
using api::node_v1::RuntimeClass;

namespace {

// Hands events to the client's recorder.
class RecordedEvents final : public Events {
 public:
  RecordedEvents(Client& client, const std::string& node)
      : recorder_(client, "kubelet", node), node_(node) {}
  void start(Context ctx) { recorder_.start(ctx); }
  Task<void> join() { return recorder_.join(); }
  void pod(const Ref<Pod>& pod, std::string container, std::string type, std::string reason,
           std::string message) override {
    std::string path = container.empty() ? "" : container_field(*pod, container);
    recorder_.event(reference_to(pod, path), type, reason, std::move(message));
  }
  void volume(const Ref<api::core_v1::PersistentVolume>& volume, std::string type,
              std::string reason, std::string message) override {
    recorder_.event(reference_to(volume), type, reason, std::move(message));
  }
  void node(std::string type, std::string reason, std::string message) override {
    ObjectReference about;
    about.kind = "Node";
    about.name = node_;
    about.uid = node_;
    recorder_.event(about, type, reason, std::move(message));
  }

 private:
  EventRecorder recorder_;
  std::string node_;
};

class Agent final : public NodeView,
                    public EvictionHost,
                    public StaticPodHost,
                    public PodSetHost,
                    public ShutdownHost,
                    public ManagersHost {
 public:
  Agent(Context ctx, NodeOptions options, Client& client, cri::Runtime& runtime)
      : ctx_(ctx),
        options_(std::move(options)),
        client_(client),
        runtime_(runtime),
        informers_(client),
        pods_(informers_.informer<Pod>("", "", "spec.nodeName=" + options_.name)),
        services_(informers_.informer<Service>()),
        nodes_(informers_.informer<Node>("", "", "metadata.name=" + options_.name)),
        runtime_classes_(informers_.informer<RuntimeClass>()),
        events_(client, options_.name),
        images_(image_options(), runtime,
                [this](std::string type, std::string reason, std::string message) {
                  events_.node(std::move(type), std::move(reason), std::move(message));
                }),
        objects_(ctx, client, [this](const std::string& uid) { set_.wake(uid); }),
        volumes_(options_.root, client, objects_, events_),
        csi_drivers_(client, options_.name),
        csi_(options_.root, options_.name, client, csi_drivers_, events_),
        cgroups_(make_cgroup_driver(options_.cgroup_mount), options_.cgroup_root,
                 options_.systemd_cgroups),
        probes_(ctx, runtime, events_, [this](const std::string& uid) { set_.wake(uid); }),
        status_(facts(), client, runtime, events_),
        plugins_(ctx.loop(), options_.root + "/plugins_registry"),
        set_(ctx, shared_, *this),
        static_pods_(static_options(), client, *this),
        shutdown_(options_.shutdown, make_logind(SystemBus::usual_socket()), *this),
        tasks_(ctx.loop()) {}

  Task<Status> run() {
    Status began;
    began = make_directories(options_.root + "/pods", 0750);
    if (!began.ok()) co_return began;
    // Volumes are any user's inside; the way to them is the agent's alone.
    if (chmod((options_.root + "/pods").c_str(), 0750) != 0)
      co_return Status::internal("chmod " + options_.root + "/pods: " + strerror(errno));
    began = make_directories(options_.logs);
    if (!began.ok()) co_return began;
    const quota::ResourceList capacity = node_capacity(status_.machine(), options_.max_pods);
    began = check(reservations(), capacity);
    if (!began.ok()) co_return began;
    began = cgroups_.start(pods_limits(capacity, reservations()));
    if (!began.ok()) co_return began;
    sysctls_ = SysctlAllowlist::safe(status_.machine().kernel);
    for (const std::string& pattern : options_.allowed_unsafe_sysctls) {
      began = sysctls_.allow(pattern);
      if (!began.ok()) co_return began;
    }
    apparmor_ =
        read_file("/sys/module/apparmor/parameters/enabled", 16).value_or("").starts_with("Y");
    began = check(options_.image_gc);
    if (!began.ok()) co_return began;
    began = begin_eviction();
    if (!began.ok()) co_return began;
    began = begin_managers();
    if (!began.ok()) co_return began;
    began = co_await begin_users(this);
    if (!began.ok()) co_return began;
    fill_services();
    volumes_.use(csi_);
    csi_drivers_.follow(informers_.informer<api::storage_v1::CSIDriver>());
    began = server_.start(ctx_, server_options(), this, &runtime_, &client_);
    if (!began.ok()) co_return began;
    began = managers_->start(plugins_);
    if (!began.ok()) {
      co_await server_.stop(ctx_);
      co_return began;
    }
    if (options_.tls) {
      std::function<void(net::TlsIdentity)> use = [this](net::TlsIdentity identity) {
        server_.set_identity(std::move(identity));
      };
      tasks_.spawn(keep_serving_certificate(ctx_, certificate_options(), &client_, std::move(use)));
    }
    events_.start(ctx_);
    tasks_.spawn(status_.run(ctx_));
    tasks_.spawn(watch_runtime(this));
    tasks_.spawn(follow_plugins(this));
    tasks_.spawn(remind_node(this));
    tasks_.spawn(csi_drivers_.keep_current(ctx_));
    nodes_.on_change([this](const Ref<Node>&, const Ref<Node>& now) {
      if (!now) return;
      if (now->status().allocatable().contains("pods")) node_known_.set();
      status_.observe(*now);
      std::string uid(now->metadata().uid());
      const bool anew = !known_uid_.empty() && known_uid_ != uid;
      known_uid_ = std::move(uid);
      node_is_new_ = node_is_new_ || anew;
      if (csi_.observe(*now) || anew) node_forgot_.set();
    });
    pods_.on_change([this](const Ref<Pod>& before, const Ref<Pod>& now) { changed(before, now); });
    informers_.start(ctx_);
    tasks_.spawn(read_images(this));
    tasks_.spawn(static_pods_.run(ctx_));
    tasks_.spawn(housekeeping(this));
    tasks_.spawn(eviction_->run(ctx_));
    tasks_.spawn(shutdown_.run(ctx_));
    tasks_.spawn(rotate_logs(this));
    (void)co_await stopped_.wait(ctx_);
    co_await server_.stop(ctx_);
    co_await tasks_.join();
    co_await set_.join();
    co_await managers_->stop();
    co_await probes_.join();
    co_await objects_.join();
    co_await informers_.join();
    co_await events_.join();
    co_return ctx_.status();
  }

  // --- what the server asks (NodeView) ---

  std::vector<Document> pods() const override {
    std::vector<Document> out;
    for (const auto& [uid, w] : set_.workers()) out.push_back(w->current());
    return out;
  }
  const PodWorker* find(std::string_view ns, std::string_view name,
                        std::string_view uid) const override {
    // Of two of a name, one of which still goes, the one that the API has is meant.
    const Ref<Pod> known = uid.empty() ? pods_.get(ns, name) : Ref<Pod>();
    const PodWorker* found = nullptr;
    for (const auto& [id, w] : set_.workers()) {
      auto meta = w->pod()->metadata();
      if (meta.namespace_() != ns || meta.name() != name || (!uid.empty() && uid != id)) continue;
      if (!known || known->metadata().uid() == id) return w.get();
      if (!found) found = w.get();
    }
    return found;
  }
  std::vector<const PodWorker*> workers() const override {
    std::vector<const PodWorker*> out;
    for (const auto& [uid, w] : set_.workers()) out.push_back(w.get());
    return out;
  }
  const std::string& node_name() const override { return options_.name; }
  const MachineInfo& machine() const override { return status_.machine(); }
  const std::string& cgroup_mount() const override { return options_.cgroup_mount; }
  std::string pod_cgroup(const PodWorker& w) const override {
    return cgroups_.pod_path(qos_of(*w.pod()), w.uid());
  }
  std::string pods_cgroup() const override {
    const std::string one = cgroups_.pod_path(Qos::kGuaranteed, "x");  // directly below
    return one.substr(0, one.rfind('/'));
  }
  const std::string& root() const override { return options_.root; }
  const std::string& logs() const override { return options_.logs; }
  const ProbeMetrics& probe_metrics() const override { return probes_.metrics(); }
  Task<std::vector<VolumeUsage>> volume_usage(Context ctx, std::string uid) override {
    return volumes_.usage(ctx, std::move(uid));
  }

  // --- what static pods ask (StaticPodHost) ---

  void static_pod_added(Ref<Pod> pod) override {
    Ref<Pod> shown = mirror(pod->metadata().namespace_(), pod->metadata().name());
    std::string_view uid = pod->metadata().uid();
    if (shown && shown->metadata().annotations().get(kConfigMirror) != uid) shown = Ref<Pod>();
    set_.add_static(std::move(pod), shown);
  }
  void static_pod_removed(const std::string& uid) override {
    if (PodWorker* w = set_.find(uid)) w->removed();
  }
  bool has_pod(std::string_view ns, std::string_view name) const override {
    return find(ns, name, "") != nullptr;
  }
  Ref<Pod> mirror(std::string_view ns, std::string_view name) const override {
    Ref<Pod> found = pods_.get(ns, name);
    return found && is_mirror(*found) ? found : Ref<Pod>();
  }
  std::vector<Ref<Pod>> mirrors() const override {
    std::vector<Ref<Pod>> out;
    for (const Ref<Pod>& p : pods_.list())
      if (is_mirror(*p)) out.push_back(p);
    return out;
  }
  std::string node_uid() const override {
    Ref<Node> node = nodes_.get("", options_.name);
    return node && pods_synced_ ? std::string(node->metadata().uid()) : std::string();
  }

  // --- what the eviction manager asks (EvictionHost) ---

  std::vector<Ref<Pod>> active_pods() const override {
    std::vector<Ref<Pod>> out;
    for (const auto& [uid, w] : set_.workers())
      if (w->holds_room() && !w->ends_early() && w->pod()->metadata().deletion_timestamp().empty())
        out.push_back(w->pod());
    return out;
  }
  CgroupDriver::Usage usage_of(const Pod& pod) const override {
    return cgroups_.pod_usage(qos_of(pod), pod.metadata().uid());
  }
  CgroupDriver::Usage usage_of_pods() const override { return cgroups_.total_usage(); }
  CgroupDriver::Usage usage_of_node() const override { return cgroups_.node_usage(); }
  bool evict(const Ref<Pod>& pod, const Eviction& why) override {
    PodWorker* worker = set_.find(std::string(pod->metadata().uid()));
    if (!worker) return false;
    PodWorker::Ending ending;
    ending.reason = "Evicted";
    ending.message = why.message;
    ending.grace_seconds = why.grace_seconds;
    ending.disruption = why.disruption;
    if (!worker->end_early(std::move(ending))) return false;
    events_.pod(pod, "", "Warning", "Evicted", why.message);
    log::warn("Evicting a pod",
              {{"pod", pod->metadata().name()}, {"uid", worker->uid()}, {"message", why.message}});
    return true;
  }
  Task<Status> reclaim(Context ctx, Reclaim what) override {
    std::vector<std::shared_ptr<PodWorker>> all;
    for (const auto& [uid, w] : set_.workers()) all.push_back(w);
    if (what.containers)
      for (const auto& w : all) co_await w->drop_dead(ctx);
    if (!what.images) co_return Status();
    (void)co_await images_known_.wait(ctx);
    co_return co_await images_.delete_unused(ctx);
  }
  void pressures_changed(const std::set<Pressure>& now) override { status_.set_pressures(now); }
  void node_event(std::string type, std::string reason, std::string message) override {
    events_.node(std::move(type), std::move(reason), std::move(message));
  }

 private:
  StaticPodOptions static_options() const {
    StaticPodOptions o = options_.static_pods;
    o.node_name = options_.name;
    return o;
  }
  ImageOptions image_options() const {
    ImageOptions o;
    o.root = options_.root;
    o.gc = options_.image_gc;
    o.parallel_pulls = options_.parallel_pulls;
    o.verification = options_.pull_verification;
    o.providers = options_.credential_providers;
    return o;
  }
  // Pods may have users of their own.
  static Task<Status> begin_users(Agent* self) {
    const NodeOptions& o = self->options_;
    std::function<Status()> work = [self, &o]() -> Status {
      TRY_ASSIGN(ids, node_user_ids(o.user_ids_per_pod, o.max_pods));
      TRY(UserNamespaces::check(ids, o.user_ids_per_pod, o.max_pods));
      self->users_ = std::make_unique<UserNamespaces>(o.root, ids, o.user_ids_per_pod);
      return self->users_->load();
    };
    TRY_CO(run_blocking(&self->ctx_.loop(), std::move(work)));
    self->host_ = make_pod_host(self->volumes_, self->cgroups_, self->users_.get(), o.logs);
    co_return Status();
  }
  Status begin_eviction() {
    EvictionOptions o;
    o.root = options_.root;
    o.logs = options_.logs;
    TRY_ASSIGN(thresholds, parse_thresholds(options_.eviction));
    o.thresholds = std::move(thresholds);
    o.transition_period = options_.eviction.transition_period;
    o.max_pod_grace_seconds = options_.eviction.max_pod_grace_seconds;
    o.allocatable_memory_bytes =
        pods_limits(node_capacity(status_.machine(), options_.max_pods), reservations())
            .memory_limit_bytes;
    o.local_storage = options_.local_storage_isolation;
    o.period = options_.eviction.period;
    eviction_ = std::make_unique<EvictionManager>(std::move(o), runtime_, *this, make_node_meter());
    shared_.ended_early = [this](const std::string& uid) {
      eviction_->pod_ended(uid);
      shutdown_.poke();
    };
    return Status();
  }
  Status begin_managers() {
    ManagerSettings s;
    s.options = options_.managers;
    s.root = options_.root;
    s.node = options_.name;
    s.memory_bytes = static_cast<uint64_t>(status_.machine().memory_bytes);
    s.reserved = kept(node_capacity(status_.machine(), options_.max_pods), reservations());
    s.inject_cdi = [this] {
      const cri::Version& v = status_.runtime_version();
      return !runtime_does_cdi(v.name, v.version);
    };
    TRY_ASSIGN(made, NodeManagers::make(ctx_, std::move(s), client_, runtime_, *this));
    managers_ = std::move(made);
    shared_.managers = managers_.get();
    status_.offer([this] { return managers_->capacity(); });
    status_.on_renewed(options_.lease_renewed);
    return {};
  }
  Reservations reservations() const {
    Reservations r;
    r.kube = options_.kube_reserved;
    r.system = options_.system_reserved;
    if (auto cpus = CpuSet::parse(options_.managers.reserved_cpus); cpus.ok() && !cpus->empty()) {
      r.kube.erase("cpu");
      r.system["cpu"] = Quantity::from_int(cpus->size());
    }
    auto thresholds = parse_thresholds(options_.eviction);  // refused later if it is wrong
    if (thresholds.ok()) r.eviction = std::move(*thresholds);
    return r;
  }
  NodeFacts facts() const {
    NodeFacts f;
    f.name = options_.name;
    f.address = options_.address;
    f.second_address = options_.second_address;
    f.hostname = options_.hostname.empty() ? options_.name : options_.hostname;
    f.labels = options_.labels;
    f.taints = options_.taints;
    f.version = options_.version;
    f.root = options_.root;
    f.max_pods = options_.max_pods;
    f.port = options_.port;
    f.reserved = reservations();
    f.provider_id = options_.provider_id;
    return f;
  }

  NodeServerOptions server_options() const {
    NodeServerOptions o;
    o.address = options_.listen_address;
    o.port = options_.port;
    if (options_.read_only_port) o.read_only_port = options_.read_only_port;
    o.tls = options_.tls;
    o.client_ca_pem = options_.client_ca_pem;
    o.auth = options_.auth;
    o.debugging = options_.debugging_handlers;
    o.show_system_logs = options_.system_log_handler;
    o.query_system_logs = options_.system_log_query;
    o.configz = options_.configz;
    o.about.name = "kubelet";
    o.about.git_version = options_.version;
    o.about.started = ctx_.loop().wall_now();
    o.about.flags = options_.flags;
    o.about.paths = {"/attach",
                     "/configz",
                     "/containerLogs",
                     "/exec",
                     "/flagz",
                     "/healthz",
                     "/logs",
                     "/metrics",
                     "/metrics/cadvisor",
                     "/metrics/probes",
                     "/metrics/resource",
                     "/pods",
                     "/portForward",
                     "/run",
                     "/runningpods",
                     "/stats",
                     "/statusz"};
    return o;
  }

  // As the Node says that it is reached: what its API server knows, whoever that is.
  NodePlaces places() const {
    NodePlaces out;
    const Ref<Node> node = nodes_.get("", options_.name);
    if (!node) return out;
    for (auto a : node->status().addresses()) {
      const bool dns = a.type().ends_with("DNS");
      auto& into = dns || !IpAddress::parse(a.address()) ? out.dns_names : out.ip_addresses;
      if (std::find(into.begin(), into.end(), a.address()) == into.end())
        into.emplace_back(a.address());
    }
    return out;
  }

  ServingCertificateOptions certificate_options() {
    ServingCertificateOptions o;
    o.node_name = options_.name;
    o.places = [this] { return places(); };
    o.certificate_file = options_.tls_certificate_file;
    o.key_file = options_.tls_key_file;
    o.rotate = options_.rotate_server_certificates;
    o.directory = options_.root + "/pki";
    o.ca_pem = options_.client_ca_pem;
    return o;
  }

  void fill_services() {
    shared_.client = &client_;
    shared_.runtime = &runtime_;
    shared_.events = &events_;
    shared_.images = &images_;
    shared_.host = host_.get();
    shared_.objects = &objects_;
    shared_.probes = &probes_;
    shared_.runtime_handler = [this](Context ctx, std::string name) {
      return runtime_handler(this, ctx, std::move(name));
    };
    shared_.runtime_status = [this] { return status_.runtime_status(); };
    shared_.services = [this] { return services_.list(); };
    shared_.dns = [this](Context ctx) { return dns(this, std::move(ctx)); };
    shared_.network_trouble = [this] { return status_.network_trouble(); };
    shared_.guard_network = options_.guard_network;
    shared_.pod_token = [this](Context ctx, Ref<Pod> pod, std::string audience) {
      return volumes_.pod_token(std::move(ctx), std::move(pod), std::move(audience));
    };
    shared_.logs_directory = options_.logs;
    shared_.seccomp_root = options_.root + "/seccomp";
    shared_.node_name = options_.name;
    shared_.host_ip = options_.address;
    shared_.second_host_ip = options_.second_address;
    const MachineInfo& m = status_.machine();
    shared_.memory_bytes = m.memory_bytes;
    auto room = allocatable(node_capacity(m, options_.max_pods), reservations());
    shared_.allocatable_cpu = room["cpu"].to_string();
    shared_.allocatable_memory = room["memory"].to_string();
    shared_.pod_pids_limit = options_.pod_pids_limit;
    shared_.swap.controlled = m.swap_controlled;
    shared_.swap.unified = m.unified_cgroups;
    shared_.swap.limited = options_.limited_swap;
    shared_.swap.capacity_bytes = m.swap_bytes;
    for (const auto& [name, amount] : m.huge_pages)
      if (amount.sign() > 0) shared_.page_units.push_back(huge_page_unit(name));
  }

  static Task<DnsDefaults> dns(Agent* self, Context ctx) {
    DnsDefaults d;
    d.cluster_servers = self->options_.cluster_dns;
    d.cluster_domain = self->options_.cluster_domain;
    std::function<std::string()> look = [path = self->options_.resolv_conf] {
      return read_file(path, 65536).value_or("");
    };
    d.host_resolv_conf = co_await run_blocking(&ctx.loop(), std::move(look));
    co_return d;
  }

  // Only this node's own sources make a pod a static one, whatever its annotations say.
  static Ref<Pod> of_the_api(const Ref<Pod>& pod) {
    if (!pod || !is_static(*pod) || is_mirror(*pod)) return pod;
    auto copy = std::make_shared<Document>();
    copy->root = deep_copy(copy->arena, pod->value());
    api::core_v1::PodEdit edit(EditTarget{&copy->root, &copy->arena});
    edit.edit_metadata().edit_annotations().erase(kConfigSource);
    return Ref<Pod>(std::move(copy));
  }

  void changed(const Ref<Pod>& before, const Ref<Pod>& told) {
    const Ref<Pod> now = of_the_api(told);
    const Ref<Pod>& any = now ? now : before;
    if (any && is_mirror(*any)) return mirror_changed(any, now);
    set_.changed(before, now);
  }

  void mirror_changed(const Ref<Pod>& any, const Ref<Pod>& now) {
    auto meta = any->metadata();
    for (const auto& [uid, w] : set_.workers()) {
      auto own = w->pod()->metadata();
      if (own.namespace_() != meta.namespace_() || own.name() != meta.name()) continue;
      bool its = now && meta.annotations().get(kConfigMirror) == uid;
      if (is_static(*w->pod())) w->set_mirror(its ? now : Ref<Pod>());
    }
    static_pods_.poke();
  }

  // --- what the managers ask (ManagersHost) ---

 public:
  std::vector<Ref<Pod>> living_pods() const override {
    std::vector<Ref<Pod>> out;
    for (const auto& [uid, w] : set_.workers())
      if (w->lives()) out.push_back(w->pod());
    return out;
  }
  bool pods_known() const override { return sources_known_; }
  std::vector<Running> running_containers() const override {
    std::vector<Running> out;
    for (const auto& [uid, w] : set_.workers())
      for (const cri::Container& c : w->actual().containers)
        if (c.state == cri::ContainerState::kRunning) out.push_back({uid, c.name, c.id});
    return out;
  }
  void status_changed(const std::string& uid) override {
    PodWorker* w = set_.find(uid);
    if (w && w->decided()) w->refresh_status();
  }
  void capacity_changed() override { status_.poke(); }

  // --- what the pods' workers ask (PodSetHost) ---

  Ref<Node> node_object() const override { return nodes_.get("", options_.name); }
  AdmissionInput grounds() const override {
    AdmissionInput in;
    in.sysctls = &sysctls_;
    in.apparmor = apparmor_;
    in.strict_groups = status_.runtime_status().supplemental_groups_policy;
    in.pressures = eviction_->pressures();
    in.shutting_down = shutdown_.shutting_down();
    return in;
  }
  Task<void> wait_judicable(Context ctx) override { return judicable(this, std::move(ctx)); }
  // Environments name services: all that exist are known before a first container is made.
  Task<void> wait_startable(Context ctx, bool is_static) override {
    return startable(this, std::move(ctx), is_static);
  }
  void pod_gone(const std::string&) override {
    static_pods_.poke();
    shutdown_.poke();
  }

  // --- what a shutdown of the machine asks (ShutdownHost) ---

  std::vector<Ref<Pod>> running_pods() const override { return living_pods(); }
  void end_pod(const Ref<Pod>& pod, int64_t grace_seconds) override {
    PodWorker* worker = set_.find(std::string(pod->metadata().uid()));
    if (!worker) return;
    PodWorker::Ending ending;
    ending.reason = ShutdownManager::kReason;
    ending.message = ShutdownManager::kMessage;
    ending.grace_seconds = grace_seconds;
    ending.disruption = true;
    if (!worker->end_early(std::move(ending))) worker->hurry(grace_seconds);
  }
  bool is_at_rest(const std::string& uid) const override {
    const PodWorker* worker = set_.find(uid);
    return !worker || worker->at_rest();
  }
  void shutting_down(bool now) override { status_.set_shutting_down(now); }
  Task<Status> keep_shutdown_state(Context ctx, std::string json) override {
    return keep_file(ctx, options_.root + "/" + ShutdownManager::kStateFile, std::move(json));
  }
  Task<std::string> kept_shutdown_state(Context ctx) override {
    return kept_file(ctx, options_.root + "/" + ShutdownManager::kStateFile);
  }

 private:
  static Task<void> judicable(Agent* self, Context ctx) {
    (void)co_await self->pods_.base().wait_synced(ctx);
    (void)co_await self->node_known_.wait(ctx);
  }
  static Task<void> startable(Agent* self, Context ctx, bool is_static) {
    if (!is_static) (void)co_await self->services_.base().wait_synced(ctx);
    (void)co_await self->images_known_.wait(ctx);
  }

  static Task<Result<std::string>> runtime_handler(Agent* self, Context ctx, std::string name) {
    TRY_CO(self->runtime_classes_.base().wait_synced(ctx.with_timeout(10s)));
    Ref<RuntimeClass> found = self->runtime_classes_.get("", name);
    if (!found) co_return Status::not_found("node.k8s.io", "runtimeclass", name);
    co_return std::string(found->handler());
  }

  // Events of the runtime, for as long as it lives; what happened while they were not there is
  // found by looking at every pod again.
  static Task<void> watch_runtime(Agent* self) {
    Duration pause = 200ms;
    Recurring failing;
    while (!self->ctx_.done()) {
      TimePoint began = self->ctx_.loop().now();
      std::function<void(std::string)> on_event = [self](std::string id) {
        self->set_.runtime_event(id);
      };
      Status s = co_await self->runtime_.watch_events(self->ctx_, std::move(on_event));
      if (self->ctx_.done()) co_return;
      if (self->ctx_.loop().now() - began > 10s) {
        pause = 200ms;
        failing.over();
      }
      if (failing.news(self->ctx_.loop().now(), s.message())) {
        log::warn("The runtime's events ended", {{"status", s}});
      }
      (void)co_await self->ctx_.sleep(pause);
      pause = std::min<Duration>(pause * 2, 1s);
      self->set_.wake_all();
      self->status_.poke();
    }
  }

  static Task<void> follow_plugins(Agent* self) {
    Duration pause = 100ms;
    while (!self->ctx_.done()) {
      (void)co_await self->node_known_.wait(self->ctx_);
      Status made = co_await self->csi_drivers_.ensure_csi_node(self->ctx_);
      if (made.ok()) break;
      (void)co_await self->ctx_.sleep(pause);
      pause = std::min<Duration>(pause * 2, 30s);
    }
    self->plugins_.handle(kCsiPlugin, &self->csi_drivers_);
    Status s = co_await self->plugins_.run(self->ctx_);
    if (!s.ok() && !self->ctx_.done()) log::error("No plug-ins can be registered", {{"error", s}});
  }

  // A Node that was deleted is registered again, and knows nothing of drivers and their volumes.
  static Task<void> remind_node(Agent* self) {
    while (!self->ctx_.done()) {
      (void)co_await self->node_forgot_.wait(self->ctx_);
      self->node_forgot_.reset();
      const bool anew = std::exchange(self->node_is_new_, false);
      Status s = co_await self->csi_.report_in_use(self->ctx_.with_timeout(30s));
      if (s.ok() && anew) s = co_await self->csi_drivers_.tell_again(self->ctx_.with_timeout(30s));
      if (s.ok() || self->ctx_.done()) continue;
      log::warn("Cannot say on the Node what its drivers are", {{"error", s}});
      self->node_is_new_ = self->node_is_new_ || anew;
      (void)co_await self->ctx_.sleep(5s);
      self->node_forgot_.set();
    }
  }

  static Task<void> read_images(Agent* self) {
    co_await self->images_.start(self->ctx_);
    self->images_known_.set();
  }

  static Task<void> housekeeping(Agent* self) {
    (void)co_await self->images_known_.wait(self->ctx_);
    (void)co_await self->pods_.base().wait_synced(self->ctx_);
    self->pods_synced_ = true;
    self->static_pods_.poke();
    self->tasks_.spawn(keep_tidy(self));
    int round = 0;
    while (!self->ctx_.done()) {
      self->set_.share_cpu();
      if (round++ % 5 == 0) {
        Status s = co_await self->images_.collect_garbage(self->ctx_);
        if (!s.ok() && !self->ctx_.done()) log::warn("Cannot look at images", {{"error", s}});
      }
      (void)co_await self->ctx_.sleep(60s);
    }
  }

  // Takes away what no pod owns: left by pods that were deleted while no agent ran. A source of
  // static pods that does not answer holds up this alone.
  static Task<void> keep_tidy(Agent* self) {
    (void)co_await self->static_pods_.wait_known(self->ctx_);
    self->sources_known_ = true;
    while (!self->ctx_.done()) {
      Status s = co_await self->remove_orphans();
      if (!s.ok() && !self->ctx_.done()) log::warn("Cannot look for orphaned pods", {{"error", s}});
      (void)co_await self->ctx_.sleep(60s);
    }
  }

  Task<Status> remove_orphans() {
    TRY_ASSIGN_CO(sandboxes, runtime_.list_sandboxes(ctx_, ""));
    TRY_ASSIGN_CO(containers, runtime_.list_containers(ctx_, ""));
    for (const cri::Container& c : containers) {
      auto uid = c.labels.find(kPodUidLabel);
      if (uid == c.labels.end() || is_known(uid->second)) continue;
      log::info("Removing an orphaned container", {{"container", c.name}, {"uid", uid->second}});
      if (c.state == cri::ContainerState::kRunning)
        (void)co_await runtime_.stop_container(ctx_, c.id, 10);
      (void)co_await runtime_.remove_container(ctx_, c.id);
    }
    for (const cri::Sandbox& s : sandboxes) {
      if (is_known(s.uid)) continue;
      log::info("Removing an orphaned pod", {{"pod", s.ns + "/" + s.name}, {"uid", s.uid}});
      (void)co_await runtime_.stop_sandbox(ctx_, s.id);
      (void)co_await runtime_.remove_sandbox(ctx_, s.id);
    }
    std::vector<std::string> directories = co_await names_in(ctx_, options_.root + "/pods");
    for (const std::string& uid : directories)
      if (!is_known(uid)) (void)co_await host_->remove_volumes(ctx_, uid);
    Status unstaged = co_await csi_.clean(ctx_);
    if (!unstaged.ok() && !ctx_.done())
      log::warn("Volumes that no pod has are still staged", {{"error", unstaged}});
    Status unmounted = co_await volumes_.clean(ctx_);
    if (!unmounted.ok() && !ctx_.done())
      log::warn("Local volumes that no pod has are still mounted", {{"error", unmounted}});
    for (const std::string& uid : cgroups_.pod_uids())
      if (!is_known(uid)) (void)co_await host_->remove_cgroup(ctx_, uid);
    std::vector<std::string> logs = co_await names_in(ctx_, options_.logs);
    for (const std::string& n : logs) {
      if (is_known(n.substr(n.rfind('_') + 1))) continue;
      std::function<Status()> remove = [path = options_.logs + "/" + n] {
        return remove_tree(path);
      };
      (void)co_await run_blocking(&ctx_.loop(), std::move(remove));
    }
    co_return Status();
  }
  bool is_known(const std::string& uid) const { return set_.find(uid) != nullptr; }
  static Task<std::vector<std::string>> names_in(Context ctx, std::string directory) {
    std::function<std::vector<std::string>()> look = [&] {
      return list_directory(directory).value_or({});
    };
    co_return co_await run_blocking(&ctx.loop(), std::move(look));
  }

  static Task<Status> keep_file(Context ctx, std::string path, std::string text) {
    std::function<Status()> write = [&] { return write_file(path, text, 0644, true); };
    co_return co_await run_blocking(&ctx.loop(), std::move(write));
  }
  static Task<std::string> kept_file(Context ctx, std::string path) {
    std::function<std::string()> look = [&] { return read_file(path, 4096).value_or(""); };
    co_return co_await run_blocking(&ctx.loop(), std::move(look));
  }

  static Task<void> rotate_logs(Agent* self) {
    while (!self->ctx_.done()) {
      (void)co_await self->ctx_.sleep(self->options_.log_monitor_interval);
      std::vector<std::pair<std::string, std::string>> running;  // id, log
      for (const auto& [uid, w] : self->set_.workers())
        for (const cri::Container& c : w->actual().containers)
          if (c.state == cri::ContainerState::kRunning && !c.log_path.empty())
            running.emplace_back(c.id, c.log_path);
      if (running.empty()) continue;
      const std::string time = format_time(self->ctx_.loop().wall_now());
      std::vector<std::string> rotated = co_await rotate(self, std::move(running), time);
      for (const std::string& id : rotated)
        (void)co_await self->runtime_.reopen_log(self->ctx_, id);
    }
  }
  // The ids of those whose log was put aside.
  static Task<std::vector<std::string>> rotate(
      Agent* self, std::vector<std::pair<std::string, std::string>> logs, std::string time) {
    std::function<std::vector<std::string>()> work = [&] {
      std::vector<std::string> out;
      for (const auto& [id, log] : logs) {
        auto done =
            rotate_log(log, self->options_.log_max_bytes, self->options_.log_max_files, time);
        if (done.ok() && *done) out.push_back(id);
      }
      return out;
    };
    co_return co_await run_blocking(&self->ctx_.loop(), std::move(work));
  }

  Context ctx_;
  NodeOptions options_;
  Client& client_;
  cri::Runtime& runtime_;
  InformerFactory informers_;
  Informer<Pod> pods_;
  Informer<Service> services_;
  Informer<Node> nodes_;
  Informer<RuntimeClass> runtime_classes_;
  RecordedEvents events_;
  Images images_;
  ObjectCache objects_;
  Volumes volumes_;
  CsiDrivers csi_drivers_;
  CsiVolumes csi_;
  PodCgroups cgroups_;
  std::unique_ptr<UserNamespaces> users_;
  std::unique_ptr<PodHost> host_;
  Probes probes_;
  NodeStatus status_;
  NodeServer server_;
  PluginRegistry plugins_;
  std::unique_ptr<NodeManagers> managers_;
  PodServices shared_;
  std::unique_ptr<EvictionManager> eviction_;
  SysctlAllowlist sysctls_;
  bool apparmor_ = false, pods_synced_ = false;
  bool sources_known_ = false;  // no pod is still to be heard of from before
  Event images_known_;          // what was pulled before, and by whom
  Event node_known_;            // the Node is there and says what it has
  Event node_forgot_;           // it was made anew, or says less than it was told
  std::string known_uid_;
  bool node_is_new_ = false;
  PodSet set_;
  Event stopped_;  // never set: the context ends it
  StaticPods static_pods_;
  ShutdownManager shutdown_;
  TaskGroup tasks_;
};

}  // namespace

Task<Status> run_node_agent(Context ctx, NodeOptions options, Client* client,
                            cri::Runtime* runtime) {
  std::unique_ptr<cri::Runtime> own;
  if (!runtime) {
    own = cri::make_cri_runtime(ctx.loop(), options.runtime_endpoint);
    runtime = own.get();
  }
  auto agent = std::make_unique<Agent>(ctx, std::move(options), *client, *runtime);
  Status s = co_await agent->run();
  co_return s;
}

}  // namespace keles::node
