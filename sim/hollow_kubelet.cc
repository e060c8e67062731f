#include "sim/hollow_kubelet.h"

#include "api/coordination_v1.h"
#include "api/core_v1.h"
#include "base/buggify.h"
#include "machinery/time.h"

namespace keles::sim {
namespace {

namespace core = api::core_v1;
namespace coordination = api::coordination_v1;

constexpr std::string_view kLeaseNamespace = "kube-node-lease";

std::string now_text(Client& client) { return format_time(client.loop().wall_now()); }

void set_condition(core::NodeStatusEdit status, std::string_view type, std::string_view value,
                   std::string_view reason, std::string_view now) {
  auto conditions = status.edit_conditions();
  for (size_t i = 0; i < conditions.size(); ++i) {
    auto c = conditions[i];
    if (c.type() != type) continue;
    if (c.status() != value) c.set_last_transition_time(now);
    c.set_status(value);
    c.set_reason(reason);
    c.set_last_heartbeat_time(now);
    return;
  }
  auto c = conditions.add();
  c.set_type(type);
  c.set_status(value);
  c.set_reason(reason);
  c.set_last_heartbeat_time(now);
  c.set_last_transition_time(now);
}

bool is_true(const core::Node& node, std::string_view condition) {
  for (auto c : node.status().conditions()) {
    if (c.type() == condition) return c.status() == "True";
  }
  return false;
}

}  // namespace

// Events are nobody's business here.
class HollowKubelet::NoEvents final : public node::Events {
 public:
  void pod(const Ref<core::Pod>&, std::string, std::string, std::string, std::string) override {}
  void volume(const Ref<api::core_v1::PersistentVolume>&, std::string, std::string,
              std::string) override {}
  void node(std::string, std::string, std::string) override {}
};

// A host without a disk: every volume is there at once, and whatever is written is right.
class HollowKubelet::Host final : public node::PodHost {
 public:
  Task<Status> set_cgroup(Context ctx, node::Qos, std::string, node::CgroupLimits) override {
    return work(std::move(ctx));
  }
  std::string cgroup_parent(node::Qos, const std::string& uid) const override {
    return "/kubepods/pod" + uid;
  }
  Task<node::CgroupDriver::Usage> cgroup_usage(Context, node::Qos, std::string) override {
    co_return node::CgroupDriver::Usage();
  }
  Task<Status> remove_cgroup(Context ctx, std::string) override { return work(std::move(ctx)); }
  Status set_burstable_requests(int64_t) override { return {}; }

  Task<Result<node::MountedVolumes>> set_up_volumes(Context ctx, Ref<core::Pod> pod, node::PodFacts,
                                                    node::MountedVolumes) override {
    TRY_CO(work(std::move(ctx)));
    node::MountedVolumes out;
    for (auto v : pod->spec().volumes()) out[std::string(v.name())].path = "/volumes/x";
    co_return out;
  }
  WallTime next_refresh(const std::string&) const override { return {}; }
  Task<Status> give_up_volumes(Context ctx, std::string) override { return work(std::move(ctx)); }
  Task<Status> remove_volumes(Context ctx, std::string) override { return work(std::move(ctx)); }
  Task<Result<std::string>> read_in_volume(Context, std::string, std::string path,
                                           size_t) override {
    co_return Status(Reason::kNotFound, "there is no " + path);
  }

  Task<Result<node::cri::IdMapping>> user_ids(Context, std::string) override {
    co_return Status::unavailable("there are no users here");
  }
  Task<Status> make_log_directory(Context ctx, std::string) override {
    return work(std::move(ctx));
  }
  Task<Status> remove_log(Context ctx, std::string) override { return work(std::move(ctx)); }
  Task<Status> remove_logs(Context ctx, Ref<core::Pod>) override { return work(std::move(ctx)); }
  Task<Result<node::cri::ContainerConfig>> make_container(Context ctx, node::ContainerFiles,
                                                          node::ContainerInputs in) override {
    TRY_CO(work(std::move(ctx)));
    co_return node::make_container_config(in);
  }
  Task<std::string> termination_message(Context, std::string, node::cri::Container) override {
    co_return std::string();
  }

 private:
  static Task<Status> work(Context ctx) {
    Duration takes(ctx.loop().random().between(0, 5'000'000));
    (void)co_await ctx.sleep(takes);
    if (buggify(ctx.loop(), "host.fails", 0.02)) co_return Status::internal("the disk is ill");
    co_return ctx.status();
  }
};

struct HollowKubelet::Life {
  node::Images images;
  node::ObjectCache objects;
  node::Probes probes;
  node::PodServices services;
  node::PodSet set;
  TaskGroup tasks;

  Life(Context ctx, HollowKubelet& k)
      : images(node::ImageOptions(), k.runtime_, [](std::string, std::string, std::string) {}),
        objects(ctx, k.client_, [this](const std::string& uid) { set.wake(uid); }),
        probes(ctx, k.runtime_, *k.events_, [this](const std::string& uid) { set.wake(uid); }),
        services(services_of(k)),
        set(ctx, services, k),
        tasks(ctx.loop()) {
    services.images = &images;
    services.objects = &objects;
    services.probes = &probes;
  }

 private:
  static node::PodServices services_of(HollowKubelet& k) {
    node::PodServices s;
    s.client = &k.client_;
    s.runtime = &k.runtime_;
    s.events = k.events_.get();
    s.host = k.host_.get();
    s.runtime_handler = [](Context, std::string) { return handler(); };
    s.runtime_status = [] { return node::cri::RuntimeStatus(); };
    s.services = [] { return std::vector<Ref<core::Service>>(); };
    s.dns = [](Context) { return dns(); };
    s.network_trouble = [&k] {
      return std::string(k.machine_.pod_cidr.empty() ? "network state unknown" : "");
    };
    s.prepare_devices = [](Context, Ref<core::Pod>) { return prepared(); };
    s.logs_directory = "/var/log/pods";
    s.node_name = k.machine_.name;
    s.host_ip = k.machine_.internal_ip;
    s.memory_bytes = int64_t{8} << 30;
    s.allocatable_cpu = k.machine_.cpu;
    s.allocatable_memory = k.machine_.memory;
    return s;
  }
  static Task<Result<std::string>> handler() { co_return std::string(); }
  static Task<node::DnsDefaults> dns() { co_return node::DnsDefaults(); }
  static Task<Status> prepared() { co_return Status(); }
};

HollowKubelet::HollowKubelet(Client& client, Machine& machine, HollowOptions options)
    : client_(client),
      machine_(machine),
      options_(options),
      informers_(client),
      pods_(informers_.informer<core::Pod>("", "", "spec.nodeName=" + machine_.name)),
      node_(informers_.informer<core::Node>("", "", "metadata.name=" + machine_.name)),
      runtime_(client.loop(), machine),
      sysctls_(node::SysctlAllowlist::safe("6.1")),
      events_(std::make_unique<NoEvents>()),
      host_(std::make_unique<Host>()) {}

HollowKubelet::~HollowKubelet() = default;

Task<void> HollowKubelet::run(Context ctx) {
  life_ = std::make_unique<Life>(ctx, *this);
  node_.on_change([this](const Ref<core::Node>&, const Ref<core::Node>&) { note_node(); });
  pods_.on_change(
      [this](const Ref<core::Pod>& before, const Ref<core::Pod>& now) { changed(before, now); });
  informers_.start(ctx);
  life_->tasks.spawn(keep_registered(ctx));
  life_->tasks.spawn(watch_runtime(ctx));
  life_->tasks.spawn(remove_orphans(ctx));
  co_await life_->tasks.join();
  co_await life_->set.join();
  co_await life_->probes.join();
  co_await life_->objects.join();
  co_await informers_.join();
}

void HollowKubelet::changed(const Ref<core::Pod>& before, const Ref<core::Pod>& now) {
  if (now && now->spec().restart_policy() != "Always")
    machine_.ends.insert(std::string(now->metadata().uid()));
  life_->set.changed(before, now);
}

void HollowKubelet::note_node() {
  Ref<core::Node> node = node_object();
  if (!node) return;
  if (!node->spec().pod_cidr().empty()) machine_.pod_cidr = node->spec().pod_cidr();
  if (node->status().allocatable().contains("pods")) node_known_.set();
}

Ref<core::Node> HollowKubelet::node_object() const { return node_.get("", machine_.name); }

node::AdmissionInput HollowKubelet::grounds() const {
  node::AdmissionInput in;
  in.sysctls = &sysctls_;
  return in;
}

Task<void> HollowKubelet::wait_judicable(Context ctx) {
  (void)co_await pods_.base().wait_synced(ctx);
  (void)co_await node_known_.wait(ctx);
}

Task<void> HollowKubelet::wait_startable(Context ctx, bool) {
  (void)co_await informers_.wait_synced(ctx);
}

void HollowKubelet::pod_gone(const std::string& uid) { machine_.ends.erase(uid); }

Task<void> HollowKubelet::watch_runtime(Context ctx) {
  while (!ctx.done()) {
    std::function<void(std::string)> on_event = [this](std::string id) {
      life_->set.runtime_event(id);
    };
    (void)co_await runtime_.watch_events(ctx, std::move(on_event));
    (void)co_await ctx.sleep(200ms);
    life_->set.wake_all();
  }
}

// What was left by pods that went while no agent ran.
Task<void> HollowKubelet::remove_orphans(Context ctx) {
  (void)co_await informers_.wait_synced(ctx);
  while (!ctx.done()) {
    (void)co_await remove_orphans_once(ctx);
    (void)co_await ctx.sleep(60s);
  }
}

Task<Status> HollowKubelet::remove_orphans_once(Context ctx) {
  TRY_ASSIGN_CO(sandboxes, runtime_.list_sandboxes(ctx, ""));
  for (const node::cri::Sandbox& s : sandboxes) {
    if (life_->set.find(s.uid)) continue;
    (void)co_await runtime_.stop_sandbox(ctx, s.id);
    (void)co_await runtime_.remove_sandbox(ctx, s.id);
  }
  co_return Status();
}

Task<void> HollowKubelet::keep_registered(Context ctx) {
  while (!ctx.done()) {
    Context call = ctx.with_timeout(options_.lease_period);
    // As the real one does: the node's status is written when something differs, the Lease always.
    Ref<core::Node> node = node_object();
    Status s;
    if (!node || !is_true(*node, "Ready")) s = co_await register_node(call);
    if (s.ok()) s = co_await renew_lease(call);
    Duration wait = s.ok() ? options_.lease_period : Duration(1s);
    (void)co_await ctx.sleep(wait);
  }
}

Task<Status> HollowKubelet::register_node(Context ctx) {
  auto found = co_await client_.get<core::Node>(ctx, "", machine_.name);
  if (!found.ok() && !found.status().is(Reason::kNotFound)) co_return found.status();
  if (!found.ok()) {
    Draft<core::NodeEdit> d;
    d->edit_metadata().set_name(machine_.name);
    d->edit_metadata().edit_labels().set("kubernetes.io/hostname", machine_.name);
    d->edit_metadata().edit_labels().set("kubernetes.io/os", "linux");
    d->edit_metadata().edit_annotations().set(
        "volumes.kubernetes.io/controller-managed-attach-detach", "true");
    if (!machine_.fallback_cidr.empty()) d->edit_spec().set_pod_cidr(machine_.fallback_cidr);
    found = co_await client_.create<core::Node>(ctx, d.take());
    if (!found.ok()) co_return found.status();
  }
  Draft<core::NodeEdit> d(**found);
  auto status = d->edit_status();
  for (bool allocatable : {false, true}) {
    auto resources = allocatable ? status.edit_allocatable() : status.edit_capacity();
    resources.set("cpu", machine_.cpu);
    resources.set("memory", machine_.memory);
    resources.set("pods", machine_.pods);
  }
  if (status.addresses().empty()) {
    auto ip = status.edit_addresses().add();
    ip.set_type("InternalIP");
    ip.set_address(machine_.internal_ip);
    auto host = status.edit_addresses().add();
    host.set_type("Hostname");
    host.set_address(machine_.name);
  }
  std::string now = now_text(client_);
  for (std::string_view type : {"MemoryPressure", "DiskPressure", "PIDPressure"})
    set_condition(status, type, "False", "KubeletHas", now);
  set_condition(status, "Ready", "True", "KubeletReady", now);
  auto updated = co_await client_.update_status<core::Node>(ctx, d.take());
  co_return updated.status();
}

Task<Status> HollowKubelet::renew_lease(Context ctx) {
  auto found =
      co_await client_.get<coordination::Lease>(ctx, std::string(kLeaseNamespace), machine_.name);
  if (!found.ok() && !found.status().is(Reason::kNotFound)) co_return found.status();
  Draft<coordination::LeaseEdit> d;
  if (found.ok()) d = Draft<coordination::LeaseEdit>(**found);
  auto meta = d->edit_metadata();
  meta.set_name(machine_.name);
  meta.set_namespace_(kLeaseNamespace);
  auto spec = d->edit_spec();
  spec.set_holder_identity(machine_.name);
  spec.set_lease_duration_seconds(40);
  spec.set_renew_time(format_micro_time(client_.loop().wall_now()));
  if (!found.ok()) {
    auto made = co_await client_.create<coordination::Lease>(ctx, d.take());
    co_return made.status();
  }
  auto renewed = co_await client_.update<coordination::Lease>(ctx, d.take());
  co_return renewed.status();
}

}  // namespace keles::sim
