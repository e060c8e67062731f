#include "sim/hollow_kubelet.h"

#include "api/coordination_v1.h"
#include "api/core_v1.h"
#include "machinery/quantity.h"
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

void set_pod_condition(core::PodStatusEdit status, std::string_view type, std::string_view now) {
  auto conditions = status.edit_conditions();
  for (size_t i = 0; i < conditions.size(); ++i) {
    auto c = conditions[i];
    if (c.type() != type) continue;
    if (c.status() != "True") c.set_last_transition_time(now);
    c.set_status("True");
    c.clear_reason();
    c.clear_message();
    return;
  }
  auto c = conditions.add();
  c.set_type(type);
  c.set_status("True");
  c.set_last_transition_time(now);
}

bool is_true(const core::Node& node, std::string_view condition) {
  for (auto c : node.status().conditions()) {
    if (c.type() == condition) return c.status() == "True";
  }
  return false;
}

bool is_ready(const core::Pod& pod) {
  for (auto c : pod.status().conditions()) {
    if (c.type() == "Ready") return c.status() == "True";
  }
  return false;
}

}  // namespace

HollowKubelet::HollowKubelet(Client& client, Machine& machine, HollowOptions options)
    : client_(client),
      machine_(machine),
      options_(options),
      informers_(std::make_unique<InformerFactory>(client)),
      queue_(client.loop(), 5ms, 10s),
      tasks_(client.loop()) {
  pods_ = informers_->informer(&kind_of<core::Pod>(), "", "", "spec.nodeName=" + machine_.name);
  node_ = informers_->informer(&kind_of<core::Node>(), "", "", "metadata.name=" + machine_.name);
  pods_->add_handler({[this](const ObjectPtr& o) { queue_.add(o->key()); },
                      [this](const ObjectPtr& before, const ObjectPtr& now) {
                        if (before->uid() != now->uid()) release(before);
                        queue_.add(now->key());
                      },
                      [this](const ObjectPtr& last) { release(last); }});
}

HollowKubelet::~HollowKubelet() = default;

Task<void> HollowKubelet::run(Context ctx) {
  informers_->start(ctx);
  tasks_.spawn(keep_registered(ctx));
  Status synced = co_await informers_->wait_synced(ctx);
  if (synced.ok()) {
    co_await forget_gone_pods(ctx);
    co_await run_workers(ctx, &queue_, "pods", options_.workers,
                         [this](Context c, std::string key) { return sync_pod(c, key); });
  }
  co_await tasks_.join();
  co_await informers_->join();
}

// Frees what pods held that went while no agent ran. What is gone must be asked of the server's
// newest state: the informer may have begun with an older one.
Task<void> HollowKubelet::forget_gone_pods(Context ctx) {
  ListOptions options;
  options.field_selector = "spec.nodeName=" + machine_.name;
  while (!ctx.done()) {
    Context call = ctx.with_timeout(10s);
    auto pods = co_await client_.list(call, &kind_of<core::Pod>(), "", options);
    if (pods.ok()) {
      std::set<std::string> here;
      for (const ObjectPtr& o : pods->items) here.insert(std::string(o->uid()));
      std::erase_if(machine_.addresses, [&](const auto& a) { return !here.contains(a.first); });
      std::erase_if(machine_.running, [&](const auto& uid) { return !here.contains(uid); });
      std::erase_if(machine_.taken, [&](const auto& a) { return !here.contains(a.first); });
      break;
    }
    (void)co_await ctx.sleep(1s);
  }
}

Task<void> HollowKubelet::keep_registered(Context ctx) {
  while (!ctx.done()) {
    Context call = ctx.with_timeout(options_.lease_period);
    // As the real one does: the node's status is written when something differs, the Lease always.
    ObjectPtr known = node_->synced() ? node_->get("", machine_.name) : nullptr;
    Status s;
    Ref<core::Node> node = read<core::Node>(known);
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

void HollowKubelet::release(const ObjectPtr& pod) {
  std::string uid(pod->uid());
  machine_.running.erase(uid);
  machine_.addresses.erase(uid);
  machine_.taken.erase(uid);
}

bool HollowKubelet::take(const ObjectPtr& object) {
  std::string uid(object->uid());
  if (machine_.taken.contains(uid)) return true;
  Ref<core::Pod> pod = read<core::Pod>(object);
  Machine::Asked asked;
  for (auto c : pod->spec().containers()) {
    auto requests = c.resources().requests();
    asked.cpu_milli += Quantity::parse_or_zero(requests.get("cpu")).milli_value();
    asked.memory += Quantity::parse_or_zero(requests.get("memory")).value();
  }
  Machine::Asked all = asked;
  for (auto& [u, a] : machine_.taken) {
    all.cpu_milli += a.cpu_milli;
    all.memory += a.memory;
  }
  auto pods = static_cast<int64_t>(machine_.taken.size()) + 1;
  bool fits = all.cpu_milli <= Quantity::parse_or_zero(machine_.cpu).milli_value() &&
              all.memory <= Quantity::parse_or_zero(machine_.memory).value() &&
              pods <= Quantity::parse_or_zero(machine_.pods).value();
  if (fits) machine_.taken.emplace(uid, asked);
  return fits;
}

// "" while the node has no podCIDR or it is used up.
std::string HollowKubelet::address_of(const std::string& uid) {
  Ref<core::Node> node = read<core::Node>(node_->get("", machine_.name));
  if (!node || node->spec().pod_cidr().empty()) return "";
  std::string cidr(node->spec().pod_cidr());
  std::string base = cidr.substr(0, cidr.rfind('.', cidr.find('/')));
  auto have = machine_.addresses.find(uid);
  if (have == machine_.addresses.end()) {
    std::set<int> used;
    for (auto& [u, byte] : machine_.addresses) used.insert(byte);
    int byte = 2;
    while (used.contains(byte)) ++byte;
    if (byte > 254) return "";
    have = machine_.addresses.emplace(uid, byte).first;
  }
  return base + "." + std::to_string(have->second);
}

Task<ReconcileResult> HollowKubelet::sync_pod(Context ctx, std::string key) {
  auto slash = key.find('/');
  ObjectPtr object = pods_->get(key.substr(0, slash), key.substr(slash + 1));
  Ref<core::Pod> pod = read<core::Pod>(object);
  if (!pod) co_return Status();
  Context call = ctx.with_timeout(30s);
  if (!pod->metadata().deletion_timestamp().empty()) co_return co_await stop_pod(call, object);
  if (pod->status().phase() == "Succeeded" || pod->status().phase() == "Failed") co_return Status();
  bool runs = machine_.running.contains(std::string(object->uid()));
  bool settled = runs && pod->status().phase() == "Running" && is_ready(*pod);
  if (settled && pod->spec().restart_policy() != "Always") {
    Duration work(
        client_.loop().random().between(options_.work_min.count(), options_.work_max.count()));
    Status s = co_await ctx.sleep(work);
    if (!s.ok()) co_return s;
    std::string phase = client_.loop().random().chance(0.2) ? "Failed" : "Succeeded";
    // Others have written to it while it worked.
    ObjectPtr now = pods_->get(object->namespace_(), object->name());
    if (!now || now->uid() != object->uid()) co_return Status();
    co_return co_await end_pod(call, now, std::move(phase));
  }
  if (settled) co_return Status();
  // Bound late, or twice over: as the real one, it refuses what does not fit.
  if (!take(object)) co_return co_await end_pod(call, object, "Failed");
  co_return co_await start_pod(call, object);
}

Task<ReconcileResult> HollowKubelet::start_pod(Context ctx, ObjectPtr object) {
  std::string uid(object->uid());
  std::string ip = address_of(uid);
  if (ip.empty()) co_return ReconcileResult::after(1s);
  if (!machine_.running.contains(uid)) {
    Random& random = client_.loop().random();
    Duration takes(random.between(options_.start_min.count(), options_.start_max.count()));
    Status s = co_await ctx.sleep(takes);
    if (!s.ok()) co_return s;
    // It may have gone while its containers were starting, or ended: what was looked at before was
    // then older than what this node itself had reported.
    ObjectPtr now = pods_->get(object->namespace_(), object->name());
    if (!now || now->uid() != uid) co_return Status();
    Ref<core::Pod> newest = read<core::Pod>(now);
    std::string_view phase = newest->status().phase();
    if (phase == "Succeeded" || phase == "Failed") co_return Status();
    object = now;
    machine_.running.insert(uid);
  }
  Ref<core::Pod> pod = read<core::Pod>(object);
  Draft<core::PodEdit> d(*pod);
  std::string now = now_text(client_);
  auto status = d->edit_status();
  status.set_phase("Running");
  status.set_host_ip(machine_.internal_ip);
  status.set_pod_ip(ip);
  auto ips = status.edit_pod_ips();
  ips.clear();
  ips.add().set_ip(ip);
  if (status.start_time().empty()) status.set_start_time(now);
  for (std::string_view type :
       {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"})
    set_pod_condition(status, type, now);
  auto containers = status.edit_container_statuses();
  containers.clear();
  for (auto c : pod->spec().containers()) {
    auto s = containers.add();
    s.set_name(c.name());
    s.set_image(c.image());
    s.set_image_id(c.image());
    s.set_container_id("hollow://" + uid + "/" + std::string(c.name()));
    s.set_ready(true);
    s.set_started(true);
    s.set_restart_count(0);
    s.edit_state().edit_running().set_started_at(now);
  }
  auto updated = co_await client_.update_status<core::Pod>(ctx, d.take());
  if (updated.status().is(Reason::kNotFound)) co_return Status();
  co_return updated.status();
}

// Its containers have ended: says so, for those who wait for it.
Task<ReconcileResult> HollowKubelet::end_pod(Context ctx, ObjectPtr object, std::string phase) {
  Ref<core::Pod> pod = read<core::Pod>(object);
  Draft<core::PodEdit> d(*pod);
  std::string now = now_text(client_);
  auto status = d->edit_status();
  status.set_phase(phase);
  auto conditions = status.edit_conditions();
  for (size_t i = 0; i < conditions.size(); ++i) {
    auto c = conditions[i];
    if (c.type() != "Ready" && c.type() != "ContainersReady") continue;
    c.set_status("False");
    c.set_last_transition_time(now);
  }
  auto containers = status.edit_container_statuses();
  for (size_t i = 0; i < containers.size(); ++i) {
    auto c = containers[i];
    c.set_ready(false);
    c.set_started(false);
    c.clear_state();
    auto ended = c.edit_state().edit_terminated();
    ended.set_exit_code(phase == "Failed" ? 1 : 0);
    ended.set_finished_at(now);
  }
  std::string uid(object->uid());
  auto updated = co_await client_.update_status<core::Pod>(ctx, d.take());
  if (updated.ok() || updated.status().is(Reason::kNotFound)) {
    machine_.running.erase(uid);
    machine_.taken.erase(uid);
  }
  if (updated.status().is(Reason::kNotFound)) co_return Status();
  co_return updated.status();
}

Task<ReconcileResult> HollowKubelet::stop_pod(Context ctx, ObjectPtr object) {
  std::string uid(object->uid());
  if (machine_.running.contains(uid)) {
    Random& random = client_.loop().random();
    Duration takes(random.between(options_.stop_min.count(), options_.stop_max.count()));
    Status s = co_await ctx.sleep(takes);
    if (!s.ok()) co_return s;
    machine_.running.erase(uid);
  }
  Ref<core::Pod> pod = read<core::Pod>(object);
  std::string_view phase = pod->status().phase();
  bool ended = phase == "Succeeded" || phase == "Failed";
  if (!ended && !pod->metadata().finalizers().empty()) {
    ReconcileResult said = co_await end_pod(ctx, object, "Failed");
    co_return said;  // its event brings us back
  }
  DeleteOptions options;
  options.grace_period_seconds = 0;
  options.uid = uid;
  Status s = co_await client_.remove<core::Pod>(ctx, std::string(object->namespace_()),
                                                std::string(object->name()), options);
  if (s.is(Reason::kNotFound) || s.is(Reason::kConflict)) co_return Status();
  co_return s;
}

}  // namespace keles::sim
